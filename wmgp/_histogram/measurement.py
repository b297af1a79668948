"""A few passes over the parameters, a block at a time on all cores -> moments, magnitudes and counts.

The first pass takes the moments and the histogram; the second looks again only at the few bins that hold a boundary
asked for; the third counts what a threshold prunes of each tensor. Half precision is read once (see `halves`). Small
sources, and float64 ones, are sorted instead.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from .block_histogram import BlockHistogram, by_value
from .magnitudes import Histogram, Magnitudes

SORTED_BELOW = 100_000  # values: sorting so few takes a millisecond, and needs nothing compiled
CHUNK, DEVICE_CHUNK = 1 << 20, 3 << 22  # values a task reads; fixed, so that sums never depend on the threads
SQUARABLE = (1e-70, 1e70)  # the range of a largest magnitude whose fourth powers float64 can sum
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Measurement:
    """What the first pass learns: the moments of every tensor, and enough of the pool to find its levels."""

    parameters: Sequence[Parameter]
    tensors: Moments  # an entry a parameter
    histogram: Histogram | None  # None: the values are to be sorted
    blocks: Mapping[tuple[int, int], half_precision.Counts] = field(
        default_factory=dict
    )  # (place, first value): counted ones

    @cached_property
    def pool(self) -> np.ndarray:
        """Places of the prunable parameters."""
        return np.flatnonzero([p.prunable for p in self.parameters])

    @cached_property
    def pooled(self) -> Moments:
        """The pool's moments, in one entry."""
        members = self.tensors.take(self.pool[self.tensors.n[self.pool] > 0])
        return members.merged(np.zeros(min(members.n.size, 1), dtype=np.int64))

    @cached_property
    def unprunable_energy(self) -> float:
        """Energy of the parameters that cannot be pruned."""
        frozen = np.setdiff1d(np.arange(len(self.parameters)), self.pool)
        return float(self.tensors.energy[frozen].sum())

    @cached_property
    def _sorted(self) -> Magnitudes:
        """The pool's magnitudes, a level a value, where they are too few for a histogram."""
        values = np.concatenate([np.abs(_float64(self.parameters[i])) for i in self.pool] or [np.zeros(0)])
        values.sort()
        return Magnitudes(values, values, np.ones(values.size, dtype=np.int64), values**2)

    def levels(self, ranks: Int[np.ndarray, " k"]) -> Magnitudes:
        """The pool's magnitudes, exact wherever the n smallest are pruned for an n in `ranks`."""
        if self.histogram is None:
            return self._sorted
        pool = [self.parameters[i] for i in self.pool]
        return self.histogram.levels(ranks, lambda bins: _slots(pool, bins))

    def pruned(self, magnitudes: Magnitudes, ranks: Int[np.ndarray, " k"]) -> Int[np.ndarray, "k tensors"]:
        """How many values of each tensor are among the n smallest, for each n in `ranks`.

        Equal values go in the order of the tensors.
        """
        thresholds = np.nan_to_num(magnitudes.threshold(ranks), nan=0.0)  # nothing pruned: no ties go either
        below, equal = self._below(thresholds)
        ties = np.array([magnitudes.ties_pruned(int(n)) for n in ranks])[:, None]
        before = np.cumsum(equal, axis=1) - equal
        return below + np.clip(ties - before, 0, equal)

    def _below(self, thresholds: Float[np.ndarray, " k"]) -> Int[np.ndarray, "2 k tensors"]:
        """How many magnitudes of each tensor lie below each threshold, and how many equal it."""
        chunks = list(_chunks(self.parameters, self.pool.tolist()))
        found = np.zeros((2, thresholds.size, len(self.parameters)), dtype=np.int64)
        parts = np.zeros((len(chunks), 2, thresholds.size), dtype=np.int64)

        def work(mine: range) -> None:
            for c in mine:
                i, start, stop = chunks[c]
                p, counted = self.parameters[i], self.blocks.get((i, start))
                if counted:
                    parts[c] = half_precision.count_below(counted, p.dtype, thresholds)
                else:
                    parts[c] = _count_below(p.block(start, stop), thresholds, self.histogram is None)
                    p.release()

        _run_in_threads(work, chunks, self.parameters)
        for c, (i, _, _) in enumerate(chunks):
            found[:, :, i] += parts[c]
        return found


def measure(parameters: Sequence[Parameter], progress: Progress | None = None) -> Measurement:
    """The first pass over the parameters. Raises `InputError` naming the first tensor with NaN or infinity."""
    n = sum(p.n for p in parameters)
    if n < SORTED_BELOW or any(p.dtype == "float64" for p in parameters):
        return _measure_sorted(parameters)
    chunks = list(_chunks(parameters, range(len(parameters))))
    rows, largest = np.zeros((len(chunks), 6)), np.zeros(len(chunks), dtype=np.uint32)
    done, telling = 0, Lock()

    def tell(values: int) -> None:
        nonlocal done
        with telling:
            done += values
            if progress:
                progress(done, n)

    def work(mine: range) -> BlockHistogram:
        counter = BlockHistogram(half_precision.ROOM * len(mine) // len(chunks))
        for c in mine:
            i, start, stop = chunks[c]
            largest[c] = counter.count(i, parameters[i], start, stop, rows[c])
            parameters[i].release()
            tell(stop - start)
        return counter

    counters = _run_in_threads(work, chunks, parameters)
    firsts = np.flatnonzero([start == 0 for _, start, _ in chunks])
    magnitude = to_float64(np.maximum.reduceat(largest, firsts).view(np.float32))
    _refuse_unfinite(parameters, magnitude)
    histogram = Histogram.merged([counter.histogram() for counter in counters])
    blocks = {place: counts for counter in counters for place, counts in counter.halves.blocks.items()}
    return Measurement(parameters, Moments.from_powers(rows).merged(firsts), histogram, blocks)


def _measure_sorted(parameters: Sequence[Parameter]) -> Measurement:
    """The first pass where everything will be sorted: moments tensor by tensor."""
    entries, largest = [], np.zeros(len(parameters))
    for i, p in enumerate(parameters):
        values = _float64(p)
        largest[i] = np.abs(values).max(initial=0)
        _refuse_unfinite([p], largest[i : i + 1])
        with np.errstate(over="ignore", invalid="ignore"):  # what is out of range is refused below
            entries.append(moments(values))
    low, high = SQUARABLE
    if largest.any() and not low < largest.max() < high:
        name = parameters[int(largest.argmax())].name
        raise InputError(f"{name}: expected a largest magnitude between {low} and {high}, found {largest.max():.3g}")
    fields = [np.concatenate([getattr(m, f) for m in entries] or [np.zeros(0)]) for f in Moments.__annotations__]
    return Measurement(parameters, Moments(*fields), None)


def _slots(pool: Sequence[Parameter], bins: np.ndarray) -> Int[np.ndarray, "refined slots"]:
    """The second pass: how often each of the 4,096 values of each of these bins occurs."""
    from . import kernels

    wanted = np.zeros(kernels.BINS, dtype=np.uint8)
    rows = np.zeros(kernels.BINS, dtype=np.int32)
    wanted[bins], rows[bins] = 1, np.arange(bins.size)
    chunks = list(_chunks(pool, range(len(pool))))

    def work(mine: range) -> np.ndarray:
        counts, found = np.zeros((bins.size, kernels.SLOTS), dtype=np.int64), np.zeros(4097, dtype=np.uint32)
        for c in mine:
            i, start, stop = chunks[c]
            block = pool[i].block(start, stop)
            if isinstance(block, np.ndarray):
                kernels.count_slots(block.view(np.uint32), wanted, rows, found, counts)
            else:
                from . import cuda

                counts += cuda.count_slots(block, wanted, rows, bins.size)
            pool[i].release()
        return counts

    parts = _run_in_threads(work, chunks, pool)
    for part in parts[1:]:
        parts[0] += part
    return parts[0]


def _count_below(block: Any, thresholds: np.ndarray, in_float64: bool) -> np.ndarray:
    """How many magnitudes of a block lie below each threshold, and how many equal it: (2, thresholds)."""
    if isinstance(block, np.ndarray) and not in_float64:
        from .kernels import count_below

        return count_below(block.view(np.uint32), thresholds.astype(np.float32).view(np.uint32))
    magnitude = abs(_widened(block)) if in_float64 else abs(block)
    return np.array([[int(found.sum()) for found in (magnitude < t, magnitude == t)] for t in thresholds.tolist()]).T


def _chunks(parameters: Sequence[Parameter], which: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(place, start, stop) of every piece to read; an empty tensor has one empty piece."""
    for i in which:
        p = parameters[i]
        size = DEVICE_CHUNK if p.on_cuda else half_precision.CHUNK if by_value(p) else CHUNK
        for start in range(0, max(p.n, 1), size):
            yield i, start, min(start + size, p.n)


def _run_in_threads(
    work: Callable[[range], object], chunks: Sequence[tuple[int, int, int]], parameters: Sequence[Parameter]
) -> list[Any]:
    """Run the chunks on all cores, a run of neighbours each; what is small is not worth a second thread.

    Nor does a CUDA device gain from one.
    """
    n = sum(stop - start for _, start, stop in chunks)
    workers = max(1, min(cores(), len(chunks), n >> 18))
    if workers == 1 or any(p.on_cuda for p in parameters):
        return [work(range(len(chunks)))]
    ends = np.cumsum([stop - start for _, start, stop in chunks])
    cuts = [0, *np.searchsorted(ends, n * np.arange(1, workers) / workers), len(chunks)]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, (range(a, b) for a, b in zip(cuts, cuts[1:], strict=False))))


def cores() -> int:
    """How many processor cores this process may use; all of them where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _float64(p: Parameter) -> Float[np.ndarray, " n"]:
    block = _widened(p.block(0, p.n))
    return block if isinstance(block, np.ndarray) else block.cpu().numpy()


def _widened(block: Any) -> Any:
    """A copy in float64, where it lies."""
    return to_float64(block) if isinstance(block, np.ndarray) else block.double()


def _refuse_unfinite(parameters: Sequence[Parameter], largest: np.ndarray) -> None:
    for p, magnitude in zip(parameters, largest, strict=True):
        if not np.isfinite(magnitude):
            raise InputError(f"{p.name}: expected finite values, found NaN or infinity")
