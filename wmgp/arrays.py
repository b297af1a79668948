"""Values in arrays and in torch tensors alike: the names of their dtypes, and themselves as arrays.

torch is not imported to look at an array.
"""

import sys
from typing import Any

import numpy as np


def is_torch(x: Any) -> bool:
    """Whether x is a torch tensor, without importing torch to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def native_byte_order(values: np.ndarray) -> np.ndarray:
    """The array in this machine's order of bytes, which compiled code and torch ask for."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def dtype_name(x: Any) -> str:
    """The dtype's name as numpy and torch both spell it, such as "float32" or "bfloat16"."""
    return getattr(x.dtype, "name", str(x.dtype)).removeprefix("torch.")


def torch_to_numpy(tensor: Any) -> np.ndarray:
    """A CPU tensor's values as an array sharing its memory; bfloat16 as its bits in uint16."""
    import torch

    tensor = tensor.detach().resolve_neg()
    return tensor.view(torch.int16).numpy().view(np.uint16) if tensor.dtype == torch.bfloat16 else tensor.numpy()


def to_numpy(x: Any) -> np.ndarray:
    """Values of a tensor, array or list as an array; half precisions are widened to float32, exactly."""
    if is_torch(x):
        x = x.detach().cpu()
        return (x.float() if dtype_name(x) == "bfloat16" else x).numpy()
    x = np.asarray(x)
    return x.astype(np.float32) if dtype_name(x) == "bfloat16" else x


def to_float64(values: np.ndarray) -> np.ndarray:
    """A copy in float64, exactly; a signalling NaN, of which numpy would warn, becomes a NaN like any other."""
    with np.errstate(invalid="ignore"):
        return values.astype(np.float64)
