"""What an analysis warns of: figures that are undefined, and answers that are about less than they seem to be."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ._histogram.magnitudes import Magnitudes
from ._histogram.measurement import Measurement
from .pareto import Point

MANY_ZEROS = 0.05  # of the pool: fewer, as fresh biases or half precision leave, hardly move an answer
WIDER = ("weight_bias", "weights")  # pools beside which "all" may take in more


def warnings_for(
    measurement: Measurement, levels: Magnitudes, pool: str, k2: float, rows: dict[str, list[Any]], safe: Point | None
) -> list[str]:
    """The warnings, in words: of `rows`, an analysis's table by columns, and of the pool by its name."""
    return [
        *_coverage(levels.n, sum(rows["n"]), pool),
        *_zeros(levels),
        *_undefined(measurement, k2, safe),
        *_lost(measurement, rows, "optimal"),
        *_lost(measurement, rows, "safe"),
    ]


def _coverage(n: int, whole: int, pool: str) -> Iterator[str]:
    if pool in WIDER and 2 * n < whole:
        held = f"the pool {pool} holds {n:,} of {whole:,} values"
        yield f'{held}; --pool all (pool="all" in Python) prunes the others too'


def _zeros(levels: Magnitudes) -> Iterator[str]:
    zeros = int(levels.count[levels.largest == 0].sum())
    if zeros >= MANY_ZEROS * levels.n:
        share = f"{zeros:,} of the pool's {levels.n:,} values ({100 * zeros // levels.n}%) are zero already"
        yield f"{share}, as after a prune: every amount counts these first, and the answers are about them too"


def _undefined(measurement: Measurement, k2: float, safe: Point | None) -> Iterator[str]:
    pool = measurement.pool
    undefined = int(np.isnan(measurement.tensors.kurtosis[pool]).sum())
    if undefined:
        yield f"{_tensors(undefined)} constant or of a single element: left out of the kurtosis of kurtoses"
    if safe is None:
        left = pool.size - undefined
        why = f"it is {k2:.6g}" if not math.isnan(k2) else "all kurtoses are equal"
        why = why if left >= 3 else f"only {_tensors(left)} left"
        yield f"no safe amount: the kurtosis of kurtoses is undefined ({why})"


def _lost(measurement: Measurement, rows: dict[str, list[Any]], which: str) -> Iterator[str]:
    n, counts = rows["n"], rows[f"pruned_at_{which}"]
    lost = [rows["name"][i] for i in measurement.pool if n[i] and counts[i] == n[i]]
    if lost:
        yield f"the {which} amount prunes all of {', '.join(lost)}"


def _tensors(n: int) -> str:
    return f"{n} tensor" if n == 1 else f"{n} tensors"
