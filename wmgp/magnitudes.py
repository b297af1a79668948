"""The distribution of a pool's magnitudes: counts and energies, exact where asked for, and mergeable.

A histogram counts magnitudes in 2**19 bins and keeps, in integers, what gives each bin's energy exactly; the order of
the values, of the tensors and of the threads leaves no trace in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

STEEP = 1 / 512  # a bin across which the cosine falls by more than this is refined: at most 512 bins can


@dataclass(frozen=True)
class Magnitudes:
    """The magnitudes of a pool in ascending levels, of which each holds `count` values between two bounds.

    In a level whose bounds are equal, as at every boundary asked for, counts and thresholds are exact.
    """

    smallest: Float[np.ndarray, " levels"]
    largest: Float[np.ndarray, " levels"]
    count: Int[np.ndarray, " levels"]
    energy: Float[np.ndarray, " levels"]  # sum of squares

    @cached_property
    def below(self) -> Int[np.ndarray, " edges"]:
        """Number of values in the levels before each; the last entry is the number in all."""
        return np.concatenate([[0], np.cumsum(self.count)])

    @cached_property
    def above(self) -> Float[np.ndarray, " edges"]:
        """Energy of each level and those after it, summed from the top so that small remainders keep their digits."""
        return np.concatenate([np.cumsum(self.energy[::-1])[::-1], [0.0]])

    @property
    def n(self) -> int:
        return int(self.below[-1])

    def kept_energy(self, n_pruned: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Energy left when the n_pruned smallest are pruned."""
        level = self._level(n_pruned)
        left = self.below[level + 1] - n_pruned
        return self.above[level + 1] + self.energy[level] * (left / self.count[level])

    def threshold(self, n_pruned: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """The largest magnitude pruned; nan where nothing is."""
        level = self._level(n_pruned)
        part = (n_pruned - self.below[level]) / self.count[level]
        value = self.smallest[level] + (self.largest[level] - self.smallest[level]) * part
        return np.where(n_pruned > 0, value, np.nan)

    def most_pruned(self, kept: float) -> int:
        """The largest number of smallest values whose loss leaves at least this much energy."""
        level = int(np.searchsorted(-self.above, -kept, side="right")) - 1  # the last that starts with enough
        if level < 0 or level >= self.count.size:
            return 0 if level < 0 else self.n
        spare = (self.above[level] - kept) / self.energy[level] * self.count[level]
        n = min(int(self.below[level] + np.floor(spare)) + 1, self.n)
        while n > 0 and self.kept_energy(np.array([n]))[0] < kept:
            n -= 1
        return n

    def ties_pruned(self, n_pruned: int) -> int:
        """How many of the values equal to the threshold are pruned, at a boundary that is exact."""
        threshold = self.threshold(np.array([n_pruned]))[0]
        smaller = self.below[np.searchsorted(self.smallest, threshold)]  # sorted values are a level each, equal or not
        return int(n_pruned - smaller) if n_pruned else 0

    def _level(self, n_pruned: np.ndarray) -> np.ndarray:
        """The level that holds the last value pruned."""
        return np.maximum(np.searchsorted(self.below, n_pruned, side="left") - 1, 0)


@dataclass(frozen=True)
class Histogram:
    """Counts of magnitudes by the upper 19 of their 31 bits, with the sums of the lower 12 and of their squares.

    All integers: histograms of the same values are equal to the bit, in whatever order or pieces they were taken.
    """

    count: Int[np.ndarray, " bins"]
    low: Int[np.ndarray, " bins"]
    square: Int[np.ndarray, " bins"]

    @classmethod
    def empty(cls) -> "Histogram":
        from .kernels import BINS

        return cls(*(np.zeros(BINS, dtype=np.int64) for _ in range(3)))

    def __add__(self, other: "Histogram") -> "Histogram":
        return Histogram(self.count + other.count, self.low + other.low, self.square + other.square)

    def levels(self, ranks: Int[np.ndarray, " k"], look: Callable[[np.ndarray], np.ndarray]) -> Magnitudes:
        """One level a bin, and one a value in the bins that hold a rank or a steep fall of the cosine.

        `look` counts, for such bins, how often each of their 4,096 values occurs: int64 of shape (bins, 4096).
        """
        bins, coarse, uniform = self._coarse()
        ranks = ranks[(ranks > 0) & (ranks <= coarse.n)]
        refine = np.zeros(bins.size, dtype=bool)
        refine[coarse._level(ranks)] = True
        refine |= -np.diff(np.sqrt(coarse.above / max(coarse.above[0], 1e-300))) > STEEP
        refine &= ~uniform
        if not refine.any():
            return coarse
        slots = look(bins[refine])
        places = np.flatnonzero(slots)
        row, slot = np.divmod(places, slots.shape[1])
        values, count = _value(bins[refine][row], slot), slots.ravel()[places]
        fine = Magnitudes(values, values, count, count * values**2)
        both = [np.concatenate([getattr(coarse, f)[~refine], getattr(fine, f)]) for f in Magnitudes.__annotations__]
        order = np.argsort(both[0], kind="stable")
        return Magnitudes(*(column[order] for column in both))

    def _coarse(self) -> tuple[np.ndarray, Magnitudes, np.ndarray]:
        """The bins in use, a level for each, and whether all values in it are one and the same."""
        bins = np.flatnonzero(self.count)
        n, low, square = self.count[bins], self.low[bins], self.square[bins]
        mean = low // n
        uniform = (mean * n == low) & (mean * mean * n == square)
        base, ulp = _value(bins, 0), _value(bins, 1) - _value(bins, 0)
        energy = n * base**2 + 2 * base * ulp * low + ulp**2 * square
        value = base + ulp * mean
        smallest, largest = np.where(uniform, value, base), np.where(uniform, value, _value(bins, (1 << 12) - 1))
        return bins, Magnitudes(smallest, largest, n, energy), uniform


def _value(bins: np.ndarray, slot: np.ndarray | int) -> Float[np.ndarray, " k"]:
    """The magnitude that a bin and a slot in it stand for."""
    return ((bins.astype(np.uint32) << 12) | np.asarray(slot, dtype=np.uint32)).view(np.float32).astype(np.float64)
