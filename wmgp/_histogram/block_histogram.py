"""What one worker counts of the blocks that it is given, each where its values lie and as its dtype allows."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ..parameters import Parameter
from . import half_precision
from .magnitudes import Histogram


def by_value(p: Parameter) -> bool:
    """Whether the values of a tensor are counted one by one."""
    return p.dtype in half_precision.DTYPES and p.n >= half_precision.FROM and not p.on_cuda


class BlockHistogram:
    """The histogram of the blocks given so far.

    float32 goes to packed counters, drained before they could overflow; half precision, and what lies on a device, to
    counters of their own.
    """

    def __init__(self, room: int) -> None:
        from . import kernels

        self.kernels = kernels
        self.halves = half_precision.HalfHistogram(room)
        self.packed = np.zeros((kernels.BINS, 2), dtype=np.uint64)
        self.nothing = np.zeros((0, 2), dtype=np.uint64)
        self.parts: list[Histogram] = []
        self.held, self.first, self.last = 0, kernels.BINS, 0  # values in the counters; the bins they may be in
        self.devices: dict[Any, Any] = {}

    def count(self, place: int, p: Parameter, start: int, stop: int, row: np.ndarray) -> int:
        """Count a block where it is prunable, fill its row of moments, and return its largest magnitude's bits."""
        if start == stop:
            return 0
        if by_value(p):
            bits = p.raw_block(start, stop).view(np.uint16)
            return self.halves.count((place, start), bits, p.dtype, p.prunable, row)
        block = p.block(start, stop)
        if not isinstance(block, np.ndarray):
            return self._there(block.device).add(block, p.prunable, row)
        return self._add(block, p.prunable, row)

    def _add(self, block: Float[np.ndarray, " n"], prunable: bool, row: np.ndarray) -> int:
        if self.held + block.size > self.kernels.FLUSH:
            self._drain()
        packed = self.packed if prunable else self.nothing
        smallest, largest = map(int, self.kernels.first_pass(block, block.view(np.uint32), packed, row))
        if prunable and largest < self.kernels.INFINITE:
            self.held += block.size
            self.first, self.last = min(self.first, smallest >> 12), max(self.last, largest >> 12)
        return largest

    def _there(self, where: Any) -> Any:
        """The counter on a device."""
        from .cuda import CudaHistogram

        if where not in self.devices:
            self.devices[where] = CudaHistogram(where)
        return self.devices[where]

    def _drain(self) -> None:
        self.parts.append(Histogram(*self.kernels.drain(self.packed, self.first, self.last)))
        self.held = 0

    def histogram(self) -> Histogram:
        """All that was counted so far."""
        self._drain()
        devices = (counter.histogram() for counter in self.devices.values())
        return Histogram.merged([*self.parts, *self.halves.histograms(), *devices])
