"""Spearman's rank correlation."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Of n pairs, in [-1, 1]; nan where either is constant, or there are fewer than two."""
    from scipy.stats import spearmanr

    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.asarray(spearmanr(x, y))[0])


TWO_SIDED = 1.959964  # the normal's quantile of 0.975


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Spearman's rank correlation of n pairs with a 95% interval: value, low, high.

    Of Fisher's transform, normal with the variance (1 + value^2 / 2) / (n - 3) (Bonett & Wright 2000). Ends are nan for
    fewer than 5 pairs, and the value itself where all are in order; all is nan where x or y is constant.
    """
    a, b = (np.asarray(each, dtype=float) for each in (x, y))
    value = spearman(a, b)
    if len(a) < 5 or np.isnan(value):
        return value, float("nan"), float("nan")
    half = TWO_SIDED * np.sqrt((1 + value**2 / 2) / (len(a) - 3))
    with np.errstate(divide="ignore"):  # of those all in order it is infinite
        middle = np.arctanh(np.clip(value, -1, 1))
    low, high = np.tanh([middle - half, middle + half]).tolist()
    return value, low, high
