"""Per-thread histograms: each block is counted on its own device, with the method for its dtype."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ..parameters import Parameter
from . import half_precision
from .blocks import Block
from .magnitudes import Histogram


class BlockHistogram:
    """The histogram of the blocks counted by one thread.

    float32 goes to packed counters, which are emptied before they could overflow. Half precision and CUDA devices have
    counters of their own.
    """

    def __init__(self, half_precision_bytes: int) -> None:
        from . import kernels

        self.kernels = kernels
        self.half_precision = half_precision.HalfPrecisionHistogram(half_precision_bytes)
        self.packed = np.zeros((kernels.N_BINS, 2), dtype=np.uint64)
        self.no_counters = np.zeros((0, 2), dtype=np.uint64)
        self.parts: list[Histogram] = []
        self.n_packed, self.first_bin, self.last_bin = 0, kernels.N_BINS, 0  # of the values in the packed counters
        self.cuda: dict[Any, Any] = {}  # histograms by device

    def count(self, p: Parameter, block: Block, row: np.ndarray) -> int:
        """Count a block if it is prunable, fill its row of moments, and return the bits of its largest magnitude."""
        tensor, start, stop = block
        if start == stop:
            return 0
        if half_precision.is_counted_by_value(p):
            bits = p.raw_block(start, stop).view(np.uint16)
            return self.half_precision.count((tensor, start), bits, p.dtype, p.prunable, row)
        values = p.block(start, stop)
        if not isinstance(values, np.ndarray):
            return self._cuda_histogram(values.device).add(values, p.prunable, row)
        return self._add(values, p.prunable, row)

    def _add(self, values: Float[np.ndarray, " n"], prunable: bool, row: np.ndarray) -> int:
        if self.n_packed + values.size > self.kernels.MAX_PACKED:
            self._empty_packed()
        packed = self.packed if prunable else self.no_counters
        smallest, largest = map(int, self.kernels.count_float32(values, values.view(np.uint32), packed, row))
        if prunable and largest < self.kernels.INFINITY_BITS:
            self.n_packed += values.size
            self.first_bin, self.last_bin = min(self.first_bin, smallest >> 12), max(self.last_bin, largest >> 12)
        return largest

    def _cuda_histogram(self, device: Any) -> Any:
        from .cuda import CudaHistogram

        if device not in self.cuda:
            self.cuda[device] = CudaHistogram(device)
        return self.cuda[device]

    def _empty_packed(self) -> None:
        self.parts.append(Histogram(*self.kernels.unpack_and_clear(self.packed, self.first_bin, self.last_bin)))
        self.n_packed = 0

    def histogram(self) -> Histogram:
        """The histogram of all blocks counted so far."""
        self._empty_packed()
        on_cuda = (part.histogram() for part in self.cuda.values())
        return Histogram.merged([*self.parts, *self.half_precision.histograms(), *on_cuda])
