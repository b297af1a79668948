"""Passes over the parameters, block by block on all cores: moments, magnitudes and counts.

The first pass computes the moments and the histogram. The second refines the few bins that hold a requested boundary.
The third counts each tensor's values below a threshold. Half precision is read once (see `half_precision`). Small
sources, and sources with float64 tensors, are sorted instead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ..arrays import to_float64
from ..errors import InputError
from ..moments import Moments, moments
from ..parameters import Parameter
from . import half_precision
from .block_histogram import BlockHistogram
from .blocks import run_in_threads, split
from .magnitudes import Histogram, Magnitudes

SORTED_BELOW = 100_000  # values: sorting fewer takes a millisecond, and loads no compiled code
MIN_LARGEST, MAX_LARGEST = 1e-70, 1e70  # of float64 magnitudes: their fourth powers can be summed
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Measurement:
    """The result of the first pass; its methods make the other passes. Tensors are in the order of `parameters`."""

    parameters: Sequence[Parameter]
    tensor_moments: Moments  # one entry per tensor
    histogram: Histogram | None  # of the pool; None if the values are sorted instead
    # Of half-precision blocks, by (index of the tensor, first value):
    block_counts: Mapping[tuple[int, int], half_precision.Counts] = field(default_factory=dict)
    not_finite: Sequence[str] = ()  # names of the tensors outside the pool that were left out

    @cached_property
    def pool(self) -> np.ndarray:
        """Indices of the prunable parameters."""
        return np.flatnonzero([p.prunable for p in self.parameters])

    @cached_property
    def pool_moments(self) -> Moments:
        """Moments of all values of the pool, as one entry; no entry for an empty pool."""
        nonempty = self.tensor_moments.take(self.pool[self.tensor_moments.n[self.pool] > 0])
        return nonempty.merged(np.zeros(min(nonempty.n.size, 1), dtype=np.int64))

    @cached_property
    def unprunable_energy(self) -> float:
        """Sum of squares of the parameters outside the pool."""
        return float(self.tensor_moments.energy[self.outside_tensors].sum())

    @property
    def outside(self) -> float:
        """The share of the energy outside the pool, in [0, 1]; nan if all values are zero."""
        with np.errstate(invalid="ignore"):
            return float(np.float64(self.unprunable_energy) / self.tensor_moments.energy.sum())

    @cached_property
    def outside_tensors(self) -> np.ndarray:
        """Indices of the parameters outside the pool."""
        return np.flatnonzero([not p.prunable for p in self.parameters])

    @property
    def coarse(self) -> Magnitudes:
        """The pool's magnitudes, one level per bin of the histogram; sorted values have a level each."""
        return self._sorted if self.histogram is None else self.histogram.coarse

    @cached_property
    def _sorted(self) -> Magnitudes:
        """The pool's sorted magnitudes, one level per value."""
        values = np.concatenate([np.abs(_read_float64(self.parameters[i])) for i in self.pool] or [np.zeros(0)])
        values.sort()
        return Magnitudes(values, values, np.ones(values.size, dtype=np.int64), values**2)

    def levels(self, n_pruned: Int[np.ndarray, " k"]) -> Magnitudes:
        """The pool's magnitudes, exact at the boundaries of these numbers of pruned values."""
        if self.histogram is None:
            return self._sorted
        pool = [self.parameters[i] for i in self.pool]
        return self.histogram.levels(n_pruned, lambda bins: count_slots(pool, bins))

    def count_pruned(
        self, magnitudes: Magnitudes, n_pruned: Int[np.ndarray, " k"]
    ) -> tuple[Int[np.ndarray, "k tensors"], Int[np.ndarray, " tensors"]]:
        """The number of pruned values of each tensor, for each total `n_pruned`, and the number of its zeros.

        Values equal to the threshold are pruned in the order of the tensors.
        """
        thresholds = np.nan_to_num(magnitudes.threshold(n_pruned), nan=0.0)  # nan: nothing is pruned
        below, equal = self._count_below(np.append(thresholds, 0.0), self.pool)
        _, zeros_outside = self._count_below(np.zeros(1), self.outside_tensors)
        zeros = equal[-1] + zeros_outside[0]
        below, equal = below[:-1], equal[:-1]
        ties = np.array([magnitudes.ties_pruned(int(n)) for n in n_pruned])[:, None]
        ties_before = np.cumsum(equal, axis=1) - equal
        return below + np.clip(ties - ties_before, 0, equal), zeros

    def _count_below(self, thresholds: Float[np.ndarray, " k"], tensors: np.ndarray) -> Int[np.ndarray, "2 k tensors"]:
        """The number of the magnitudes of these tensors below and equal to each threshold; 0 for other tensors."""
        blocks = list(split(self.parameters, tensors.tolist()))
        by_tensor = np.zeros((2, thresholds.size, len(self.parameters)), dtype=np.int64)
        by_block = np.zeros((len(blocks), 2, thresholds.size), dtype=np.int64)

        def count(block_range: range) -> None:
            for b in block_range:
                i, start, stop = blocks[b]
                p, counts = self.parameters[i], self.block_counts.get((i, start))
                if counts:
                    by_block[b] = half_precision.count_below(counts, p.dtype, thresholds)
                else:
                    by_block[b] = _count_block_below(p.block(start, stop), thresholds, self.histogram is None)
                    p.release()

        run_in_threads(count, blocks, self.parameters)
        for b, block in enumerate(blocks):
            by_tensor[:, :, block.tensor] += by_block[b]
        return by_tensor


def is_counted(parameters: Sequence[Parameter]) -> bool:
    """Return True for parameters whose magnitudes are counted by a histogram; others are sorted."""
    return sum(p.n for p in parameters) >= SORTED_BELOW and all(p.dtype != "float64" for p in parameters)


def measure(parameters: Sequence[Parameter], progress: Progress | None = None) -> Measurement:
    """Make the first pass. Raises `InputError` that names the pool's first tensor with NaN or infinity.

    A tensor outside the pool with NaN or infinity, such as a causal mask, is left out.
    `progress` is called with (number of values done, number of values), possibly from several threads.
    """
    n = sum(p.n for p in parameters)
    if not is_counted(parameters):
        return _measure_by_sorting(parameters)
    blocks = list(split(parameters, range(len(parameters))))
    rows, largest_bits = np.zeros((len(blocks), 6)), np.zeros(len(blocks), dtype=np.uint32)
    n_done, lock = 0, Lock()

    def report_progress(n_values: int) -> None:
        nonlocal n_done
        with lock:
            n_done += n_values
            if progress:
                progress(n_done, n)

    def count(block_range: range) -> BlockHistogram:
        thread_histogram = BlockHistogram(half_precision.MAX_COUNT_BYTES * len(block_range) // len(blocks))
        for b in block_range:
            block = blocks[b]
            p = parameters[block.tensor]
            largest_bits[b] = thread_histogram.count(p, block, rows[b])
            p.release()
            report_progress(block.stop - block.start)
        return thread_histogram

    thread_histograms = run_in_threads(count, blocks, parameters)
    first_blocks = np.flatnonzero([block.start == 0 for block in blocks])  # of each tensor
    largest = to_float64(np.maximum.reduceat(largest_bits, first_blocks).view(np.float32))
    histogram = Histogram.merged([part.histogram() for part in thread_histograms])
    block_counts = {
        key: counts for part in thread_histograms for key, counts in part.half_precision.block_counts.items()
    }
    with np.errstate(invalid="ignore"):  # infinite values outside the pool
        tensor_moments = Moments.from_powers(rows).merged(first_blocks)
    return _finite(Measurement(parameters, tensor_moments, histogram, block_counts), largest)


def _measure_by_sorting(parameters: Sequence[Parameter]) -> Measurement:
    """The first pass of sources that are sorted: moments tensor by tensor, without a histogram."""
    entries, largest = [], np.zeros(len(parameters))
    for i, p in enumerate(parameters):
        values = _read_float64(p)
        largest[i] = np.abs(values).max(initial=0)
        with np.errstate(over="ignore", invalid="ignore"):  # magnitudes out of range are rejected below
            entries.append(moments(values))
    fields = [np.concatenate([getattr(m, f) for m in entries] or [np.zeros(0)]) for f in Moments.__annotations__]
    measurement = _finite(Measurement(parameters, Moments(*fields), None), largest)
    largest = np.where(np.isfinite(largest), largest, 0)
    if largest.any() and not MIN_LARGEST < largest.max() < MAX_LARGEST:
        name, limits = parameters[int(largest.argmax())].name, f"{MIN_LARGEST} and {MAX_LARGEST}"
        raise InputError(f"{name}: expected a largest magnitude between {limits}, found {largest.max():.3g}")
    return measurement


def count_slots(pool: Sequence[Parameter], bins: np.ndarray) -> Int[np.ndarray, "refined slots"]:
    """The second pass: count the values in each of the 4,096 slots of these bins."""
    from . import kernels

    wanted = np.zeros(kernels.N_BINS, dtype=np.uint8)
    rows = np.zeros(kernels.N_BINS, dtype=np.int32)
    wanted[bins], rows[bins] = 1, np.arange(bins.size)
    blocks = list(split(pool, range(len(pool))))

    def count(block_range: range) -> np.ndarray:
        counts, buffer = np.zeros((bins.size, kernels.N_SLOTS), dtype=np.int64), np.zeros(4097, dtype=np.uint32)
        for b in block_range:
            i, start, stop = blocks[b]
            values = pool[i].block(start, stop)
            if isinstance(values, np.ndarray):
                kernels.count_slots(values.view(np.uint32), wanted, rows, buffer, counts)
            else:
                from . import cuda

                counts += cuda.count_slots(values, wanted, rows, bins.size)
            pool[i].release()
        return counts

    total, *others = run_in_threads(count, blocks, pool)
    for counts in others:
        total += counts
    return total


def _count_block_below(values: Any, thresholds: np.ndarray, in_float64: bool) -> np.ndarray:
    """Count a block's magnitudes below and equal to each threshold: shape (2, thresholds)."""
    if isinstance(values, np.ndarray) and not in_float64:
        from .kernels import count_below

        return count_below(values.view(np.uint32), thresholds.astype(np.float32).view(np.uint32))
    magnitude = abs(_to_float64(values)) if in_float64 else abs(values)
    return np.array([[int(mask.sum()) for mask in (magnitude < t, magnitude == t)] for t in thresholds.tolist()]).T


def _read_float64(p: Parameter) -> Float[np.ndarray, " n"]:
    values = _to_float64(p.block(0, p.n))
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def _to_float64(values: Any) -> Any:
    """A copy in float64, an array or a tensor on the same device."""
    return to_float64(values) if isinstance(values, np.ndarray) else values.double()


def _finite(measurement: Measurement, largest: Float[np.ndarray, " tensors"]) -> Measurement:
    """Leave out the tensors outside the pool whose largest magnitude is not finite; raise InputError for the pool's."""
    parameters = measurement.parameters
    is_finite = np.isfinite(largest)
    if is_finite.all():
        return measurement
    left_out = [parameters[i] for i in np.flatnonzero(~is_finite).tolist()]
    for p in left_out:
        if p.prunable:
            raise InputError(f"{p.name}: expected finite values, found NaN or infinity")
    kept = np.flatnonzero(is_finite)
    index = {old: new for new, old in enumerate(kept.tolist())}
    return Measurement(
        [parameters[i] for i in kept.tolist()],
        measurement.tensor_moments.take(kept),
        measurement.histogram,
        {(index[i], start): counts for (i, start), counts in measurement.block_counts.items() if i in index},
        [p.name for p in left_out],
    )
