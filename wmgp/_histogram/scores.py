"""Prune the lowest scores of a whole pool, for scores that rise with the magnitude within each tensor.

Each tensor's values are counted by magnitude, so that no tensor is sorted or held in memory. The counts bound the
scores; the few bins whose bounds enclose the threshold are then counted value by value.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..errors import InputError
from ..parameters import Parameter
from .block_histogram import BlockHistogram
from .blocks import Block, run_in_threads, split
from .half_precision import MIN_VALUES
from .magnitudes import Histogram, Magnitudes
from .measurement import count_slots

MARGIN = 1e-12  # relative, of the bounds of the threshold: more than the rounding of the scores


class Cut(NamedTuple):
    """What a tensor loses: the magnitudes below the threshold, and the first `ties` of those equal to it."""

    threshold: float
    ties: int


class Levels(NamedTuple):
    """Magnitudes of all tensors, relative to their tensor's largest: ascending within each tensor."""

    tensor: Int[np.ndarray, " levels"]
    smallest: Float[np.ndarray, " levels"]
    largest: Float[np.ndarray, " levels"]
    n: Int[np.ndarray, " levels"]  # number of values
    above: Float[np.ndarray, " levels"]  # sum of squares of the tensor's values in the levels above
    energy: Float[np.ndarray, " levels"]  # sum of squares in the level
    norm: Float[np.ndarray, " levels"]  # of the tensor


# The scores of values, from the values, the sums of squares of all values from each on, and their tensors' norms.
Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def lowest_scores(pool: Sequence[Parameter], n_pruned: int, score: Score) -> list[Cut]:
    """What each tensor loses if the `n_pruned` lowest scores of the pool are pruned; ties in the order of the tensors.

    Of equal magnitudes in a tensor, the first are pruned first. Raises `InputError` for NaN and infinity.
    """
    histograms = [_count_tensor(p) for p in pool]
    magnitudes = [h.coarse if isinstance(h, Histogram) else h for h in histograms]
    if not n_pruned:
        return [Cut(0.0, 0) for _ in pool]
    levels = _pooled(magnitudes)
    is_open = _places(levels, score, n_pruned, MARGIN)[1] & (levels.smallest < levels.largest)
    ends = np.cumsum([m.count.size for m in magnitudes])
    for i, inside in enumerate(np.split(is_open, ends[:-1])):
        if inside.any():
            magnitudes[i] = _refined(pool[i], histograms[i], np.flatnonzero(inside))
    pruned = _count_lowest(_pooled(magnitudes), score, n_pruned, len(pool))
    return [_cut(m, int(n)) for m, n in zip(magnitudes, pruned, strict=True)]


def _refined(p: Parameter, histogram: Histogram | Magnitudes, inside: np.ndarray) -> Magnitudes:
    """The tensor's magnitudes with a level for every value in these bins."""
    assert isinstance(histogram, Histogram)
    first_values = histogram.coarse.n_below[inside] + 1
    return histogram.levels(first_values, lambda bins: count_slots([p], bins))


def _cut(magnitudes: Magnitudes, n_pruned: int) -> Cut:
    if not n_pruned:
        return Cut(0.0, 0)
    level = int(magnitudes.level(np.array([n_pruned]))[0])
    return Cut(float(magnitudes.largest[level]), n_pruned - int(magnitudes.n_below[level]))


def _count_tensor(p: Parameter) -> Histogram | Magnitudes:
    """The histogram of a tensor; of a small one, its magnitudes one by one."""
    from .kernels import INFINITY_BITS

    blocks = [Block(0, start, stop) for _, start, stop in split([p], [0])]
    if p.n < MIN_VALUES:
        return _check_finite(p, _sorted_magnitudes(p))

    def count(block_range: range) -> tuple[Histogram, int]:
        thread_histogram, largest = BlockHistogram(0), 0
        for b in block_range:
            largest = max(largest, thread_histogram.count(p, blocks[b], np.zeros(6)))
            p.release()
        return (thread_histogram.histogram() if largest < INFINITY_BITS else Histogram.merged([])), largest

    parts = run_in_threads(count, blocks, [p])
    if max(largest for _, largest in parts) >= INFINITY_BITS:
        raise InputError(f"{p.name}: expected finite values, found NaN or infinity")
    return Histogram.merged([histogram for histogram, _ in parts])


def _sorted_magnitudes(p: Parameter) -> Magnitudes:
    block = p.block(0, p.n)
    values = block if isinstance(block, np.ndarray) else block.cpu().numpy()
    p.release()
    values, count = np.unique(np.abs(values), return_counts=True)
    values = values.astype(np.float64)
    return Magnitudes(values, values, count, count * values**2)


def _check_finite(p: Parameter, magnitudes: Magnitudes) -> Magnitudes:
    if not np.isfinite(magnitudes.largest).all():
        raise InputError(f"{p.name}: expected finite values, found NaN or infinity")
    return magnitudes


def _pooled(magnitudes: Sequence[Magnitudes]) -> Levels:
    """The levels of all tensors; the largest magnitude of each tensor is 1, unless all its values are zero."""
    sizes = [m.count.size for m in magnitudes]
    scale = np.repeat([m.largest[-1] if m.count.size and m.largest[-1] > 0 else 1.0 for m in magnitudes], sizes)

    def column(values: Callable[[Magnitudes], np.ndarray]) -> np.ndarray:
        return np.concatenate([np.zeros(0), *map(values, magnitudes)])

    return Levels(
        np.repeat(np.arange(len(sizes)), sizes),
        column(lambda m: m.smallest) / scale,
        column(lambda m: m.largest) / scale,
        column(lambda m: m.count).astype(np.int64),
        column(lambda m: m.energy_above[1:]) / scale**2,
        column(lambda m: m.energy) / scale**2,
        np.sqrt(np.repeat([m.energy_above[0] for m in magnitudes], sizes) / scale**2),
    )


def _scores(levels: Levels, score: Score, first: np.ndarray) -> Float[np.ndarray, " levels"]:
    """The scores of the values that `first` values of their level come before, in levels of a single value."""
    return score(levels.smallest, levels.above + (levels.n - first) * levels.smallest**2, levels.norm)


def _places(levels: Levels, score: Score, n_pruned: int, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """Two masks of levels: those with lower scores than the highest pruned score, and those that can hold it."""
    lower = score(levels.smallest, levels.above + levels.energy, levels.norm)
    upper = score(levels.largest, levels.above + levels.largest**2, levels.norm)
    least, most = (_weighted_rank(bound, levels.n, n_pruned) for bound in (lower, upper))
    is_below = upper < least * (1 - margin)
    return is_below, ~is_below & (lower <= most * (1 + margin))


def _weighted_rank(scores: Float[np.ndarray, " levels"], count: np.ndarray, n: int) -> float:
    """The n-th lowest score, if each occurs `count` times."""
    order = np.argsort(scores)
    return float(scores[order[np.searchsorted(np.cumsum(count[order]), n)]])


def _count_lowest(levels: Levels, score: Score, n_pruned: int, n_tensors: int) -> Int[np.ndarray, " tensors"]:
    """The number of values that each tensor has among the lowest scores."""
    is_below, is_inside = _places(levels, score, n_pruned, MARGIN / 2)
    inside = Levels(*(column[is_inside] for column in levels))
    assert (inside.smallest == inside.largest).all()
    n_left = n_pruned - int(levels.n[is_below].sum())
    low, high = 0, int(np.array(np.inf).view(np.int64))  # as bits: floats from 0 have the order of their bits
    if _count_up_to(inside, score, 0).sum() >= n_left:
        high = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _count_up_to(inside, score, middle).sum() >= n_left else (middle, high)
    certain = _count_up_to(inside, score, low) if high else np.zeros_like(inside.n)
    ties = _count_up_to(inside, score, high) - certain
    spare = n_left - int(certain.sum())
    certain += np.clip(spare - (np.cumsum(ties) - ties), 0, ties)
    columns = (levels.tensor[is_below], levels.n[is_below]), (inside.tensor, certain)
    below, among = (np.bincount(tensor, count, n_tensors) for tensor, count in columns)
    return (below + among).astype(np.int64)


def _count_up_to(levels: Levels, score: Score, bits: int) -> Int[np.ndarray, " levels"]:
    """The number of each level's values whose score is at most the float of these bits. They rise within a level."""
    threshold = np.array(bits).view(np.float64)
    low, high = np.zeros_like(levels.n), levels.n.copy()
    for _ in range(int(levels.n.max(initial=0)).bit_length()):
        middle = (low + high) // 2
        is_pruned = (_scores(levels, score, np.minimum(middle, levels.n - 1)) <= threshold) & (middle < high)
        low, high = np.where(is_pruned, middle + 1, low), np.where(is_pruned, high, middle)
    return low
