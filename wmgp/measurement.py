"""A few passes over the parameters, a block at a time on all cores -> moments, magnitudes and counts.

The first pass takes the moments and the histogram; the second looks again only at the few bins that hold a boundary
asked for; the third counts what a threshold prunes of each tensor. Small sources, and float64 ones, are sorted instead.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from .errors import InputError
from .magnitudes import Histogram, Magnitudes
from .moments import Moments, moments
from .parameters import Parameter

SORTED_BELOW = 100_000  # values: sorting so few takes a millisecond, and needs nothing compiled
CHUNK, DEVICE_CHUNK = 1 << 20, 1 << 24  # values a task reads; fixed, so that sums never depend on the threads
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Measurement:
    """What the first pass learns: the moments of every tensor, and enough of the pool to find its levels."""

    parameters: Sequence[Parameter]
    tensors: Moments  # an entry a parameter
    largest: Float[np.ndarray, " tensors"]  # magnitude; 0 for an empty tensor
    histogram: Histogram | None  # None: the values are to be sorted

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
    def frozen_energy(self) -> float:
        """Energy of the parameters that cannot be pruned."""
        frozen = np.setdiff1d(np.arange(len(self.parameters)), self.pool)
        return float(self.tensors.energy[frozen].sum())

    def levels(self, ranks: Int[np.ndarray, " k"]) -> Magnitudes:
        """The pool's magnitudes, exact wherever the n smallest are pruned for an n in `ranks`."""
        pool = [self.parameters[i] for i in self.pool]
        if self.histogram is None:
            values = np.concatenate([_magnitudes(p) for p in pool] or [np.zeros(0)])
            values.sort()
            return Magnitudes(values, values, np.ones(values.size, dtype=np.int64), values**2)
        return self.histogram.levels(ranks, lambda bins: _slots(pool, bins))

    def pruned(self, magnitudes: Magnitudes, n_pruned: int) -> Int[np.ndarray, " tensors"]:
        """How many values of each tensor are among the n_pruned smallest; equal ones go in the order of the tensors."""
        counts = np.zeros(len(self.parameters), dtype=np.int64)
        if n_pruned == 0:
            return counts
        threshold = magnitudes.threshold(np.array([n_pruned]))[0]
        below, equal = self._below(threshold)
        ties = np.cumsum(equal)
        return below + np.clip(magnitudes.ties_pruned(n_pruned) - (ties - equal), 0, equal)

    def _below(self, threshold: float) -> np.ndarray:
        """How many magnitudes of each tensor lie below a threshold, and how many equal it: (2, tensors)."""
        found = np.zeros((2, len(self.parameters)), dtype=np.int64)
        for i in self.pool.tolist():  # those that lose all of it need no look
            found[0, i] = self.parameters[i].n if self.largest[i] < threshold else 0
        look = [i for i in self.pool.tolist() if self.parameters[i].n and self.largest[i] >= threshold]
        chunks = list(_chunks(self.parameters, look))
        parts = np.zeros((2, len(chunks)), dtype=np.int64)

        def work(mine: range) -> None:
            for c in mine:
                i, start, stop = chunks[c]
                parts[:, c] = _count_below(self.parameters[i].block(start, stop), threshold, self.histogram is None)
                self.parameters[i].release()

        _share(work, chunks)
        for c, (i, _, _) in enumerate(chunks):
            found[:, i] += parts[:, c]
        return found


def measure(parameters: Sequence[Parameter], progress: Progress | None = None) -> Measurement:
    """The first pass over the parameters. Raises `InputError` naming the first tensor with NaN or infinity."""
    n = sum(p.n for p in parameters)
    if n < SORTED_BELOW or any(p.dtype == "float64" for p in parameters):
        return _measure_sorted(parameters)
    chunks = list(_chunks(parameters, range(len(parameters))))
    rows, largest = np.zeros((len(chunks), 6)), np.zeros(len(chunks), dtype=np.uint32)
    done = [0]

    def work(mine: range) -> Histogram:
        counter = _Counter()
        for c in mine:
            i, start, stop = chunks[c]
            rows[c], largest[c] = counter.count(parameters[i].block(start, stop), parameters[i].prunable)
            parameters[i].release()
            done[0] += stop - start
            if progress:
                progress(done[0], n)
        return counter.histogram()

    parts = _share(work, chunks)
    firsts = np.flatnonzero([start == 0 for _, start, _ in chunks])
    magnitude = np.maximum.reduceat(largest, firsts).view(np.float32).astype(np.float64)
    _refuse_unfinite(parameters, magnitude)
    histogram = parts[0]
    for part in parts[1:]:
        histogram = histogram + part
    return Measurement(parameters, Moments.from_powers(rows).merged(firsts), magnitude, histogram)


class _Counter:
    """One worker's histogram: packed counters, taken over before they could overflow."""

    def __init__(self) -> None:
        from . import kernels

        self.kernels = kernels
        self.packed = np.zeros((kernels.BINS, 2), dtype=np.uint64)
        self.nothing = np.zeros((0, 2), dtype=np.uint64)
        self.total = Histogram.empty()
        self.held = 0

    def count(self, block, prunable: bool) -> tuple[np.ndarray, int | np.uint32]:
        """The block's (n, centre, powers) and its largest magnitude's bits; counted where it is prunable."""
        row = np.zeros(6)
        if not isinstance(block, np.ndarray):
            from . import device

            return device.first_pass(block, self.total if prunable else None)
        if block.size == 0:
            return row, 0
        if self.held + block.size > self.kernels.FLUSH:
            self.histogram()
            self.held = 0
        self.held += block.size
        packed = self.packed if prunable else self.nothing
        return row, self.kernels.first_pass(block, block.view(np.uint32), packed, row)

    def histogram(self) -> Histogram:
        """All that was counted so far."""
        self.kernels.drain(self.packed, self.total.count, self.total.low, self.total.square)
        return self.total


def _measure_sorted(parameters: Sequence[Parameter]) -> Measurement:
    """The first pass where everything will be sorted: moments tensor by tensor."""
    entries, largest = [], np.zeros(len(parameters))
    for i, p in enumerate(parameters):
        values = _float64(p)
        largest[i] = np.abs(values).max(initial=0)
        _refuse_unfinite([p], largest[i : i + 1])
        entries.append(moments(values))
    fields = [np.concatenate([getattr(m, f) for m in entries] or [np.zeros(0)]) for f in Moments.__annotations__]
    return Measurement(parameters, Moments(*fields), largest, None)


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
                from . import device

                counts += device.count_slots(block, wanted, rows, bins.size)
            pool[i].release()
        return counts

    parts = _share(work, chunks)
    for part in parts[1:]:
        parts[0] += part
    return parts[0]


def _count_below(block, threshold: float, in_float64: bool) -> tuple[int, int]:
    if not isinstance(block, np.ndarray):
        magnitude = block.abs()
        return int((magnitude < threshold).sum()), int((magnitude == threshold).sum())
    if in_float64:
        magnitude = np.abs(block.astype(np.float64))
        return int((magnitude < threshold).sum()), int((magnitude == threshold).sum())
    from .kernels import count_below

    return count_below(block.view(np.uint32), np.float32(threshold).view(np.uint32))


def _chunks(parameters: Sequence[Parameter], which: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(place, start, stop) of every piece to read; an empty tensor has one empty piece."""
    for i in which:
        size = DEVICE_CHUNK if parameters[i].on_device else CHUNK
        for start in range(0, max(parameters[i].n, 1), size):
            yield i, start, min(start + size, parameters[i].n)


def _share(work: Callable[[range], object], chunks: Sequence[tuple[int, int, int]]) -> list:
    """Run the chunks on all cores, a run of neighbours each; what is small is not worth a second thread."""
    n = sum(stop - start for _, start, stop in chunks)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = max(1, min(cores, len(chunks), n >> 18))
    if workers == 1:
        return [work(range(len(chunks)))]
    ends = np.cumsum([stop - start for _, start, stop in chunks])
    cuts = [0, *np.searchsorted(ends, n * np.arange(1, workers) / workers), len(chunks)]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, (range(a, b) for a, b in zip(cuts, cuts[1:], strict=False))))


def _float64(p: Parameter) -> Float[np.ndarray, " n"]:
    block = p.block(0, p.n)
    return (block if isinstance(block, np.ndarray) else block.cpu().numpy()).astype(np.float64)


def _magnitudes(p: Parameter) -> Float[np.ndarray, " n"]:
    return np.abs(_float64(p))


def _refuse_unfinite(parameters: Sequence[Parameter], largest: np.ndarray) -> None:
    for p, magnitude in zip(parameters, largest, strict=True):
        if not np.isfinite(magnitude):
            raise InputError(f"{p.name}: expected finite values, found NaN or infinity")
