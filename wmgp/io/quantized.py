"""Recognise quantised and packed weights, by name and by content.

The floating-point tensors beside packed weights (embeddings, norms, scales) are not the network.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import dtype_name, is_torch
from ..errors import InputError

ORIGINAL = "analyse the model it was quantised from"
DEQUANTIZE = f"{ORIGINAL}, or dequantize it (transformers: model.dequantize()) and save that"
RESCALE = "multiply it by its scales in bfloat16 or float32 and save that"
NOT_WEIGHTS = "if these are no weights, save the floating-point tensors alone"
MAX_LISTED = 3  # tensors in a message

INTEGERS = ("int", "uint", "bits")
FLOATS = ("float", "bfloat", "complex")
MIN_SHARE = 0.001  # of the floating tensors' bytes; fewer integers could not hold the network's weights
MIN_WARNED_SHARE = 0.01
MIN_VALUES = 8  # smaller integer tensors are counters and sizes
MIN_POSITIONS = 4  # of a table of relative positions
# Indices, by the last part of the name: position_ids, token_type_ids, relative_position_index, attention_bias_idxs.
INDEX_NAME = re.compile(
    r"(^|_)((position|pos|token|type|input|segment|bias|coords?|edge|node|neighbou?rs?|batch|label|class|vocab|speaker|"
    r"language|lang|channel|shift)_(ids?|idxs?|index|indices|indexes|buckets?|map|perm)|mask|tracked|n_averaged|steps?)$"
)


@dataclass(frozen=True)
class IntegerTensor:
    """An integer tensor that may hold packed weights."""

    name: str
    values: Any
    nbytes: int

    @property
    def stem(self) -> str:
        """The name of the module that holds the tensor."""
        return self.name.rpartition(".")[0]

    @property
    def last_part(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def shape(self) -> list[int]:
        return list(self.values.shape)

    @property
    def n(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return f"{self.name} {dtype_name(self.values)} {self.shape}"


def reject_quantized(source: Path | str, tensors: Mapping[str, Any]) -> list[str]:
    """Raise InputError for quantised or packed weights; return a warning about the integer tensors left out, if any.

    Known schemes are named. Otherwise weights are packed if the integer tensors hold more bytes than the floating ones,
    in the whole source or beside them in several modules, unless their names or values are those of indices.
    """
    by_dtype = {name: dtype_name(tensor) for name, tensor in tensors.items()}
    for name, dtype in by_dtype.items():
        if dtype.startswith(FLOATS[:2]) and not dtype.startswith(("float8", "float4")):
            continue
        _reject_known_scheme(source, name, dtype, tensors)
    float_bytes = {name: _nbytes(tensors[name]) for name, dtype in by_dtype.items() if dtype.startswith(FLOATS)}
    integers = [
        IntegerTensor(name, tensors[name], _nbytes(tensors[name]))
        for name, dtype in by_dtype.items()
        if dtype.startswith(INTEGERS)
    ]
    if sum(t.nbytes for t in integers) < MIN_SHARE * sum(float_bytes.values()):
        return []
    return _reject_packed(source, integers, float_bytes, tensors)


def reject_packed_params(source: Path | str, entries: Mapping[str, Any]) -> None:
    """Raise InputError for what torch's quantised modules save beside tensors: packed weights and their dtypes."""
    for name, value in entries.items():
        parts = value if isinstance(value, list | tuple) else (value,)
        is_quantized = any(dtype_name(x).startswith("q") for x in parts if is_torch(x))
        if is_quantized or "_packed_params" in name.split(".") or "_all_weight_values" in name.split("."):
            raise InputError(f"{source}: {name!r} holds packed parameters of torch.ao.quantization; {ORIGINAL}")


def quantized_attributes(model: Any) -> dict[str, Any]:
    """The weights that torch's quantised modules keep in attributes: they are neither parameters nor buffers."""
    return {
        f"{name}.{attribute}".lstrip("."): getattr(module, attribute)
        for name, module in model.named_modules()
        for attribute in ("_packed_params", "_all_weight_values")
        if hasattr(module, attribute)
    }


def _nbytes(values: Any) -> int:
    """The size of a tensor; expanded tensors count every value."""
    return values.numel() * values.element_size() if is_torch(values) else values.nbytes


def _reject_known_scheme(source: Path | str, name: str, dtype: str, tensors: Mapping[str, Any]) -> None:
    """Raise InputError for a tensor of a quantised dtype, and for an integer tensor with the name of a weight."""
    if dtype.startswith(("float8", "float4", "F4", "F6", "F8")):
        raise InputError(f"{source}: the tensor {name!r} is {dtype}, which cannot be analysed; {RESCALE}")
    if dtype.startswith(("q", *INTEGERS)) and _is_packed_weight(name, dtype, len(tensors[name].shape)):
        scheme = _quantization_scheme(name, dtype, tensors)
        raise InputError(f"{source}: the tensor {name!r} holds {scheme}; {DEQUANTIZE}")


def _is_packed_weight(name: str, dtype: str, n_dimensions: int) -> bool:
    """Return True if an integer tensor of this name holds weights; False for an index, mask or counter."""
    last = name.rpartition(".")[2]
    if last.endswith("_mask"):
        return False
    is_weight_name = last.startswith("weight") or last.endswith(("weight", "_blocks")) or last in ("W_q", "qzeros")
    return dtype.startswith("q") or (is_weight_name and n_dimensions >= 2)


def _quantization_scheme(name: str, dtype: str, tensors: Mapping[str, Any]) -> str:
    """The quantisation scheme of a packed tensor, by its name and the tensors beside it."""
    stem, _, last = name.rpartition(".")
    if last in ("qweight", "qzeros"):
        return f"weights packed in {dtype} (GPTQ or AWQ)"
    if f"{stem}.SCB" in tensors:
        return f"weights in {dtype} (bitsandbytes' 8 bits)"
    if f"{name}.absmax" in tensors:
        return f"weights packed in {dtype} (bitsandbytes' 4 bits)"
    return f"weights quantised or packed in {dtype}"


def _reject_packed(
    source: Path | str, integers: Sequence[IntegerTensor], float_bytes: Mapping[str, int], tensors: Mapping[str, Any]
) -> list[str]:
    """Raise InputError if integer tensors that are no indices outweigh the floating ones; else warn about them."""
    _reject_sparse(source, integers, tensors)
    integers = [t for t in integers if t.n >= MIN_VALUES and not _is_index(t)]
    integers = sorted(integers, key=lambda t: -t.nbytes)
    total, floating = sum(t.nbytes for t in integers), sum(float_bytes.values())
    if total > floating:
        raise InputError(
            f"{source}: its integer tensors hold more bytes ({total:,}) than its floating-point ones ({floating:,}), "
            f"as quantised or packed weights do: {_listed(integers)}; {DEQUANTIZE}; {NOT_WEIGHTS}"
        )
    if packed := _packed_layers(integers, float_bytes):
        raise InputError(
            f"{source}: layers hold more bytes in integer tensors than in floating-point ones, as quantised or packed "
            f"weights do: {_listed(packed)}; {DEQUANTIZE}; {NOT_WEIGHTS}"
        )
    if total < MIN_WARNED_SHARE * floating:
        return []
    return [f"integer tensors are left out, as they hold no floating-point weights: {_listed(integers)}"]


def _listed(tensors: Sequence[IntegerTensor]) -> str:
    more = f" and {len(tensors) - MAX_LISTED:,} more" if len(tensors) > MAX_LISTED else ""
    return ", ".join(map(str, tensors[:MAX_LISTED])) + more


def _packed_layers(integers: Sequence[IntegerTensor], float_bytes: Mapping[str, int]) -> list[IntegerTensor]:
    """The integer tensors that outweigh the floating ones of the same module.

    They count if their module also holds floating tensors (scales, codebooks), or if several modules hold alike ones:
    a graph's edges or a table of samples is alone.
    """
    beside, above = _bytes_by_module(float_bytes)
    candidates = [t for t in integers if t.stem and (len(t.shape) >= 2 or "int8" in dtype_name(t.values))]
    by_stem: dict[str, int] = {}
    by_last_part: dict[str, int] = {}
    for t in candidates:
        by_stem[t.stem] = by_stem.get(t.stem, 0) + t.nbytes
        by_last_part[t.last_part] = by_last_part.get(t.last_part, 0) + 1
    return [
        t
        for t in candidates
        if by_stem[t.stem] > beside.get(t.stem, 0) and (t.stem in above or by_last_part[t.last_part] > 1)
    ]


def _bytes_by_module(float_bytes: Mapping[str, int]) -> tuple[dict[str, int], set[str]]:
    """The bytes of the floating tensors that each module holds itself, and the modules with any at or below them."""
    beside: dict[str, int] = {}
    above = set()
    for name, nbytes in float_bytes.items():
        stem = name.rpartition(".")[0]
        beside[stem] = beside.get(stem, 0) + nbytes
        while stem and stem not in above:
            above.add(stem)
            stem = stem.rpartition(".")[0]
    return beside, above


def _reject_sparse(source: Path | str, integers: Sequence[IntegerTensor], tensors: Mapping[str, Any]) -> None:
    """Raise InputError for sparse weights: nonzeros and a bitmask or indices beside a small tensor with the shape."""
    by_stem: dict[str, list[IntegerTensor]] = {}
    for t in integers:
        by_stem.setdefault(t.stem, []).append(t)
    for stem, group in by_stem.items():
        sizes = [_values(t.values) for t in group if len(t.shape) == 1 and 2 <= t.shape[0] <= 4]
        dense = [int(np.prod(size, dtype=np.float64)) for size in sizes]
        others = [t for t in group if t.n > 4 and not INDEX_NAME.search(t.last_part)]
        if not dense or not others:
            continue
        floats = [
            int(np.prod(x.shape, dtype=np.int64))
            for name, x in tensors.items()
            if name.rpartition(".")[0] == stem and dtype_name(x).startswith(FLOATS)
        ]
        if floats and max(floats) < max(dense) <= 8 * sum(t.nbytes for t in others):
            raise InputError(
                f"{source}: {stem or 'it'} holds a sparse weight of {max(dense):,} values as nonzeros and their "
                f"places: {_listed(others)}; decompress it and save that"
            )


def _is_index(t: IntegerTensor) -> bool:
    """Return True for indices and masks: by name, or by values that packed weights do not have."""
    if INDEX_NAME.search(t.last_part):
        return True
    values = _values(t.values)
    return any(check(values) for check in (_is_sorted, _is_causal, _is_permutation, _is_relative_position))


def _values(values: Any) -> np.ndarray:
    """The values of an integer tensor; none for a tensor without values (on the device meta) or in a packed dtype."""
    if is_torch(values):
        has_values = not values.is_meta and str(values.layout) == "torch.strided" and not values.is_nested
        try:
            return values.detach().cpu().numpy() if has_values else np.zeros(0)
        except TypeError:  # bits and sub-byte integers
            return np.zeros(values.numel())
    if isinstance(values, np.ndarray):
        return values
    return values.file.view(np.dtype(values.dtype), values.n, values.offset).reshape(values.shape)


def _is_sorted(values: np.ndarray) -> bool:
    """Return True for increasing positions along the last axis, not all equal."""
    steps = np.diff(values.astype(np.float64))
    return bool(steps.size and (steps >= 0).all() and (steps > 0).any(axis=-1).all())


def _is_causal(values: np.ndarray) -> bool:
    """Return True for a mask of zeros and ones that is triangular in its last two axes."""
    if values.ndim < 2 or values.shape[-1] != values.shape[-2] or values.max() != 1 or values.min() != 0:
        return False
    return bool((values == np.tril(values)).all() or (values == np.triu(values)).all())


def _is_permutation(values: np.ndarray) -> bool:
    """Return True if every row holds each of 0 to n - 1 once."""
    return bool(values.shape[-1] >= MIN_VALUES and (np.sort(values) == np.arange(values.shape[-1])).all())


def _is_relative_position(values: np.ndarray) -> bool:
    """Return True for a table of the positions of each pair: symmetric, or its two halves add to a constant.

    The first row and column may be those of a class token.
    """
    if values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < MIN_POSITIONS:
        return False
    for table in (values.astype(np.float64), values[1:, 1:].astype(np.float64)):
        both = table + table.T
        if (table == table.T).all() or (both == both[0, 0]).all():
            return True
    return False
