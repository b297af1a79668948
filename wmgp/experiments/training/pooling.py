"""Max-pooling of windows of two by two, several times as fast on a CPU as PyTorch's, with the same bits.

PyTorch's keeps an index of 64 bits for every window and walks six channels one by one: in the LeNets that is a fifth of
a step. Here the largest value is looked up again on the way back.
"""

from typing import Any, cast

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

FASTEST: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}


class HalvingPool(nn.MaxPool2d):
    """`nn.MaxPool2d(2)`: [n, c, h, w] to [n, c, h // 2, w // 2]."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, input: Float[Tensor, "*n c h w"]) -> Float[Tensor, "*n c s t"]:
        """Of equal values the first one, row by row, gets the gradient. NaN goes through, but its gradient is lost."""
        ours = input.device.type == "cpu" and input.dtype == torch.float32 and input.ndim == 4
        return cast(Tensor, _Halved.apply(input) if ours else super().forward(input))


class _Halved(torch.autograd.Function):
    """Both directions on arrays in channels_last order."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        n, c, h, w = images.shape
        images = images.contiguous(memory_format=torch.channels_last)
        halved = torch.empty((n, c, h // 2, w // 2), memory_format=torch.channels_last)
        _largest(_array(images), _array(halved))
        ctx.save_for_backward(images, halved)
        return halved

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        images, halved = ctx.saved_tensors
        uneven = any(size % 2 for size in images.shape[2:])  # the last row or column is in no window
        gradient = torch.zeros_like(images) if uneven else torch.empty_like(images)
        _spread(_array(images), _array(halved), _array(gradients[0]), _array(gradient))
        return gradient


def _array(tensor: Tensor) -> np.ndarray:
    """The values, [n, h, w, c] and contiguous: without a copy where the tensor is channels_last."""
    return tensor.detach().permute(0, 2, 3, 1).contiguous().numpy()


@numba.njit(**FASTEST)
def _largest(images: np.ndarray, halved: np.ndarray) -> None:
    """The largest value of each window of images [n, h, w, c]."""
    n, h, w, c = halved.shape
    for i in range(n):
        for y in range(h):
            upper, lower = images[i, 2 * y], images[i, 2 * y + 1]
            for x in range(w):
                for k in range(c):
                    best = upper[2 * x, k]
                    for value in (upper[2 * x + 1, k], lower[2 * x, k], lower[2 * x + 1, k]):
                        if value > best or value != value:
                            best = value
                    halved[i, y, x, k] = best


@numba.njit(**FASTEST)
def _spread(images: np.ndarray, halved: np.ndarray, above: np.ndarray, gradient: np.ndarray) -> None:
    """Each window's gradient to where its largest value lies, zero to its other places; no branches, for speed."""
    n, h, w, c = halved.shape
    for i in range(n):
        for y in range(h):
            upper, lower = images[i, 2 * y], images[i, 2 * y + 1]
            up, low = gradient[i, 2 * y], gradient[i, 2 * y + 1]
            for x in range(w):
                for k in range(c):
                    best, g, nothing = halved[i, y, x, k], above[i, y, x, k], np.float32(0)
                    first, second = upper[2 * x, k] == best, upper[2 * x + 1, k] == best
                    third, fourth = lower[2 * x, k] == best, lower[2 * x + 1, k] == best
                    up[2 * x, k] = g if first else nothing
                    up[2 * x + 1, k] = g if second & ~first else nothing
                    low[2 * x, k] = g if third & ~(first | second) else nothing
                    low[2 * x + 1, k] = g if fourth & ~(first | second | third) else nothing
