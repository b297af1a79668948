"""Warnings of an analysis: undefined values, a small pool, many zeros, and tensors that are pruned completely."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ._histogram.magnitudes import Magnitudes
from ._histogram.measurement import Measurement
from .pareto import Point

MIN_ZERO_SHARE = 0.05  # of the pool; fewer zeros (new biases, half precision) hardly change the optimal amount
PRUNES_ALL = "amount prunes all of"  # tensors
NARROW_POOLS = ("weight_bias", "weights")  # the pool "all" may hold more than these


def warnings_for(
    measurement: Measurement, levels: Magnitudes, pool: str, k2: float, rows: dict[str, list[Any]], safe: Point | None
) -> list[str]:
    """The warnings, one sentence each. `rows`: the analysis's tensor table by columns; `pool`: the pool's name."""
    return [
        *_not_finite(measurement.not_finite),
        *_small_pool(levels.n, sum(rows["n"]), pool),
        *_many_zeros(levels),
        *_undefined_kurtoses(measurement, k2, safe),
        *_fully_pruned_tensors(measurement, rows, "optimal"),
        *_fully_pruned_tensors(measurement, rows, "safe"),
    ]


def warnings_for_prune(warnings: Sequence[str], fully_pruned: Sequence[str]) -> list[str]:
    """The warnings of an analysis that hold at any amount, and the tensors that a prune set to zero."""
    kept = [warning for warning in warnings if PRUNES_ALL not in warning]
    return [*kept, f"this {PRUNES_ALL} {', '.join(fully_pruned)}"] if fully_pruned else kept


def _not_finite(names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"left out for NaN or infinity outside the pool: {', '.join(names)}"


def _small_pool(n: int, n_parameters: int, pool: str) -> Iterator[str]:
    if pool in NARROW_POOLS and 2 * n < n_parameters:
        size = f"the pool {pool} holds {n:,} of {n_parameters:,} values"
        yield f'{size}; --pool all (pool="all" in Python) prunes the others too'


def _many_zeros(levels: Magnitudes) -> Iterator[str]:
    zeros = int(levels.count[levels.largest == 0].sum())
    if zeros >= MIN_ZERO_SHARE * levels.n:
        share = f"{zeros:,} of the pool's {levels.n:,} values ({100 * zeros // levels.n}%) are zero already"
        yield f"{share}, as after a prune: every amount counts these first, and the answers are about them too"


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
    if names:
        yield f"the {which} {PRUNES_ALL} {', '.join(names)}"


def _count_tensors(n: int) -> str:
    return f"{n} tensor" if n == 1 else f"{n} tensors"
