"""Warnings of an analysis: undefined values, a small pool, many zeros, and tensors that are pruned completely."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._histogram.magnitudes import Magnitudes
from ._histogram.measurement import Measurement
from .pareto import Point

if TYPE_CHECKING:
    from .analysis import Analysis

MIN_ZERO_SHARE = 0.05  # of the pool; fewer zeros (new biases, half precision) hardly change the optimal amount
PRUNES_ALL = "amount prunes all of"  # tensors
ZERO_ALREADY = "are zero already"
NARROW_POOLS = ("weight_bias", "weights")  # the pool "all" may hold more than these
MIN_OUTSIDE = 0.01  # share of the energy outside the pool


def warnings_for(
    measurement: Measurement,
    levels: Magnitudes,
    pool: str,
    k2: float,
    rows: dict[str, list[Any]],
    safe: Point | None,
    optimal: Point,
) -> list[str]:
    """The warnings, one sentence each. `rows`: the analysis's tensor table by columns; `pool`: the pool's name."""
    return [
        *_not_finite(measurement.not_finite),
        *_small_pool(levels.n, measurement, pool),
        *_energy_outside(measurement, optimal),
        *_many_zeros(levels),
        *_undefined_kurtoses(measurement, k2, safe),
        *(w for which in ("careful", "safe", "optimal") for w in _fully_pruned_tensors(measurement, rows, which)),
    ]


def warnings_before_prune(analysis: "Analysis", n_pruned: int, method: str) -> list[str]:
    """The warnings of an analysis that hold for a prune of `n_pruned` values by this method."""
    kept = [warning for warning in analysis.warnings if PRUNES_ALL not in warning]
    if method != "random":
        return kept
    kept = [warning for warning in kept if ZERO_ALREADY not in warning]
    return [*kept, *accumulated_zeros(analysis.magnitudes.n_zeros, n_pruned, analysis.n_prunable)]


def fully_pruned_warnings(which: str, names: Sequence[str]) -> Iterator[str]:
    """Name the tensors that an amount prunes completely, except biases: a layer works without its bias."""
    names = [name for name in names if name.rpartition(".")[2] != "bias"]
    if names:
        yield f"{which} {PRUNES_ALL} {', '.join(names)}"


def _not_finite(names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"left out for NaN or infinity outside the pool: {', '.join(names)}"


def _small_pool(n: int, measurement: Measurement, pool: str) -> Iterator[str]:
    n_parameters = sum(p.n for p in measurement.parameters)
    if pool in NARROW_POOLS and 2 * n < n_parameters:
        outside = sorted((measurement.parameters[int(i)] for i in measurement.outside_tensors), key=lambda p: -p.n)
        size = f"the pool {pool} holds {n:,} of {n_parameters:,} values"
        yield f"{size}; --include GLOB adds tensors to it from: {', '.join(p.name for p in outside)}"


def _energy_outside(measurement: Measurement, optimal: Point) -> Iterator[str]:
    """Name the tensors outside the pool from the largest energy down, until the rest hold less than 1 % of it."""
    if not measurement.outside >= MIN_OUTSIDE:
        return
    order = sorted(measurement.outside_tensors, key=lambda i: -measurement.tensor_moments.energy[i])
    share = np.cumsum(measurement.tensor_moments.energy[order]) / measurement.unprunable_energy
    names = [measurement.parameters[int(i)].name for i in order[: int(np.searchsorted(share, 1 - MIN_OUTSIDE)) + 1]]
    cosines = f"the cosine is {optimal.cosine:.4f} and over the pool alone {optimal.pool_cosine:.4f}"
    share = f"{100 * measurement.outside:.3g}% of the energy lies outside the pool"
    yield f"{share}: at the optimal amount {cosines}; outside are {', '.join(names)}"


def _many_zeros(levels: Magnitudes) -> Iterator[str]:
    zeros = levels.n_zeros
    if zeros >= MIN_ZERO_SHARE * levels.n:
        share = f"{zeros:,} of the pool's {levels.n:,} values ({100 * zeros // levels.n}%) {ZERO_ALREADY}"
        yield f"{share}, as after a prune: every amount counts these first, and the answers are about them too"


def accumulated_zeros(n_zeros: int, n_pruned: int, n: int) -> Iterator[str]:
    """Random pruning draws from all values, those that are zero too: zeros of an earlier prune add up.

    Of the values that are not zero yet, a share of n_pruned / n is drawn, on average.

    Example:
        >>> from wmgp.diagnostics import accumulated_zeros
        >>> list(accumulated_zeros(50, 60, 100))[0].partition(": ")[2]
        'after this prune about 80% are zero, not 60%'
    """
    if n_zeros >= MIN_ZERO_SHARE * n > 0:
        share = f"{n_zeros:,} of the pool's {n:,} values ({100 * n_zeros // n}%) {ZERO_ALREADY}"
        after = 100 * (1 - (1 - n_zeros / n) * (1 - n_pruned / n))
        yield (
            f"{share}, and random pruning draws from all of them: "
            f"after this prune about {after:.0f}% are zero, not {100 * n_pruned / n:.0f}%"
        )


def _undefined_kurtoses(measurement: Measurement, k2: float, safe: Point | None) -> Iterator[str]:
    pool = measurement.pool
    undefined = int(np.isnan(measurement.tensor_moments.kurtosis[pool]).sum())
    if undefined:
        yield f"{_count_tensors(undefined)} constant or of a single element: left out of the kurtosis of kurtoses"
    if safe is None:
        n_kurtoses = pool.size - undefined
        reason = f"it is {k2:.6g}" if not math.isnan(k2) else "all kurtoses are equal"
        reason = reason if n_kurtoses >= 3 else f"only {_count_tensors(n_kurtoses)} left"
        yield f"no safe amount: the kurtosis of kurtoses is undefined ({reason})"


def _fully_pruned_tensors(measurement: Measurement, rows: dict[str, list[Any]], which: str) -> Iterator[str]:
    n, counts = rows["n"], rows[f"pruned_at_{which}"]
    names = [rows["name"][i] for i in measurement.pool if n[i] and counts[i] == n[i]]
    yield from fully_pruned_warnings(f"the {which}", names)


def _count_tensors(n: int) -> str:
    return f"{n} tensor" if n == 1 else f"{n} tensors"
