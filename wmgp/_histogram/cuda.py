"""The passes over values on a CUDA device, as torch operations on that device.

The histogram holds integers and equals the CPU's to the bit: the float64 sums on the way stay below 2**53.
"""

import numpy as np
import torch
from torch import Tensor

from .kernels import MAGNITUDE_MASK, N_BINS, N_SLOTS
from .magnitudes import Histogram

_HEAD = 4096  # values whose mean is the centre of the powers


class CudaHistogram:
    """The histogram of the blocks added so far, kept on the device."""

    def __init__(self, device: torch.device):
        self.sums = torch.zeros((3, N_BINS), dtype=torch.int64, device=device)  # counts, slots, squared slots

    def add(self, values: Tensor, prunable: bool, row: np.ndarray) -> int:
        """Add a block of float32 values, unless it is unprunable, and fill `row` with (n, centre, sums of powers).

        Returns the bits of the largest magnitude.
        """
        head = values[:_HEAD].double()
        centre = head[0] + (head - head[0]).mean()
        magnitude = values.view(torch.int32) & int(MAGNITUDE_MASK)
        if prunable:
            bins, slots = magnitude >> 12, (magnitude & (N_SLOTS - 1)).double()
            for total, weights in zip(self.sums, (None, slots, slots * slots), strict=True):
                total += torch.bincount(bins, weights=weights, minlength=N_BINS).long()
        d = values.double() - centre
        square = d * d
        powers = d.sum(), square.sum(), (square * d).sum(), (square * square).sum()
        numbers = torch.stack([centre, *powers, magnitude.max().double()]).cpu().numpy()  # waits for the device once
        row[0], row[1:] = values.numel(), numbers[:-1]
        return int(numbers[-1])

    def histogram(self) -> Histogram:
        """The histogram of all blocks, as arrays on the CPU."""
        used = self.sums[0].nonzero()[:, 0]
        return Histogram(used.cpu().numpy(), *self.sums[:, used].cpu().numpy())


def count_slots(values: Tensor, wanted: np.ndarray, rows: np.ndarray, n_rows: int) -> np.ndarray:
    """Count the slots of the values in wanted bins: int64 of shape (n_rows, slots).

    By bin: `wanted` is 0 or 1, `rows` is the row in the result.
    """
    magnitude = values.view(torch.int32) & int(MAGNITUDE_MASK)
    bins = magnitude >> 12
    is_wanted = torch.from_numpy(wanted).to(values.device)[bins] > 0
    row = torch.from_numpy(rows).to(values.device)[bins[is_wanted]].long()
    flat_index = row * N_SLOTS + (magnitude[is_wanted] & (N_SLOTS - 1))
    return torch.bincount(flat_index, minlength=n_rows * N_SLOTS).reshape(n_rows, N_SLOTS).cpu().numpy()
