"""Moments about the mean, mergeable without loss, and the kurtoses the paper is about.

Kurtosis here is Pearson's, of the population: the fourth central moment over the squared variance, 3 for a normal.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

UNDEFINED_K2 = 1 + 1e-12  # at and below this a kurtosis of kurtoses has no logarithm to divide by


@dataclass(frozen=True)
class Moments:
    """Count, mean and sums of the 2nd to 4th powers of the deviations from it: float64, an entry a block."""

    n: Float[np.ndarray, " blocks"]
    mean: Float[np.ndarray, " blocks"]
    m2: Float[np.ndarray, " blocks"]
    m3: Float[np.ndarray, " blocks"]
    m4: Float[np.ndarray, " blocks"]

    @classmethod
    def from_powers(cls, rows: Float[np.ndarray, "blocks 6"]) -> "Moments":
        """From rows of (n, centre, sums of the powers 1 to 4 about the centre), the centre being near the mean."""
        n, centre, s1, s2, s3, s4 = rows.T
        d = s1 / np.maximum(n, 1)  # from the centre to the mean
        return cls(
            n,
            centre + d,
            np.maximum(s2 - d * s1, 0),
            s3 - 3 * d * s2 + 2 * d**2 * s1,
            np.maximum(s4 - 4 * d * s3 + 6 * d**2 * s2 - 3 * d**3 * s1, 0),
        )

    def merged(self, starts: np.ndarray) -> "Moments":
        """One entry for each run of blocks that begins at `starts` (Chan et al. 1982; Pebay 2008, SAND2008-6212)."""
        if starts.size == 0:
            return Moments(*(np.zeros(0),) * 5)
        lengths = np.diff(np.append(starts, self.n.size))

        def total(x: np.ndarray) -> np.ndarray:
            return np.add.reduceat(x, starts)

        n, anchor = total(self.n), self.mean[starts]
        # From the run's first mean: equal means then merge to exactly themselves, and constants keep no variance.
        mean = anchor + total(self.n * (self.mean - np.repeat(anchor, lengths))) / np.maximum(n, 1)
        d = self.mean - np.repeat(mean, lengths)
        return Moments(
            n,
            mean,
            total(self.m2 + self.n * d**2),
            total(self.m3 + 3 * d * self.m2 + self.n * d**3),
            total(self.m4 + 4 * d * self.m3 + 6 * d**2 * self.m2 + self.n * d**4),
        )

    def take(self, which: np.ndarray) -> "Moments":
        """The entries at these places."""
        return Moments(self.n[which], self.mean[which], self.m2[which], self.m3[which], self.m4[which])

    @property
    def energy(self) -> Float[np.ndarray, " blocks"]:
        """Sum of the squares."""
        return self.m2 + self.n * self.mean**2

    @property
    def kurtosis(self) -> Float[np.ndarray, " blocks"]:
        """Pearson kurtosis, at least 1; nan where the values are all the same."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.m2 > 0, self.n * self.m4 / self.m2**2, np.nan)


def moments(x: np.ndarray) -> Moments:
    """Moments of all the values of an array of floats, as one entry."""
    values = np.ravel(np.asarray(x, dtype=np.float64))
    if values.size == 0:
        return Moments(*(np.zeros(1),) * 5)
    anchor = values[0]
    centre = anchor + (values - anchor).mean()
    d = values - centre
    powers = [d.sum(), (d**2).sum(), (d**3).sum(), (d**4).sum()]
    return Moments.from_powers(np.array([[values.size, centre, *powers]]))


def kurtosis(x: Any) -> float:
    """Pearson kurtosis of all the values of an array or tensor: population, float64, 3 for a normal; at least 1.

    `x` has any shape and any floating or integer dtype. The result is nan where it is undefined: no values, or all of
    them equal. Raises `InputError` where a value is no real number or not finite.
    """
    from .arrays import to_float64, to_numpy
    from .errors import InputError

    values = np.ravel(to_numpy(x))
    if values.dtype.kind not in "fiub":
        raise InputError(f"kurtosis: expected real numbers, found {values.dtype}")
    values = to_float64(values)
    if not np.isfinite(values).all():
        raise InputError("kurtosis: expected finite values, found NaN or infinity")
    largest = np.abs(values).max(initial=0)
    if largest > 0:  # fourth powers of 1e-90 underflow; a power of two scales without rounding
        values = np.ldexp(values, -int(np.frexp(largest)[1]))
    return float(moments(values).kurtosis[0])


def kurtosis_of_tensor_kurtoses(tensors: Moments) -> float:
    """Kurtosis of kurtoses of per-tensor moments, leaving out constant and single-element tensors.

    The paper's measure of how unevenly the tensors' tails are spread (its safe-prune rule). Lies between 1 and
    n - 2 + 1/(n - 1) for n tensors; nan for fewer than 3 tensors, of which two would always give 1.
    """
    kurtoses = tensors.kurtosis
    kurtoses = kurtoses[np.isfinite(kurtoses)]
    return float(moments(kurtoses).kurtosis[0]) if kurtoses.size >= 3 else float("nan")
