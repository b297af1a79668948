"""Confidence and prediction intervals over a few seeds, by Student's t."""

from collections.abc import Callable, Iterable

import numpy as np

from ...errors import InputError

MIN_SEEDS = 5  # seeds for an interval over them to mean much


def mean_interval(values: Iterable[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean of n values, and Student's t interval for it: mean +- t s / sqrt(n); ends NaN where n is 1."""
    return _interval(values, level, lambda n: n**-0.5)


def geometric_interval(values: Iterable[float], level: float = 0.95) -> tuple[float, float, float]:
    """Geometric mean of positive values, with `mean_interval` of their logarithms taken back.

    For ratios: twice as far and half as far cancel.
    """
    mean, low, high = np.exp(mean_interval(np.log(list(values)), level)).tolist()
    return mean, low, high


def prediction_interval(values: Iterable[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean of n values, and the interval for one value more: mean +- t s sqrt(1 + 1/n); ends NaN where n is 1.

    What a single published run is to be held against; the interval of the mean shrinks with n, this one does not.
    """
    return _interval(values, level, lambda n: (1 + 1 / n) ** 0.5)


def _interval(values: Iterable[float], level: float, width: Callable[[int], float]) -> tuple[float, float, float]:
    """With t's quantile of n - 1 degrees of freedom and s the standard deviation over n - 1: for values near normal."""
    from scipy.stats import t

    x = np.asarray(list(values), dtype=float)
    if x.size == 0 or not 0 < level < 1:
        raise InputError(f"expected at least one value and a level between 0 and 1, got {x.size} and {level}")
    half = t.ppf((1 + level) / 2, x.size - 1) * x.std(ddof=1) * width(x.size) if x.size > 1 else np.nan
    return float(x.mean()), float(x.mean() - half), float(x.mean() + half)
