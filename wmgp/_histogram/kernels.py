"""The compiled inner loops over a block of float32 values, seen as their bits.

The magnitudes of finite floats order as their bits do, so a magnitude *is* the integer of its 31 low bits. The upper 19
of them name a bin, the lower 12 a slot within it.
"""

import numba
import numpy as np

BINS = 1 << 19
SLOTS = 1 << 12
SIGNLESS = np.uint32(0x7FFFFFFF)
INFINITE = np.uint32(0x7F800000)  # this magnitude and all above it are infinite or not a number
FLUSH = (1 << 26) - 1  # values a packed counter holds: with one more, all of a bin, its count would overflow

_SHIFT, _LOW = np.uint32(12), np.uint32(0xFFF)
_ONE = np.uint64(1 << 38)  # a count in the upper 26 bits of a packed counter, the sum of the slots in the lower 38
_CACHED = 4096  # values worked on while they are in the first-level cache
_LANES = 16  # fixed partial sums: the compiler fills vectors with them, and the order of addition never changes


@numba.njit(nogil=True, cache=True)
def _count_bins(bits: np.ndarray, packed: np.ndarray) -> None:
    """Add each magnitude to its bin: count and sum of slots in one integer, sum of squared slots in another."""
    for i in range(bits.size):
        magnitude = bits[i] & SIGNLESS
        low = np.uint64(magnitude & _LOW)
        packed[magnitude >> _SHIFT, 0] += _ONE | low
        packed[magnitude >> _SHIFT, 1] += low * low


@numba.njit(nogil=True, cache=True)
def drain(packed: np.ndarray, first: int, last: int):
    """Empty the packed counters of bin 0 and of bins first to last: (bins, counts, sums of slots, of their squares)."""
    first = max(first, 1)
    used = int(packed[0, 0] > 0)
    for i in range(first, last + 1):
        used += packed[i, 0] > 0
    bins, count = np.empty(used, np.int64), np.empty(used, np.int64)
    low, square = np.empty(used, np.int64), np.empty(used, np.int64)
    j = 0
    for k in range(first - 1, max(first, last + 1)):  # bin 0, then the range, which zeros alone leave empty
        i = 0 if k < first else k
        if packed[i, 0]:
            bins[j], count[j] = i, packed[i, 0] >> np.uint64(38)
            low[j], square[j] = packed[i, 0] & (_ONE - np.uint64(1)), packed[i, 1]
            packed[i, 0] = packed[i, 1] = 0
            j += 1
    return bins, count, low, square


@numba.njit(nogil=True, cache=True)
def _extremes(bits: np.ndarray, smallest: np.uint32, largest: np.uint32):
    """The smallest magnitude but zero and the largest, of these and of what came before."""
    for i in range(bits.size):
        magnitude = bits[i] & SIGNLESS
        largest = max(largest, magnitude)
        smallest = min(smallest, magnitude if magnitude else SIGNLESS)
    return smallest, largest


@numba.njit(nogil=True, cache=True)
def _add_powers(values: np.ndarray, centre: np.float64, sums: np.ndarray) -> None:
    """Add the first four powers of `values - centre` to `sums`, lane by lane."""
    whole = values.size // _LANES * _LANES
    for i in range(0, whole, _LANES):
        for j in range(_LANES):
            d = np.float64(values[i + j]) - centre
            square = d * d
            sums[0, j] += d
            sums[1, j] += square
            sums[2, j] += square * d
            sums[3, j] += square * square
    for i in range(whole, values.size):
        d = np.float64(values[i]) - centre
        square = d * d
        sums[0, 0] += d
        sums[1, 0] += square
        sums[2, 0] += square * d
        sums[3, 0] += square * square


@numba.njit(nogil=True, cache=True)
def _near_mean(values: np.ndarray):
    """The mean of the first values, taken about the first one so that a constant block has exactly no variance."""
    head = values[:_CACHED]
    total = 0.0
    for i in range(head.size):
        total += np.float64(head[i]) - np.float64(values[0])
    return np.float64(values[0]) + total / head.size


@numba.njit(nogil=True, cache=True)
def first_pass(values: np.ndarray, bits: np.ndarray, packed: np.ndarray, row: np.ndarray):
    """Count a block's magnitudes, and fill `row` with (n, centre, sums of the first four powers about the centre).

    Each piece is read from memory once. With `packed` of no rows only `row` is filled. Returns the bits of the smallest
    magnitude but zero and of the largest.
    """
    centre = _near_mean(values)
    sums = np.zeros((4, _LANES))
    smallest, largest = SIGNLESS, np.uint32(0)
    for start in range(0, values.size, _CACHED):
        piece = slice(start, start + _CACHED)
        smallest, largest = _extremes(bits[piece], smallest, largest)
        if packed.size:
            _count_bins(bits[piece], packed)
        _add_powers(values[piece], centre, sums)
    row[0] = values.size
    row[1] = centre
    row[2:6] = sums.sum(axis=1)
    return smallest, largest


@numba.njit(nogil=True, cache=True)
def half_pass(bits: np.ndarray, magnitudes: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count a block of half precision by its 16 bits, and fill `row` with (n, mean, sums of four powers about it).

    Returns the magnitudes that occur (15 bits, ascending, uint16) and how often each does (uint32).
    """
    counts = np.zeros((2, 1 << 15), np.uint32)  # by sign
    every = counts.ravel()
    for i in range(bits.size):
        every[bits[i]] += np.uint32(1)
    levels = np.flatnonzero(counts[0] + counts[1]).astype(np.uint16)
    total = 0.0
    for m in levels:
        total += magnitudes[m] * (np.float64(counts[0, m]) - np.float64(counts[1, m]))
    row[0], row[1], row[2:] = bits.size, total / bits.size, 0.0
    occurs = np.empty(levels.size, np.uint32)
    for j in range(levels.size):
        m = levels[j]
        occurs[j] = counts[0, m] + counts[1, m]
        for sign in range(2):
            n, d = np.float64(counts[sign, m]), magnitudes[m] * (1 - 2 * sign) - row[1]
            square = d * d
            row[2] += n * d
            row[3] += n * square
            row[4] += n * square * d
            row[5] += n * square * square
    return levels, occurs


@numba.njit(nogil=True, cache=True)
def count_slots(bits: np.ndarray, wanted: np.ndarray, rows: np.ndarray, found: np.ndarray, counts: np.ndarray) -> None:
    """Count the slots of the values whose bin is `wanted`: collected without a branch first, for few of them are."""
    for start in range(0, bits.size, _CACHED):
        piece = bits[start : start + _CACHED]
        n = 0
        for i in range(piece.size):
            magnitude = piece[i] & SIGNLESS
            found[n] = magnitude
            n += wanted[magnitude >> _SHIFT]
        for i in range(n):
            counts[rows[found[i] >> _SHIFT], found[i] & _LOW] += 1


@numba.njit(nogil=True, cache=True)
def count_below(bits: np.ndarray, thresholds: np.ndarray):
    """How many magnitudes lie below each threshold's bits, and how many equal them: int64 of shape (2, thresholds)."""
    counts = np.zeros((2, thresholds.size), np.int64)
    for start in range(0, bits.size, _CACHED):
        piece = bits[start : start + _CACHED]
        for t in range(thresholds.size):
            below, equal = 0, 0
            for i in range(piece.size):
                magnitude = piece[i] & SIGNLESS
                below += magnitude < thresholds[t]
                equal += magnitude == thresholds[t]
            counts[0, t] += below
            counts[1, t] += equal
    return counts


@numba.njit(nogil=True, cache=True)
def keep(bits: np.ndarray, threshold: np.uint32, ties: int, kept: np.ndarray) -> int:
    """Fill `kept`: False for magnitudes below the threshold's bits, and for the first `ties` that equal it.

    Returns how many ties are left.
    """
    for i in range(bits.size):
        magnitude = bits[i] & SIGNLESS
        kept[i] = magnitude >= threshold
        if magnitude == threshold and ties > 0:
            kept[i] = False
            ties -= 1
    return ties
