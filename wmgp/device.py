"""The kernels' work for values on an accelerator, in torch operations on the device they lie on.

The histogram comes out equal to the CPU's to the bit: it is made of integers, and the float64 sums it passes through
stay below 2**53.
"""

import numpy as np
import torch
from torch import Tensor

from .kernels import BINS, SIGNLESS, SLOTS


def first_pass(values: Tensor, histogram) -> tuple[np.ndarray, np.uint32]:
    """Add the float32 values' magnitudes to the histogram (None: do not); gives (n, centre, powers), largest."""
    row = np.zeros(6)
    if values.numel() == 0:
        return row, np.uint32(0)
    magnitude = values.view(torch.int32) & int(SIGNLESS)
    if histogram is not None:
        bins, low = magnitude >> 12, (magnitude & (SLOTS - 1)).double()
        histogram.count[:] += _sums(bins, None)
        histogram.low[:] += _sums(bins, low)
        histogram.square[:] += _sums(bins, low * low)
    first = values[0].double()
    centre = first + (values.double() - first).mean()
    d = values.double() - centre
    powers = torch.stack([d.sum(), (d**2).sum(), (d**3).sum(), (d**4).sum()])
    row[0], row[1], row[2:] = values.numel(), float(centre), powers.cpu().numpy()
    return row, np.uint32(int(magnitude.max()))


def count_slots(values: Tensor, wanted: np.ndarray, rows: np.ndarray, n_rows: int) -> np.ndarray:
    """How often each slot of each wanted bin occurs: int64 of shape (rows, slots)."""
    magnitude = values.view(torch.int32) & int(SIGNLESS)
    bins = magnitude >> 12
    here = torch.from_numpy(wanted).to(values.device)[bins] > 0
    places = torch.from_numpy(rows).to(values.device)[bins[here]].long() * SLOTS + (magnitude[here] & (SLOTS - 1))
    return torch.bincount(places, minlength=n_rows * SLOTS).reshape(n_rows, SLOTS).cpu().numpy()


def _sums(bins: Tensor, weights: Tensor | None) -> np.ndarray:
    return torch.bincount(bins, weights=weights, minlength=BINS).cpu().numpy().astype(np.int64)
