"""The passes over values on a CUDA device, as torch operations on that device.

The histogram holds integers and equals the CPU's to the bit: the float64 sums on the way stay below 2**53.
"""

import numpy as np
import torch
from torch import Tensor

from .kernels import BINS, SIGNLESS, SLOTS
from .magnitudes import Histogram

_NEAR = 4096  # values whose mean is the centre of the powers


class CudaHistogram:
    """The histogram of the blocks added so far, kept on the device."""

    def __init__(self, device: torch.device):
        self.sums = torch.zeros((3, BINS), dtype=torch.int64, device=device)  # counts, low bits, their squares

    def add(self, values: Tensor, prunable: bool, row: np.ndarray) -> int:
        """Add a block of float32 values, unless it is unprunable, and fill `row` with (n, centre, sums of powers).

        Returns the bits of the largest magnitude.
        """
        head = values[:_NEAR].double()
        centre = head[0] + (head - head[0]).mean()
        magnitude = values.view(torch.int32) & int(SIGNLESS)
        if prunable:
            bins, low = magnitude >> 12, (magnitude & (SLOTS - 1)).double()
            for total, weights in zip(self.sums, (None, low, low * low), strict=True):
                total += torch.bincount(bins, weights=weights, minlength=BINS).long()
        d = values.double() - centre
        square = d * d
        powers = d.sum(), square.sum(), (square * d).sum(), (square * square).sum()
        numbers = torch.stack([centre, *powers, magnitude.max().double()]).cpu().numpy()  # one wait for the device
        row[0], row[1:] = values.numel(), numbers[:-1]
        return int(numbers[-1])

    def histogram(self) -> Histogram:
        """The histogram of all blocks, as arrays on the CPU."""
        used = self.sums[0].nonzero()[:, 0]
        return Histogram(used.cpu().numpy(), *self.sums[:, used].cpu().numpy())


def count_slots(values: Tensor, wanted: np.ndarray, rows: np.ndarray, n_rows: int) -> np.ndarray:
    """How often each slot of each wanted bin occurs: int64 of shape (rows, slots)."""
    magnitude = values.view(torch.int32) & int(SIGNLESS)
    bins = magnitude >> 12
    here = torch.from_numpy(wanted).to(values.device)[bins] > 0
    places = torch.from_numpy(rows).to(values.device)[bins[here]].long() * SLOTS + (magnitude[here] & (SLOTS - 1))
    return torch.bincount(places, minlength=n_rows * SLOTS).reshape(n_rows, SLOTS).cpu().numpy()
