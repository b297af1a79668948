"""Collect the named floating-point parameters of a source, and read them in blocks.

A source is an `nn.Module`, a mapping from names to tensors or arrays, or the path of a checkpoint. torch is imported,
and a file is read, only when needed.
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import dtype_name, is_torch, native_byte_order, torch_to_numpy
from .buffers import find_buffers, is_state, may_be_buffer
from .errors import InputError
from .io.quantized import quantized_attributes, reject_packed_params, reject_quantized
from .io.unsupported import reject_partitioned
from .reparametrizations import EffectiveTensor, effective_parameters
from .reparametrized_modules import module_tensors

SMALL = 1 << 10  # values: smaller tensors of a file are kept in memory once read, as every pass reads them again
FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")
POOLS = ("weight_bias", "weights", "all")
Pool = str | Callable[[str, Any], bool]


@dataclass(frozen=True)
class Parameter:
    """A named floating-point tensor; `values` is an array, a torch tensor or a `MappedTensor` of a file."""

    name: str
    values: Any
    prunable: bool = True
    mask: Any = None  # torch.nn.utils.prune's mask, of the same shape: 0 = pruned

    shape: tuple[int, ...] = field(init=False, repr=False, compare=False)
    dtype: str = field(init=False, repr=False, compare=False)
    n: int = field(init=False, repr=False, compare=False)  # number of values
    _whole: Any = field(default=None, init=False, repr=False, compare=False)  # a small tensor's values, once read

    def __post_init__(self) -> None:
        # Stored here, since a cached property takes a lock: a network of many experts has tens of thousands of tensors.
        shape = tuple(self.values.shape)
        for name, value in (("shape", shape), ("dtype", dtype_name(self.values)), ("n", math.prod(shape))):
            object.__setattr__(self, name, value)

    @property
    def on_cuda(self) -> bool:
        """True for values on a CUDA device; other devices may lack float64, and their values are copied to the CPU."""
        return is_torch(self.values) and self.values.device.type == "cuda"

    def tensor(self) -> Any:
        """The values, masked, as a torch tensor of the parameter's shape and dtype."""
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
        """The flattened values: a torch tensor on CUDA, else an array (bfloat16 as its bits in uint16)."""
        values = self.values if self.mask is None else self.tensor()
        if not is_torch(values):
            flat = values.reshape(-1)
            return flat.view(np.uint16) if self.dtype == "bfloat16" else native_byte_order(flat)
        flat = values.detach().reshape(-1)
        return flat if self.on_cuda else torch_to_numpy(flat.cpu())

    def raw_block(self, start: int, stop: int) -> Any:
        """Values start to stop in their own dtype; bfloat16 as its bits in uint16, CUDA values as a tensor there."""
        if isinstance(self.values, np.ndarray) or self.mask is not None or is_torch(self.values):
            return self._flat[start:stop]
        block = self.values.bits(start, stop)
        return block if self.dtype == "bfloat16" else block.view(self.dtype)

    def block(self, start: int, stop: int) -> Any:
        """Values start to stop of the flattened tensor: float64 stays float64, the rest becomes float32, exactly.

        Contiguous: an array (it may be a read-only view), or for CUDA values a torch tensor on their device.
        """
        if self.n > SMALL or is_torch(self.values):
            return self._converted(start, stop)
        whole = self._whole if self._whole is not None else self._converted(0, self.n)
        object.__setattr__(self, "_whole", whole)
        return whole[start:stop]

    def _converted(self, start: int, stop: int) -> Any:
        block = self.raw_block(start, stop)
        if self.on_cuda:
            return (block.double() if self.dtype == "float64" else block.float()).contiguous()
        if self.dtype == "bfloat16":
            return np.left_shift(block, 16, dtype=np.uint32).view(np.float32)
        return np.ascontiguousarray(block, dtype=np.float64 if self.dtype == "float64" else np.float32)

    def release(self) -> None:
        """Free the memory of the blocks read so far."""
        if hasattr(self.values, "release"):
            self.values.release()


@dataclass(frozen=True)
class Collection:
    """The parameters of a source, the buffers that were left out, and warnings about both."""

    parameters: list[Parameter]
    buffers: list[Parameter] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def collect(
    source: Any,
    pool: Pool = "weight_bias",
    key: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> list[Parameter]:
    """The floating-point parameters of a source, in its order. Buffers are left out; tied tensors count once.

    `include` and `exclude` are globs of names. A tensor that matches `include` is a prunable parameter even if the pool
    has no place for it or it looks like a buffer; one that matches `exclude` is not prunable.

    Raises `InputError` for a source without parameters, an unsupported dtype or layout, an unknown pool, and a glob
    that matches no name.
    """
    return collect_with_warnings(source, pool, key, include, exclude).parameters


def collect_with_warnings(
    source: Any,
    pool: Pool = "weight_bias",
    key: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Collection:
    """The parameters as `collect` returns them, and the warnings."""
    if not callable(pool) and pool not in POOLS:
        raise InputError(f"pool {pool!r}: expected one of {', '.join(POOLS)}, or a function of (name, tensor)")
    if isinstance(source, list) and all(isinstance(p, Parameter) for p in source):
        return Collection(source)
    tensors, warnings = _named_tensors(source, key)
    include, exclude = (_globs(option, globs) for option, globs in (("include", include), ("exclude", exclude)))
    found = _floating_parameters(tensors, source_name(source), include)
    floating = list(_without_tied(found if _is_module(source) else effective_parameters(found, tensors)))
    _require_matches(include, exclude, [*tensors, *(p.name for p in floating)])
    reasons = {} if _is_module(source) else find_buffers([p for p in floating if not _matches(p.name, include)])
    buffers = [p for p in floating if p.name in reasons]
    parameters = [_with_prunable(p, _in_pool(p, pool, include, exclude)) for p in floating if p.name not in reasons]
    doubtful = [] if _is_module(source) or pool != "all" else [p.name for p in parameters if _is_doubtful(p, include)]
    return Collection(parameters, buffers, [*warnings, *_buffer_warnings(reasons), *_doubtful_warnings(doubtful)])


def _in_pool(p: Parameter, pool: Pool, include: Sequence[str], exclude: Sequence[str]) -> bool:
    return not _matches(p.name, exclude) and (_matches(p.name, include) or _is_prunable(p, pool))


def _with_prunable(p: Parameter, prunable: bool) -> Parameter:
    return p if p.prunable == prunable else replace(p, prunable=prunable)


def _is_doubtful(p: Parameter, include: Sequence[str]) -> bool:
    return p.prunable and may_be_buffer(p.name) and not _matches(p.name, include)


def _matches(name: str, globs: Sequence[str]) -> bool:
    return bool(globs) and any(fnmatchcase(name, glob) for glob in globs)


def _globs(option: str, globs: Sequence[str]) -> Sequence[str]:
    """The globs as a sequence; a single glob is one."""
    globs = (globs,) if isinstance(globs, str) else tuple(globs)
    for glob in globs:
        if not hasattr(glob, "casefold"):
            raise InputError(f"{option} {glob!r}: expected a glob of names, such as encoder.*")
    return globs


def _require_matches(include: Sequence[str], exclude: Sequence[str], names: Sequence[str]) -> None:
    for option, globs in (("include", include), ("exclude", exclude)):
        for glob in globs:
            if not any(fnmatchcase(name, glob) for name in names):
                raise InputError(f"{option} {glob!r}: matches no tensor's name, expected a glob such as encoder.*")


def _buffer_warnings(buffers: Mapping[str, str]) -> Iterator[str]:
    if buffers:
        yield f"left out as buffers (--include GLOB prunes them): {', '.join(buffers)}"


def _doubtful_warnings(names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"these may be buffers instead of weights (--exclude GLOB keeps them): {', '.join(names)}"


def _is_module(source: Any) -> bool:
    return hasattr(source, "named_parameters") and not isinstance(source, type | Mapping)


def source_name(source: Any) -> str:
    """The file name of a path, else the name of the source's class."""
    return Path(source).name if isinstance(source, str | Path) else type(source).__name__


def _named_tensors(source: Any, key: str | None) -> tuple[Mapping[str, Any], Sequence[str]]:
    """Map names to tensors, in the source's order, and warnings; a module pruned by torch also gives its masks."""
    if isinstance(source, str | Path):
        from .io.checkpoints import open_checkpoint

        checkpoint = open_checkpoint(source, key)
        return checkpoint.tensors, checkpoint.warnings
    if key is not None:
        raise InputError(f"key {key!r}: expected a torch file as the source, found {source_name(source)}")
    if isinstance(source, Mapping):
        tensors = {str(name): np.asarray(v) if isinstance(v, np.generic) else v for name, v in source.items()}
        others = {name: values for name, values in tensors.items() if not _is_array(values)}
        stored = {name: values for name, values in tensors.items() if name not in others}
    elif _is_module(source):
        parameters, buffers = module_tensors(source), dict(source.named_buffers())
        masks = {name.removesuffix("_orig") + "_mask" for name in parameters if name.endswith("_orig")}
        tensors = {**parameters, **{name: values for name, values in buffers.items() if name in masks}}
        others, stored = quantized_attributes(source), parameters | buffers
    else:
        kind = source.__name__ if isinstance(source, type) else type(source).__name__
        raise InputError(f"source {kind}: expected a module, a mapping of names to tensors, or a checkpoint's path")
    stored = {name: values for name, values in stored.items() if _has_shape(values)}
    reject_packed_params(source_name(source), others)
    reject_partitioned(source_name(source), stored)
    return tensors, reject_quantized(source_name(source), stored)


def _has_shape(values: Any) -> bool:
    """Return False for a nested tensor and a lazy parameter; the analysis rejects these by name."""
    return not is_torch(values) or not (values.is_nested or type(values).__name__.startswith("Uninitialized"))


def _floating_parameters(tensors: Mapping[str, Any], source: str, include: Sequence[str]) -> Iterator[Parameter]:
    """The floating-point parameters; torch.nn.utils.prune's NAME_orig and NAME_mask become one masked NAME."""
    is_empty = True
    for name, values in tensors.items():
        if is_torch(values) and type(values).__name__ == "UninitializedParameter":
            raise InputError(f"{name}: expected values, found a lazy parameter that is not initialised yet")
        if is_torch(values) and (kind := _tensor_subclass(values)):
            gather = "; gather it with its full_tensor()" if hasattr(values, "full_tensor") else ""
            raise InputError(f"{name}: expected a plain tensor, found {kind}{gather}")
        if is_torch(values) and values.is_nested:
            raise InputError(f"{name}: expected a tensor of a single shape, found a nested one")
        if not _is_array(values):
            if name.endswith("_extra_state"):  # any object that a module saves beside its tensors
                continue
            nested = "; pass that itself if it is the state dict" if isinstance(values, Mapping) else ""
            raise InputError(f"{name}: expected a tensor, found {type(values).__name__}{nested}")
        stem = name.removesuffix("_orig")
        if is_state(name, values, tensors) and not _matches(name, include):
            continue
        if not dtype_name(values).startswith(("float", "bfloat", "complex")):
            continue
        is_empty = False
        _check_supported(name, values)
        if stem != name and stem + "_mask" in tensors:
            yield _masked_parameter(stem, values, tensors[stem + "_mask"])
        else:
            yield Parameter(name, values)
    if is_empty:
        raise InputError(f"{source}: no floating-point parameters, expected some of {', '.join(FLOAT_DTYPES)}")


def _tensor_subclass(values: Any) -> str | None:
    """The name of a tensor's class if that class overrides torch's operations (DTensor, FakeTensor); else None."""
    torch = sys.modules["torch"]
    overriding = type(values).__mro__[: type(values).__mro__.index(torch.Tensor)]
    return type(values).__name__ if any("__torch_dispatch__" in vars(cls) for cls in overriding) else None


def _masked_parameter(name: str, values: Any, mask: Any) -> Parameter:
    """The parameter of a weight and its mask, as `torch.nn.utils.prune` stores them."""
    requires_grad = is_torch(values) and values.requires_grad
    values, mask = (Parameter("", x).tensor() for x in (values, mask))
    if mask.shape != values.shape:
        raise InputError(
            f"{name}_mask: expected the shape {tuple(values.shape)} of its weight, found {tuple(mask.shape)}"
        )
    return Parameter(name, _with_requires_grad(values, requires_grad), mask=mask)


def _is_array(values: Any) -> bool:
    return is_torch(values) or (hasattr(values, "dtype") and hasattr(values, "shape"))


def _check_supported(name: str, values: Any) -> None:
    if dtype_name(values) not in FLOAT_DTYPES:
        raise InputError(f"{name}: {dtype_name(values)} cannot be analysed, expected one of {', '.join(FLOAT_DTYPES)}")
    if is_torch(values) and (values.is_meta or values.layout is not sys.modules["torch"].strided):
        raise InputError(f"{name}: expected a dense tensor with values, found {values.device.type} {values.layout}")


def _without_tied(parameters: Iterator[Parameter]) -> Iterator[Parameter]:
    """The parameters without those that share their memory with an earlier parameter (tied weights)."""
    regions = set()
    for p in parameters:
        region = _memory_region(p.values)
        if region is None or p.n == 0 or (region, p.n) not in regions:
            regions.add((region, p.n))
            yield p


def _memory_region(values: Any) -> tuple[Any, ...] | None:
    """Device, address and extent of the values: slices of the same array can start at the same address."""
    if isinstance(values, EffectiveTensor):
        regions = tuple(_memory_region(part.values) for part in values.parts)
        return None if None in regions else regions
    if is_torch(values):
        return str(values.device), values.data_ptr(), _extent(values.shape, values.stride()) * values.element_size()
    if not isinstance(values, np.ndarray):
        return None
    return "cpu", values.__array_interface__["data"][0], _extent(values.shape, values.strides)


def _extent(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """The distance from the first value to the last, in the unit of the strides; transposing does not change it."""
    return sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))


def _pool_argument(p: Parameter) -> Any:
    """The tensor that a pool function receives: the source's own, or a masked copy; both with its requires_grad."""
    if not is_torch(p.values) or p.mask is None:
        return p.values if is_torch(p.values) else p.tensor()
    return _with_requires_grad(p.tensor(), p.values.requires_grad)


def _with_requires_grad(values: Any, requires_grad: bool) -> Any:
    """The torch tensor with this requires_grad; torch changes that of an inference tensor only in inference mode."""
    with sys.modules["torch"].inference_mode(values.is_inference()):
        return values.requires_grad_(requires_grad)


def _is_prunable(p: Parameter, pool: Pool) -> bool:
    if callable(pool):
        return bool(pool(p.name, _pool_argument(p)))
    if pool == "weight_bias":
        return p.name.rpartition(".")[2] in ("weight", "bias")
    return pool == "all" or len(p.shape) >= 2
