"""What an analysis warns of: figures that are undefined, and answers that are about less than they seem to be."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ._histogram.magnitudes import Magnitudes
from ._histogram.measurement import Measurement
from .pareto import Point

MIN_ZERO_SHARE = 0.05  # of the pool: fewer, as fresh biases or half precision leave, hardly move an answer
NARROW_POOLS = ("weight_bias", "weights")  # pools beside which "all" may take in more


def warnings_for(
    measurement: Measurement, levels: Magnitudes, pool: str, k2: float, rows: dict[str, list[Any]], safe: Point | None
) -> list[str]:
    """The warnings, in words: of `rows`, an analysis's table by columns, and of the pool by its name."""
    return [
        *_small_pool(levels.n, sum(rows["n"]), pool),
        *_many_zeros(levels),
        *_undefined_kurtoses(measurement, k2, safe),
        *_fully_pruned_tensors(measurement, rows, "optimal"),
        *_fully_pruned_tensors(measurement, rows, "safe"),
    ]


def _small_pool(n: int, whole: int, pool: str) -> Iterator[str]:
    if pool in NARROW_POOLS and 2 * n < whole:
        held = f"the pool {pool} holds {n:,} of {whole:,} values"
        yield f'{held}; --pool all (pool="all" in Python) prunes the others too'


def _many_zeros(levels: Magnitudes) -> Iterator[str]:
    zeros = int(levels.count[levels.largest == 0].sum())
    if zeros >= MIN_ZERO_SHARE * levels.n:
        share = f"{zeros:,} of the pool's {levels.n:,} values ({100 * zeros // levels.n}%) are zero already"
        yield f"{share}, as after a prune: every amount counts these first, and the answers are about them too"


def _undefined_kurtoses(measurement: Measurement, k2: float, safe: Point | None) -> Iterator[str]:
    pool = measurement.pool
    undefined = int(np.isnan(measurement.tensors.kurtosis[pool]).sum())
    if undefined:
        yield f"{_count_tensors(undefined)} constant or of a single element: left out of the kurtosis of kurtoses"
    if safe is None:
        left = pool.size - undefined
        why = f"it is {k2:.6g}" if not math.isnan(k2) else "all kurtoses are equal"
        why = why if left >= 3 else f"only {_count_tensors(left)} left"
        yield f"no safe amount: the kurtosis of kurtoses is undefined ({why})"


def _fully_pruned_tensors(measurement: Measurement, rows: dict[str, list[Any]], which: str) -> Iterator[str]:
    n, counts = rows["n"], rows[f"pruned_at_{which}"]
    lost = [rows["name"][i] for i in measurement.pool if n[i] and counts[i] == n[i]]
    if lost:
        yield f"the {which} amount prunes all of {', '.join(lost)}"


def _count_tensors(n: int) -> str:
    return f"{n} tensor" if n == 1 else f"{n} tensors"
