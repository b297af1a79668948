"""Compiled inner loops over a block of float32 values, viewed as their bits.

Magnitudes of finite floats have the same order as their bits, so a magnitude is represented by the integer of its 31
low bits. Of these, the upper 19 bits are the bin and the lower 12 bits the slot within the bin.

A packed counter is two uint64 per bin: count (upper 26 bits) and sum of slots (lower 38 bits); sum of squared slots.
"""

import numba
import numpy as np

N_BINS = 1 << 19
N_SLOTS = 1 << 12
MAGNITUDE_MASK = np.uint32(0x7FFFFFFF)  # all bits but the sign
INFINITY_BITS = np.uint32(0x7F800000)  # this magnitude and all above are infinity or NaN
MAX_PACKED = (1 << 26) - 1  # values in the packed counters: the count of a bin that holds one more could overflow

_SLOT_BITS, _SLOT_MASK = np.uint32(12), np.uint32(0xFFF)
_COUNT_SHIFT = np.uint64(38)
_COUNT_ONE = np.uint64(1 << 38)
_CACHED = 4096  # values that fit in the first-level cache
_LANES = 16  # partial sums, so that the compiler vectorises the loop; the order of summation is fixed


@numba.njit(nogil=True, cache=True)
def _add_to_bins(bits: np.ndarray, packed: np.ndarray) -> None:
    """Add each magnitude to the packed counters."""
    for i in range(bits.size):
        magnitude = bits[i] & MAGNITUDE_MASK
        slot = np.uint64(magnitude & _SLOT_MASK)
        packed[magnitude >> _SLOT_BITS, 0] += _COUNT_ONE | slot
        packed[magnitude >> _SLOT_BITS, 1] += slot * slot


@numba.njit(nogil=True, cache=True)
def unpack_and_clear(packed: np.ndarray, first: int, last: int):
    """Return (bins, counts, sums of slots, sums of squared slots) of the used bins, and set their counters to zero.

    Only bin 0 (which holds the zeros) and the bins from `first` to `last` may be used.
    """
    first = max(first, 1)
    n_used = int(packed[0, 0] > 0)
    for i in range(first, last + 1):
        n_used += packed[i, 0] > 0
    bins, count = np.empty(n_used, np.int64), np.empty(n_used, np.int64)
    slot_sum, square_sum = np.empty(n_used, np.int64), np.empty(n_used, np.int64)
    j = 0
    for k in range(first - 1, max(first, last + 1)):  # k = first - 1 stands for bin 0
        i = 0 if k < first else k
        if packed[i, 0]:
            bins[j], count[j] = i, packed[i, 0] >> _COUNT_SHIFT
            slot_sum[j], square_sum[j] = packed[i, 0] & (_COUNT_ONE - np.uint64(1)), packed[i, 1]
            packed[i, 0] = packed[i, 1] = 0
            j += 1
    return bins, count, slot_sum, square_sum


@numba.njit(nogil=True, cache=True)
def _extremes(bits: np.ndarray, smallest: np.uint32, largest: np.uint32):
    """Update the smallest nonzero magnitude and the largest magnitude."""
    for i in range(bits.size):
        magnitude = bits[i] & MAGNITUDE_MASK
        largest = max(largest, magnitude)
        smallest = min(smallest, magnitude if magnitude else MAGNITUDE_MASK)
    return smallest, largest


@numba.njit(nogil=True, cache=True)
def _add_powers(values: np.ndarray, centre: np.float64, sums: np.ndarray) -> None:
    """Add the powers 1 to 4 of `values - centre` to the partial sums, of shape (4, lanes)."""
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
def _approximate_mean(values: np.ndarray):
    """The mean of the first values, relative to the first: exact for a constant block, whose variance is then 0."""
    head = values[:_CACHED]
    total = 0.0
    for i in range(head.size):
        total += np.float64(head[i]) - np.float64(values[0])
    return np.float64(values[0]) + total / head.size


@numba.njit(nogil=True, cache=True)
def count_float32(values: np.ndarray, bits: np.ndarray, packed: np.ndarray, row: np.ndarray):
    """Count a block's magnitudes, and fill `row` with (n, centre, sums of powers 1 to 4 about the centre).

    Nothing is counted if `packed` has no rows. Memory is read once. Returns the bits of the smallest nonzero magnitude
    and of the largest magnitude.
    """
    centre = _approximate_mean(values)
    sums = np.zeros((4, _LANES))
    smallest, largest = MAGNITUDE_MASK, np.uint32(0)
    for start in range(0, values.size, _CACHED):
        piece = slice(start, start + _CACHED)
        smallest, largest = _extremes(bits[piece], smallest, largest)
        if packed.size:
            _add_to_bins(bits[piece], packed)
        _add_powers(values[piece], centre, sums)
    row[0] = values.size
    row[1] = centre
    row[2:6] = sums.sum(axis=1)
    return smallest, largest


@numba.njit(nogil=True, cache=True)
def count_half_precision(bits: np.ndarray, magnitudes: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count a block of half-precision values, and fill `row` with (n, mean, sums of powers 1 to 4 about the mean).

    `magnitudes` is the value of each 15-bit magnitude. Returns the magnitudes that occur (15 bits, ascending, uint16)
    and their counts (uint32).
    """
    counts = np.zeros((2, 1 << 15), np.uint32)  # by sign and magnitude
    flat_counts = counts.ravel()
    for i in range(bits.size):
        flat_counts[bits[i]] += np.uint32(1)
    levels = np.flatnonzero(counts[0] + counts[1]).astype(np.uint16)
    total = 0.0
    for m in levels:
        total += magnitudes[m] * (np.float64(counts[0, m]) - np.float64(counts[1, m]))
    row[0], row[1], row[2:] = bits.size, total / bits.size, 0.0
    level_counts = np.empty(levels.size, np.uint32)
    for j in range(levels.size):
        m = levels[j]
        level_counts[j] = counts[0, m] + counts[1, m]
        for sign in range(2):
            n, d = np.float64(counts[sign, m]), magnitudes[m] * (1 - 2 * sign) - row[1]
            square = d * d
            row[2] += n * d
            row[3] += n * square
            row[4] += n * square * d
            row[5] += n * square * square
    return levels, level_counts


@numba.njit(nogil=True, cache=True)
def count_slots(bits: np.ndarray, wanted: np.ndarray, rows: np.ndarray, buffer: np.ndarray, counts: np.ndarray) -> None:
    """Add the slots of the values in wanted bins to `counts`, of shape (rows, slots).

    By bin: `wanted` is 0 or 1, `rows` is the row in `counts`. Few values are wanted, so a loop without branches first
    collects them in `buffer`.
    """
    for start in range(0, bits.size, _CACHED):
        piece = bits[start : start + _CACHED]
        n = 0
        for i in range(piece.size):
            magnitude = piece[i] & MAGNITUDE_MASK
            buffer[n] = magnitude
            n += wanted[magnitude >> _SLOT_BITS]
        for i in range(n):
            counts[rows[buffer[i] >> _SLOT_BITS], buffer[i] & _SLOT_MASK] += 1


@numba.njit(nogil=True, cache=True)
def count_below(bits: np.ndarray, thresholds: np.ndarray):
    """Count the magnitudes below and equal to the bits of each threshold: int64 of shape (2, thresholds)."""
    counts = np.zeros((2, thresholds.size), np.int64)
    for start in range(0, bits.size, _CACHED):
        piece = bits[start : start + _CACHED]
        for t in range(thresholds.size):
            below, equal = 0, 0
            for i in range(piece.size):
                magnitude = piece[i] & MAGNITUDE_MASK
                below += magnitude < thresholds[t]
                equal += magnitude == thresholds[t]
            counts[0, t] += below
            counts[1, t] += equal
    return counts


@numba.njit(nogil=True, cache=True)
def fill_mask(bits: np.ndarray, threshold: np.uint32, ties: int, mask: np.ndarray) -> int:
    """Fill the mask: False for magnitudes below the threshold's bits and for the first `ties` equal to it, else True.

    Returns the number of ties that remain.
    """
    for i in range(bits.size):
        magnitude = bits[i] & MAGNITUDE_MASK
        mask[i] = magnitude >= threshold
        if magnitude == threshold and ties > 0:
            mask[i] = False
            ties -= 1
    return ties
