"""Confidence and prediction intervals over a few seeds, by Student's t distribution."""

from collections.abc import Callable, Iterable

import numpy as np

from ...errors import InputError

MIN_SEEDS = 5  # fewer seeds give no useful interval


def mean_interval(values: Iterable[float], level: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of n values and its Student's t interval, mean +- t s / sqrt(n); the ends are NaN if n is 1."""
    return _interval(values, level, lambda n: n**-0.5)


def geometric_interval(values: Iterable[float], level: float = 0.95) -> tuple[float, float, float]:
    """Return the geometric mean of positive values and its interval: exp of the logarithms' `mean_interval`.

    For ratios: 2 and 1/2 cancel.
    """
    mean, low, high = np.exp(mean_interval(np.log(list(values)), level)).tolist()
    return mean, low, high


def prediction_interval(values: Iterable[float], level: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of n values and the interval of one more, mean +- t s sqrt(1 + 1/n); the ends are NaN if n is 1.

    Compare a single published run with it: unlike the mean's interval, it does not shrink to zero with n.
    """
    return _interval(values, level, lambda n: (1 + 1 / n) ** 0.5)


def _interval(values: Iterable[float], level: float, width: Callable[[int], float]) -> tuple[float, float, float]:
    """Return mean and interval, with t for n - 1 degrees of freedom and s the standard deviation with divisor n - 1.

    Assumes nearly normal values. Raises InputError without values, or if `level` is not in (0, 1).
    """
    from scipy.stats import t

    x = np.asarray(list(values), dtype=float)
    if x.size == 0 or not 0 < level < 1:
        raise InputError(f"expected at least one value and a level between 0 and 1, got {x.size} and {level}")
    half = t.ppf((1 + level) / 2, x.size - 1) * x.std(ddof=1) * width(x.size) if x.size > 1 else np.nan
    return float(x.mean()), float(x.mean() - half), float(x.mean() + half)
