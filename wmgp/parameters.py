"""A source of weights -> its named parameters, read a block at a time.

A source is an `nn.Module`, a mapping from names to tensors or arrays, or the path of a checkpoint. Neither torch nor a
whole file is loaded before it is needed.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import dtype_name, is_torch, native_byte_order, torch_to_numpy
from .errors import InputError
from .io.unsupported import reject_quantized

FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")
POOLS = ("weight_bias", "weights", "all")
# Buffers that checkpoints carry among their parameters: state, not weights.
BUFFER_NAMES = frozenset(
    "running_mean running_var num_batches_tracked inv_freq freqs_cis cos_cached sin_cached masked_bias "
    "attn_mask relative_position_index position_ids".split()
)
Pool = str | Callable[[str, Any], bool]


@dataclass(frozen=True)
class Parameter:
    """One tensor of floating-point weights; `values` is an array, a torch tensor or a `StoredTensor` of a file."""

    name: str
    values: Any
    prunable: bool = True
    mask: Any = None  # of the same shape: zero where torch's prune holds the weight at zero

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)

    @cached_property
    def dtype(self) -> str:
        return dtype_name(self.values)

    @cached_property
    def n(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def on_cuda(self) -> bool:
        """Whether the values lie on a CUDA device, and are to be worked on there: elsewhere float64 may be lacking."""
        return is_torch(self.values) and self.values.device.type == "cuda"

    def tensor(self) -> Any:
        """The values as a torch tensor of the parameter's shape and dtype."""
        import torch

        values = self.values
        if isinstance(values, np.ndarray):
            bits = values.view(np.int16) if self.dtype == "bfloat16" else native_byte_order(values)
            values = torch.from_numpy(np.ascontiguousarray(bits)).reshape(self.shape)
            values = values.view(torch.bfloat16) if self.dtype == "bfloat16" else values
        elif not is_torch(values):
            values = values.tensor()
        return values.detach() if self.mask is None else values.detach() * self.mask.to(values)

    @cached_property
    def _flat(self) -> Any:
        """All values in a row: a torch tensor on its CUDA device, or an array of floats or of bfloat16's bits."""
        values = self.values if self.mask is None else self.tensor()
        if not is_torch(values):
            return (
                values.reshape(-1).view(np.uint16)
                if self.dtype == "bfloat16"
                else native_byte_order(values.reshape(-1))
            )
        flat = values.detach().reshape(-1)
        return flat if self.on_cuda else torch_to_numpy(flat.cpu())

    def raw_block(self, start: int, stop: int) -> Any:
        """Values start to stop as they are: bfloat16 as its bits in uint16, on a CUDA device a torch tensor there."""
        if isinstance(self.values, np.ndarray) or self.mask is not None or is_torch(self.values):
            return self._flat[start:stop]
        block = self.values.bits(start, stop)
        return block if self.dtype == "bfloat16" else block.view(self.dtype)

    def block(self, start: int, stop: int) -> Any:
        """Values start to stop, in the order of the flattened tensor: float64 for float64, else float32, exactly.

        An array, contiguous, perhaps a read-only view; for values on a CUDA device a contiguous torch tensor there.
        """
        block = self.raw_block(start, stop)
        if self.on_cuda:
            return (block.double() if self.dtype == "float64" else block.float()).contiguous()
        if self.dtype == "bfloat16":
            return np.left_shift(block, 16, dtype=np.uint32).view(np.float32)
        return np.ascontiguousarray(block, dtype=np.float64 if self.dtype == "float64" else np.float32)

    def release(self) -> None:
        """Let go of what the blocks read so far hold in memory."""
        if hasattr(self.values, "release"):
            self.values.release()


def collect(source: Any, pool: Pool = "weight_bias", key: str | None = None) -> list[Parameter]:
    """The floating-point parameters of a source in its own order: buffers left out, tied tensors once.

    Raises `InputError` naming the tensor or file where there is nothing to read, where a dtype or layout cannot be
    analysed, and for an unknown pool.
    """
    if not callable(pool) and pool not in POOLS:
        raise InputError(f"pool {pool!r}: expected one of {', '.join(POOLS)}, or a function of (name, tensor)")
    if isinstance(source, list) and all(isinstance(p, Parameter) for p in source):
        return source
    named = _floating_parameters(_named_tensors(source, key), source_name(source))
    return [Parameter(p.name, p.values, _is_prunable(p, pool), p.mask) for p in _without_tied(named)]


def source_name(source: Any) -> str:
    """A short name for a source: the file's, or the class's."""
    return Path(source).name if isinstance(source, str | Path) else type(source).__name__


def _named_tensors(source: Any, key: str | None) -> Mapping[str, Any]:
    """Name -> tensor, as the source has them."""
    if isinstance(source, str | Path):
        from .io.checkpoints import open_checkpoint

        return open_checkpoint(source, key).tensors
    if key is not None:
        raise InputError(f"key {key!r}: expected a torch file as the source, found {source_name(source)}")
    if isinstance(source, Mapping):
        tensors = {str(name): np.asarray(v) if isinstance(v, np.generic) else v for name, v in source.items()}
    elif hasattr(source, "named_parameters") and not isinstance(source, type):
        parameters = dict(source.named_parameters())
        pruned = {name.removesuffix("_orig") + "_mask" for name in parameters if name.endswith("_orig")}
        tensors = {**parameters, **{name: values for name, values in source.named_buffers() if name in pruned}}
    else:
        found = source.__name__ if isinstance(source, type) else type(source).__name__
        raise InputError(f"source {found}: expected a module, a mapping of names to tensors, or a checkpoint's path")
    reject_quantized(source_name(source), {name: values for name, values in tensors.items() if _is_array(values)})
    return tensors


def _floating_parameters(tensors: Mapping[str, Any], where: str) -> Iterator[Parameter]:
    """The floating parameters; NAME_orig with NAME_mask, as torch's prune leaves them, become one masked NAME."""
    found = False
    for name, values in tensors.items():
        if is_torch(values) and type(values).__name__ == "UninitializedParameter":
            raise InputError(f"{name}: expected values, found a lazy parameter that is not initialised yet")
        if is_torch(values) and values.is_nested:
            raise InputError(f"{name}: expected a tensor of a single shape, found a nested one")
        if not _is_array(values):
            if name.endswith("_extra_state"):  # what a module keeps beside its tensors
                continue
            nested = "; pass that itself if it is the state dict" if isinstance(values, Mapping) else ""
            raise InputError(f"{name}: expected a tensor, found {type(values).__name__}{nested}")
        stem = name.removesuffix("_orig")
        if _is_buffer(name, values, tensors):
            continue
        if not dtype_name(values).startswith(("float", "bfloat", "complex")):
            continue
        found = True
        _check_supported(name, values)
        if stem != name and stem + "_mask" in tensors:
            yield _masked_parameter(stem, values, tensors[stem + "_mask"])
        else:
            yield Parameter(name, values)
    if not found:
        raise InputError(f"{where}: no floating-point parameters, expected some of {', '.join(FLOAT_DTYPES)}")


def _masked_parameter(name: str, values: Any, mask: Any) -> Parameter:
    """The parameter that torch's prune holds at zero where its mask is."""
    values, mask = (Parameter("", each).tensor() for each in (values, mask))
    if mask.shape != values.shape:
        raise InputError(
            f"{name}_mask: expected the shape {tuple(values.shape)} of its weight, found {tuple(mask.shape)}"
        )
    return Parameter(name, values, mask=mask)


def _is_array(values: Any) -> bool:
    return is_torch(values) or (hasattr(values, "dtype") and hasattr(values, "shape"))


def _is_buffer(name: str, values: Any, among: Mapping[str, Any]) -> bool:
    """Whether an entry is a buffer: by its name, a mask of torch's prune, old GPTs' causal mask, a spectral norm's."""
    shape = tuple(values.shape)
    causal = name.endswith("attn.bias") and len(shape) == 4 and shape[:2] == (1, 1) and shape[2] == shape[3]
    vector = name.endswith(("_u", "_v")) and (f"{name[:-2]}_orig" in among or "parametrizations." in name)
    mask = name.endswith("_mask") and f"{name.removesuffix('_mask')}_orig" in among
    return name.rpartition(".")[2] in BUFFER_NAMES or causal or vector or mask


def _check_supported(name: str, values: Any) -> None:
    if dtype_name(values) not in FLOAT_DTYPES:
        raise InputError(f"{name}: {dtype_name(values)} cannot be analysed, expected one of {', '.join(FLOAT_DTYPES)}")
    if is_torch(values) and (values.is_meta or values.layout is not sys.modules["torch"].strided):
        raise InputError(f"{name}: expected a dense tensor with values, found {values.device.type} {values.layout}")


def _without_tied(parameters: Iterator[Parameter]) -> Iterator[Parameter]:
    """Leave out whatever shares its memory with one before it."""
    seen = set()
    for p in parameters:
        memory = _memory_region(p.values)
        if memory is None or p.n == 0 or (memory, p.n) not in seen:
            seen.add((memory, p.n))
            yield p


def _memory_region(values: Any) -> tuple[Any, ...] | None:
    """Where the values begin, and how far they reach: slices of one array may begin together."""
    if is_torch(values):
        return str(values.device), values.data_ptr(), _extent(values.shape, values.stride()) * values.element_size()
    if not isinstance(values, np.ndarray):
        return None
    return "cpu", values.__array_interface__["data"][0], _extent(values.shape, values.strides)


def _extent(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """From the first value to the last, in the unit of the strides; a transposed tensor reaches as far."""
    return sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))


def _is_prunable(p: Parameter, pool: Pool) -> bool:
    if callable(pool):
        return bool(pool(p.name, p.tensor()))
    if pool == "weight_bias":
        return p.name.rpartition(".")[2] in ("weight", "bias")
    return pool == "all" or len(p.shape) >= 2
