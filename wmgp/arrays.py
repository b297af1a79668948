"""Conversions between torch tensors and numpy arrays, and dtype names common to both.

Functions that only look at a value do not import torch.
"""

import sys
from typing import Any

import numpy as np


def is_torch(x: Any) -> bool:
    """Return True if x is a torch tensor. Does not import torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def native_byte_order(values: np.ndarray) -> np.ndarray:
    """The array in the machine's byte order, which numba and torch require."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def dtype_name(x: Any) -> str:
    """The dtype's name, spelled the same for numpy and torch, e.g. "float32" or "bfloat16"."""
    return getattr(x.dtype, "name", str(x.dtype)).removeprefix("torch.")


def torch_to_numpy(tensor: Any) -> np.ndarray:
    """A CPU tensor as an array that shares its memory; bfloat16 becomes its bits in uint16."""
    import torch

    tensor = tensor.detach().resolve_neg()
    return tensor.view(torch.int16).numpy().view(np.uint16) if tensor.dtype == torch.bfloat16 else tensor.numpy()


def to_numpy(x: Any) -> np.ndarray:
    """A tensor, array or list as an array on the CPU; bfloat16 becomes float32, exactly."""
    if is_torch(x):
        x = x.detach().cpu()
        return (x.float() if dtype_name(x) == "bfloat16" else x).numpy()
    x = np.asarray(x)
    return x.astype(np.float32) if dtype_name(x) == "bfloat16" else x


def to_bits(values: np.ndarray, dtype: str) -> np.ndarray:
    """Floating-point values rounded to a dtype (half to even), as unsigned integers of its width: 16, 32 or 64 bits."""
    if dtype != "bfloat16":
        rounded = np.ascontiguousarray(values, dtype=dtype)
        return rounded.view(f"u{rounded.itemsize}")
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def from_bits(bits: np.ndarray, dtype: str) -> Any:
    """The bits of `to_bits` as a torch tensor that shares their memory."""
    import torch

    return torch.from_numpy(bits.view(f"i{bits.itemsize}")).view(getattr(torch, dtype))


def to_float64(values: np.ndarray) -> np.ndarray:
    """An exact copy in float64. A signalling NaN becomes a quiet NaN, without numpy's warning."""
    with np.errstate(invalid="ignore"):
        return values.astype(np.float64)
