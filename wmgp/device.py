"""The kernels' work for values on an accelerator, in torch operations on the device they lie on.

The histogram comes out equal to the CPU's to the bit: it is made of integers, and the float64 sums it passes through
stay below 2**53.
"""

import numpy as np
import torch
from torch import Tensor

from .kernels import BINS, SIGNLESS, SLOTS
from .magnitudes import Histogram


def first_pass(values: Tensor, row: np.ndarray) -> tuple[int, Histogram]:
    """The largest magnitude's bits and the histogram of float32 values; fills `row` with (n, centre, powers)."""
    magnitude = values.view(torch.int32) & int(SIGNLESS)
    bins, low = magnitude >> 12, (magnitude & (SLOTS - 1)).double()
    count, lows, squares = (_sums(bins, weights) for weights in (None, low, low * low))
    used = np.flatnonzero(count)
    first = values[0].double()
    centre = first + (values.double() - first).mean()
    d = values.double() - centre
    powers = torch.stack([d.sum(), (d**2).sum(), (d**3).sum(), (d**4).sum()])
    row[0], row[1], row[2:] = values.numel(), float(centre), powers.cpu().numpy()
    return int(magnitude.max()), Histogram(used, count[used], lows[used], squares[used])


def count_slots(values: Tensor, wanted: np.ndarray, rows: np.ndarray, n_rows: int) -> np.ndarray:
    """How often each slot of each wanted bin occurs: int64 of shape (rows, slots)."""
    magnitude = values.view(torch.int32) & int(SIGNLESS)
    bins = magnitude >> 12
    here = torch.from_numpy(wanted).to(values.device)[bins] > 0
    places = torch.from_numpy(rows).to(values.device)[bins[here]].long() * SLOTS + (magnitude[here] & (SLOTS - 1))
    return torch.bincount(places, minlength=n_rows * SLOTS).reshape(n_rows, SLOTS).cpu().numpy()


def _sums(bins: Tensor, weights: Tensor | None) -> np.ndarray:
    return torch.bincount(bins, weights=weights, minlength=BINS).cpu().numpy().astype(np.int64)
