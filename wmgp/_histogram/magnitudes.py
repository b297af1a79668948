"""The distribution of a pool's magnitudes: counts and energies, exact where asked for, and mergeable.

A histogram counts magnitudes in 2**19 bins and keeps, in integers, what gives each bin's energy exactly; the order of
the values, of the tensors and of the threads leaves no trace in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

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
        level = self.level(n_pruned)
        left = self.below[level + 1] - n_pruned
        return self.above[level + 1] + self.energy[level] * (left / self.count[level])

    def threshold(self, n_pruned: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """The largest magnitude pruned; nan where nothing is."""
        level = self.level(n_pruned)
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

    def level(self, n_pruned: np.ndarray) -> np.ndarray:
        """The level that holds the last value pruned."""
        return np.maximum(np.searchsorted(self.below, n_pruned, side="left") - 1, 0)


@dataclass(frozen=True)
class Histogram:
    """Counts of magnitudes by the upper 19 of their 31 bits, with the sums of the lower 12 and of their squares.

    `bins` are those in use, ascending. All are integers: histograms of the same values are equal to the bit, whatever
    the order or the pieces they were taken in.
    """

    bins: Int[np.ndarray, " bins"]
    count: Int[np.ndarray, " bins"]
    low: Int[np.ndarray, " bins"]
    square: Int[np.ndarray, " bins"]

    @classmethod
    def merged(cls, parts: "Sequence[Histogram]") -> "Histogram":
        """The histogram of all that the parts were taken of."""
        every = [np.concatenate([np.zeros(0, int), *(getattr(p, f) for p in parts)]) for f in cls.__annotations__]
        order = np.argsort(every[0], kind="stable")
        bins, *sums = (column[order] for column in every)
        starts = np.flatnonzero(np.diff(bins, prepend=-1))
        return cls(bins[starts], *(np.add.reduceat(column, starts) if starts.size else column for column in sums))

    def levels(self, ranks: Int[np.ndarray, " k"], look: Callable[[np.ndarray], np.ndarray]) -> Magnitudes:
        """One level a bin, and one a value in the bins that hold a rank or a steep fall of the cosine.

        `look` counts, for such bins, how often each of their 4,096 values occurs: int64 of shape (bins, 4096).
        """
        coarse, uniform = self.coarse, self._uniform
        ranks = ranks[(ranks > 0) & (ranks <= coarse.n)]
        refine = np.zeros(self.bins.size, dtype=bool)
        refine[coarse.level(ranks)] = True
        refine |= -np.diff(np.sqrt(coarse.above / max(coarse.above[0], 1e-300))) > STEEP
        refine &= ~uniform
        if not refine.any():
            return coarse
        slots = look(self.bins[refine])
        places = np.flatnonzero(slots)
        row, slot = np.divmod(places, slots.shape[1])
        values, count = _value(self.bins[refine][row], slot), slots.ravel()[places]
        fine = Magnitudes(values, values, count, count * values**2)
        both = [np.concatenate([getattr(coarse, f)[~refine], getattr(fine, f)]) for f in Magnitudes.__annotations__]
        order = np.argsort(both[0], kind="stable")
        return Magnitudes(*(column[order] for column in both))

    @cached_property
    def coarse(self) -> Magnitudes:
        """One level a bin."""
        base, ulp = _value(self.bins, 0), _value(self.bins, 1) - _value(self.bins, 0)
        energy = self.count * base**2 + 2 * base * ulp * self.low + ulp**2 * self.square
        value = base + ulp * (self.low // self.count)
        smallest = np.where(self._uniform, value, base)
        largest = np.where(self._uniform, value, _value(self.bins, (1 << 12) - 1))
        return Magnitudes(smallest, largest, self.count, energy)

    @cached_property
    def _uniform(self) -> Bool[np.ndarray, " bins"]:
        """Whether all values of a bin are one and the same, as those of half precision are."""
        mean = self.low // self.count
        return (mean * self.count == self.low) & (mean**2 * self.count == self.square)


def _value(bins: np.ndarray, slot: np.ndarray | int) -> Float[np.ndarray, " k"]:
    """The magnitude that a bin and a slot in it stand for."""
    return ((bins.astype(np.uint32) << 12) | np.asarray(slot, dtype=np.uint32)).view(np.float32).astype(np.float64)
