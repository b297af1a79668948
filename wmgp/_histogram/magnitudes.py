"""The distribution of a pool's magnitudes: counts and energies, exact at the requested amounts.

A histogram counts magnitudes in 2**19 bins and keeps integers that give each bin's exact energy. It does not depend on
the order of values, tensors or threads, and histograms of parts can be merged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

MAX_COSINE_DROP = 1 / 512  # a bin across which the cosine falls by more is refined: at most 512 bins


@dataclass(frozen=True)
class Magnitudes:
    """A pool's magnitudes in ascending levels: each level holds `count` values between `smallest` and `largest`.

    Counts and thresholds are exact within levels of a single value, as at every requested amount.
    """

    smallest: Float[np.ndarray, " levels"]
    largest: Float[np.ndarray, " levels"]
    count: Int[np.ndarray, " levels"]
    energy: Float[np.ndarray, " levels"]  # sum of squares

    @cached_property
    def n_below(self) -> Int[np.ndarray, " edges"]:
        """Number of values in the levels before each level; the last entry is the number of all values."""
        return np.concatenate([[0], np.cumsum(self.count)])

    @cached_property
    def energy_above(self) -> Float[np.ndarray, " edges"]:
        """Energy of each level and all levels after it, summed from the top so that small remainders keep digits."""
        return np.concatenate([np.cumsum(self.energy[::-1])[::-1], [0.0]])

    @property
    def n(self) -> int:
        """Number of values."""
        return int(self.n_below[-1])

    @property
    def n_zeros(self) -> int:
        """Number of values that are zero."""
        return int(self.count[self.largest == 0].sum())

    def kept_energy(self, n_pruned: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Energy of the kept values if the n_pruned smallest are pruned."""
        level = self.level(n_pruned)
        n_kept = self.n_below[level + 1] - n_pruned  # in this level
        return self.energy_above[level + 1] + self.energy[level] * (n_kept / self.count[level])

    def threshold(self, n_pruned: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """The largest pruned magnitude; nan if nothing is pruned."""
        level = self.level(n_pruned)
        share = (n_pruned - self.n_below[level]) / self.count[level]
        value = self.smallest[level] + (self.largest[level] - self.smallest[level]) * share
        return np.where(n_pruned > 0, value, np.nan)

    def max_pruned(self, min_kept: float) -> int:
        """The largest number of pruned values that keeps at least this energy."""
        level = int(np.searchsorted(-self.energy_above, -min_kept, side="right")) - 1  # the last with enough energy
        if level < 0 or level >= self.count.size:
            return 0 if level < 0 else self.n
        n_spare = (self.energy_above[level] - min_kept) / self.energy[level] * self.count[level]
        n = min(int(self.n_below[level] + np.floor(n_spare)) + 1, self.n)
        while n > 0 and self.kept_energy(np.array([n]))[0] < min_kept:
            n -= 1
        return n

    def ties_pruned(self, n_pruned: int) -> int:
        """Number of pruned values that equal the threshold, in a level of a single value."""
        threshold = self.threshold(np.array([n_pruned]))[0]
        # Sorted values have a level each, so equal values may span several levels.
        n_smaller = self.n_below[np.searchsorted(self.smallest, threshold)]
        return int(n_pruned - n_smaller) if n_pruned else 0

    def level(self, n_pruned: np.ndarray) -> np.ndarray:
        """The index of the level that holds the last pruned value."""
        return np.maximum(np.searchsorted(self.n_below, n_pruned, side="left") - 1, 0)


@dataclass(frozen=True)
class Histogram:
    """Counts of magnitudes by bin (upper 19 of 31 bits), with the sums of slots (lower 12 bits) and of their squares.

    `bins` are the used bins, ascending. All fields are integers, so histograms of the same values are equal to the bit,
    in any order and any split into parts.
    """

    bins: Int[np.ndarray, " bins"]
    count: Int[np.ndarray, " bins"]
    low: Int[np.ndarray, " bins"]  # sum of slots
    square: Int[np.ndarray, " bins"]  # sum of squared slots

    @classmethod
    def merged(cls, parts: "Sequence[Histogram]") -> "Histogram":
        """The histogram of the values of all parts."""
        columns = [np.concatenate([np.zeros(0, int), *(getattr(p, f) for p in parts)]) for f in cls.__annotations__]
        order = np.argsort(columns[0], kind="stable")
        bins, *sums = (column[order] for column in columns)
        starts = np.flatnonzero(np.diff(bins, prepend=-1))
        return cls(bins[starts], *(np.add.reduceat(column, starts) if starts.size else column for column in sums))

    def levels(self, n_pruned: Int[np.ndarray, " k"], count_slots: Callable[[np.ndarray], np.ndarray]) -> Magnitudes:
        """One level per bin; one level per value in bins that hold a requested boundary or a large fall of the cosine.

        `n_pruned`: the numbers of pruned values to make exact. `count_slots(bins)` counts the values in each of the
        4,096 slots of these bins: int64 of shape (bins, 4096).
        """
        coarse, single_valued = self.coarse, self._single_valued
        n_pruned = n_pruned[(n_pruned > 0) & (n_pruned <= coarse.n)]
        refine = np.zeros(self.bins.size, dtype=bool)
        refine[coarse.level(n_pruned)] = True
        refine |= -np.diff(np.sqrt(coarse.energy_above / max(coarse.energy_above[0], 1e-300))) > MAX_COSINE_DROP
        refine &= ~single_valued
        if not refine.any():
            return coarse
        slot_counts = count_slots(self.bins[refine])
        used = np.flatnonzero(slot_counts)
        row, slot = np.divmod(used, slot_counts.shape[1])
        values, count = _magnitude(self.bins[refine][row], slot), slot_counts.ravel()[used]
        fine = Magnitudes(values, values, count, count * values**2)
        columns = [np.concatenate([getattr(coarse, f)[~refine], getattr(fine, f)]) for f in Magnitudes.__annotations__]
        order = np.argsort(columns[0], kind="stable")
        return Magnitudes(*(column[order] for column in columns))

    @cached_property
    def coarse(self) -> Magnitudes:
        """One level per bin."""
        base, ulp = _magnitude(self.bins, 0), _magnitude(self.bins, 1) - _magnitude(self.bins, 0)
        energy = self.count * base**2 + 2 * base * ulp * self.low + ulp**2 * self.square
        value = base + ulp * (self.low // self.count)
        smallest = np.where(self._single_valued, value, base)
        largest = np.where(self._single_valued, value, _magnitude(self.bins, (1 << 12) - 1))
        return Magnitudes(smallest, largest, self.count, energy)

    @cached_property
    def _single_valued(self) -> Bool[np.ndarray, " bins"]:
        """True for bins whose values are all equal, as in half precision."""
        mean = self.low // self.count
        return (mean * self.count == self.low) & (mean**2 * self.count == self.square)


def _magnitude(bins: np.ndarray, slot: np.ndarray | int) -> Float[np.ndarray, " k"]:
    """The magnitude of each bin and slot."""
    return ((bins.astype(np.uint32) << 12) | np.asarray(slot, dtype=np.uint32)).view(np.float32).astype(np.float64)
