"""The kernels' work for values on a CUDA device, on the device they lie on.

The histogram comes out equal to the CPU's to the bit: it is made of integers. A kernel of its own adds them up (see
`device_kernels`); where there is no Triton, torch operations do, and the float64 sums they pass through stay below
2**53.
"""

import functools
import importlib.util

import numpy as np
import torch
from torch import Tensor

from .kernels import BINS, SIGNLESS, SLOTS
from .magnitudes import Histogram

_NEAR = 4096  # values whose mean the powers are taken about


class CudaHistogram:
    """The histogram of what it was given so far, kept on the device."""

    def __init__(self, device: torch.device):
        self.kernels = _kernels() if device.type == "cuda" else None
        self.sums = torch.zeros((3, BINS), dtype=torch.int64, device=device)  # counts, lower bits, their squares
        self.packed = torch.zeros((BINS if self.kernels else 0, 2), dtype=torch.int64, device=device)
        self.held = 0  # values in the packed counters

    def add(self, values: Tensor, prunable: bool, row: np.ndarray) -> int:
        """Count float32 values where they are prunable; fills `row` with (n, centre, powers).

        Returns the bits of the largest magnitude.
        """
        head = values[:_NEAR].double()
        centre = head[0] + (head - head[0]).mean()
        if self.kernels is None:
            powers, largest = self._in_operations(values, prunable, centre)
        else:
            if self.held + values.numel() > self.kernels.HELD:
                self._drain()
            self.held += values.numel() if prunable else 0
            powers, largest = self.kernels.first_pass(values, centre, self.packed if prunable else None)
        facts = torch.stack([centre, *powers, largest.double()]).cpu().numpy()  # one wait for the device
        row[0], row[1:] = values.numel(), facts[:-1]
        return int(facts[-1])

    def histogram(self) -> Histogram:
        """All that was counted so far."""
        self._drain()
        used = self.sums[0].nonzero()[:, 0]
        return Histogram(used.cpu().numpy(), *self.sums[:, used].cpu().numpy())

    def _in_operations(self, values: Tensor, prunable: bool, centre: Tensor) -> tuple[Tensor, Tensor]:
        """The four powers' sums, and the largest magnitude's bits."""
        magnitude = values.view(torch.int32) & int(SIGNLESS)
        if prunable:
            bins, low = magnitude >> 12, (magnitude & (SLOTS - 1)).double()
            for total, weights in zip(self.sums, (None, low, low * low), strict=True):
                total += torch.bincount(bins, weights=weights, minlength=BINS).long()
        d = values.double() - centre
        square = d * d
        return torch.stack([d.sum(), square.sum(), (square * d).sum(), (square * square).sum()]), magnitude.max()

    def _drain(self) -> None:
        if self.held and self.kernels:
            self.kernels.drain(self.packed, self.sums)
        self.held = 0


def count_slots(values: Tensor, wanted: np.ndarray, rows: np.ndarray, n_rows: int) -> np.ndarray:
    """How often each slot of each wanted bin occurs: int64 of shape (rows, slots)."""
    magnitude = values.view(torch.int32) & int(SIGNLESS)
    bins = magnitude >> 12
    here = torch.from_numpy(wanted).to(values.device)[bins] > 0
    places = torch.from_numpy(rows).to(values.device)[bins[here]].long() * SLOTS + (magnitude[here] & (SLOTS - 1))
    return torch.bincount(places, minlength=n_rows * SLOTS).reshape(n_rows, SLOTS).cpu().numpy()


@functools.cache
def _kernels():
    """The module of Triton's kernels; None where there is no Triton, which comes with PyTorch for CUDA on Linux."""
    if importlib.util.find_spec("triton") is None:
        return None
    from . import triton_kernels

    return triton_kernels
