"""Spearman's rank correlation."""

import numpy as np
from jaxtyping import Float


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Of n pairs, in [-1, 1]; nan where either is constant, or there are fewer than two."""
    from scipy.stats import spearmanr

    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.asarray(spearmanr(x, y))[0])
