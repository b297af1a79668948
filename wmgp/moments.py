"""Central moments that merge without losing digits, kurtosis, and the kurtosis of kurtoses.

Kurtosis is Pearson's, of the population: the fourth central moment over the squared variance (normal = 3).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from .arrays import to_float64, to_numpy
from .errors import InputError


@dataclass(frozen=True)
class Moments:
    """Count, mean, and sums of the 2nd to 4th powers of the deviations from the mean; float64, one entry per block."""

    n: Float[np.ndarray, " blocks"]
    mean: Float[np.ndarray, " blocks"]
    m2: Float[np.ndarray, " blocks"]
    m3: Float[np.ndarray, " blocks"]
    m4: Float[np.ndarray, " blocks"]

    @classmethod
    def from_powers(cls, rows: Float[np.ndarray, "blocks 6"]) -> "Moments":
        """From rows of (n, centre, sums of powers 1 to 4 of the deviations from the centre); centres near the means."""
        n, centre, s1, s2, s3, s4 = rows.T
        d = s1 / np.maximum(n, 1)  # mean - centre
        return cls(
            n,
            centre + d,
            np.maximum(s2 - d * s1, 0),
            s3 - 3 * d * s2 + 2 * d**2 * s1,
            np.maximum(s4 - 4 * d * s3 + 6 * d**2 * s2 - 3 * d**3 * s1, 0),
        )

    def merged(self, starts: np.ndarray) -> "Moments":
        """Merge the blocks from each start to the next (Chan et al. 1982; Pebay 2008, SAND2008-6212)."""
        if starts.size == 0:
            return Moments(*(np.zeros(0),) * 5)
        lengths = np.diff(np.append(starts, self.n.size))

        def run_sums(x: np.ndarray) -> np.ndarray:
            return np.add.reduceat(x, starts)

        n, anchor = run_sums(self.n), self.mean[starts]
        # Relative to the run's first mean: equal means stay exactly equal, so the variance of constants stays 0.
        mean = anchor + run_sums(self.n * (self.mean - np.repeat(anchor, lengths))) / np.maximum(n, 1)
        d = self.mean - np.repeat(mean, lengths)
        return Moments(
            n,
            mean,
            run_sums(self.m2 + self.n * d**2),
            run_sums(self.m3 + 3 * d * self.m2 + self.n * d**3),
            run_sums(self.m4 + 4 * d * self.m3 + 6 * d**2 * self.m2 + self.n * d**4),
        )

    def take(self, indices: np.ndarray) -> "Moments":
        """The entries at these indices."""
        return Moments(self.n[indices], self.mean[indices], self.m2[indices], self.m3[indices], self.m4[indices])

    @property
    def energy(self) -> Float[np.ndarray, " blocks"]:
        """Sum of squares."""
        return self.m2 + self.n * self.mean**2

    @property
    def kurtosis(self) -> Float[np.ndarray, " blocks"]:
        """Pearson kurtosis, at least 1; nan if all values are equal."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.m2 > 0, self.n * self.m4 / self.m2**2, np.nan)


def moments(x: np.ndarray) -> Moments:
    """The moments of all values of an array, as one entry."""
    values = np.ravel(np.asarray(x, dtype=np.float64))
    if values.size == 0:
        return Moments(*(np.zeros(1),) * 5)
    anchor = values[0]
    centre = anchor + (values - anchor).mean()
    d = values - centre
    powers = [d.sum(), (d**2).sum(), (d**3).sum(), (d**4).sum()]
    return Moments.from_powers(np.array([[values.size, centre, *powers]]))


def kurtosis(x: Any) -> float:
    """Pearson kurtosis of all values of an array or tensor, of the population: 3 for a normal distribution, at least 1.

    `x` has any shape and any floating or integer dtype; sums run in float64. The result is nan if `x` is empty or all
    values are equal. Raises `InputError` for complex, non-numeric or non-finite values.

    Example:
        >>> import wmgp
        >>> round(wmgp.kurtosis([-1.0, 0.0, 1.0]), 6)
        1.5
    """
    values = np.ravel(to_numpy(x))
    if values.dtype.kind not in "fiub":
        raise InputError(f"kurtosis: expected real numbers, found {values.dtype}")
    values = to_float64(values)
    if not np.isfinite(values).all():
        raise InputError("kurtosis: expected finite values, found NaN or infinity")
    largest = np.abs(values).max(initial=0)
    if largest > 0:  # fourth powers of 1e-90 underflow; scaling by a power of two is exact
        values = np.ldexp(values, -int(np.frexp(largest)[1]))
    return float(moments(values).kurtosis[0])


def kurtosis_of_tensor_kurtoses(tensors: Moments) -> float:
    """Kurtosis of kurtoses of per-tensor moments, without constant and single-element tensors.

    The paper's measure of how unevenly kurtosis is spread over the tensors (its safe-prune rule). It lies between 1
    and n - 2 + 1/(n - 1) for n tensors; nan for fewer than 3 tensors, because 2 tensors always give 1.
    """
    kurtoses = tensors.kurtosis
    kurtoses = kurtoses[np.isfinite(kurtoses)]
    return float(moments(kurtoses).kurtosis[0]) if kurtoses.size >= 3 else float("nan")
