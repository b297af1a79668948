"""Spearman's rank correlation."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Return Spearman's rank correlation of n pairs, in [-1, 1]; nan if n < 2, or if x or y is constant."""
    from scipy.stats import spearmanr

    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.asarray(spearmanr(x, y))[0])


TWO_SIDED = 1.959964  # 0.975 quantile of the normal distribution


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Return Spearman's rank correlation of n pairs with a 95% interval: value, low, high.

    Fisher's transform of the value is taken as normal with variance (1 + value^2 / 2) / (n - 3) (Bonett & Wright 2000).
    The ends are nan for fewer than 5 pairs, and equal to a value of 1 or -1. All three are nan if x or y is constant.
    """
    a, b = (np.asarray(each, dtype=float) for each in (x, y))
    value = spearman(a, b)
    if len(a) < 5 or np.isnan(value):
        return value, float("nan"), float("nan")
    half = TWO_SIDED * np.sqrt((1 + value**2 / 2) / (len(a) - 3))
    with np.errstate(divide="ignore"):  # infinite for a value of 1 or -1
        middle = np.arctanh(np.clip(value, -1, 1))
    low, high = np.tanh([middle - half, middle + half]).tolist()
    return value, low, high
