"""Distances between loss surfaces."""

import numpy as np
from jaxtyping import Float


def surface_distance(a: Float[np.ndarray, "..."], b: Float[np.ndarray, "..."]) -> float:
    """Return the l-infinity distance of two loss surfaces of one shape: the largest difference at any point."""
    return float(np.abs(np.asarray(a) - np.asarray(b)).max())
