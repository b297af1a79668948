"""Count half-precision values one by one: float16 and bfloat16 have only 65,536 different values.

This is faster than the histogram of float32, and the values are read once.
"""

import functools

import numpy as np
from jaxtyping import Float, Int, UInt

from ..arrays import to_float64
from ..parameters import Parameter
from .magnitudes import Histogram

DTYPES = ("bfloat16", "float16")
MIN_VALUES = 1 << 16  # smaller tensors are faster to count as float32: a count visits every possible magnitude
CHUNK = 1 << 22  # values per block
MAX_COUNT_BYTES = 1 << 27  # memory for the counts of blocks, of all threads together
Counts = tuple[UInt[np.ndarray, " levels"], UInt[np.ndarray, " levels"]]  # magnitudes (15 bits), number of values


def is_counted_by_value(p: Parameter) -> bool:
    """Return True for a half-precision tensor that is large enough and not on a CUDA device."""
    return p.dtype in DTYPES and p.n >= MIN_VALUES and not p.on_cuda


@functools.cache
def magnitude_table(dtype: str) -> Float[np.ndarray, " patterns"]:
    """The magnitude of each 15-bit pattern; ascending, with infinity and NaN last."""
    bits = np.arange(1 << 15, dtype=np.uint16)
    if dtype == "float16":
        return to_float64(bits.view(np.float16))
    return to_float64(np.left_shift(bits, 16, dtype=np.uint32).view(np.float32))


@functools.cache
def _float32_bits(dtype: str) -> UInt[np.ndarray, " patterns"]:
    """The float32 bits of each 15-bit pattern's magnitude."""
    with np.errstate(invalid="ignore"):
        return magnitude_table(dtype).astype(np.float32).view(np.uint32)


class HalfPrecisionHistogram:
    """The counts of one thread: of all its prunable blocks together, and of each block while `bytes_left` allows."""

    def __init__(self, bytes_left: int):
        self.bytes_left = bytes_left
        self.counts: dict[str, Int[np.ndarray, " patterns"]] = {}  # by dtype
        self.block_counts: dict[tuple[int, int], Counts] = {}  # by (index of the tensor, first value)

    def count(
        self, block: tuple[int, int], bits: UInt[np.ndarray, " n"], dtype: str, prunable: bool, row: np.ndarray
    ) -> int:
        """Count a block if it is prunable, fill its row of moments, and return its largest magnitude as float32 bits.

        `block` is (index of the tensor, first value).
        """
        from .kernels import count_half_precision

        levels, counts = count_half_precision(np.ascontiguousarray(bits), magnitude_table(dtype), row)
        if prunable:
            total = self.counts.setdefault(dtype, np.zeros(1 << 15, dtype=np.int64))
            total[levels] += counts
            self.bytes_left -= levels.nbytes + counts.nbytes
            if self.bytes_left >= 0:
                self.block_counts[block] = levels, counts
        return int(_float32_bits(dtype)[levels[-1]])

    def histograms(self) -> list[Histogram]:
        """One histogram per dtype."""
        return [_histogram(dtype, counts) for dtype, counts in self.counts.items()]


def _histogram(dtype: str, counts: Int[np.ndarray, " patterns"]) -> Histogram:
    """The histogram of the counted values. Every slot is 0, because half precision leaves the lower 12 bits at zero."""
    used = np.flatnonzero(counts)
    slot_sums = np.zeros(used.size, dtype=np.int64)
    return Histogram(_float32_bits(dtype)[used].astype(np.int64) >> 12, counts[used], slot_sums, slot_sums)


def count_below(counts: Counts, dtype: str, thresholds: Float[np.ndarray, " k"]) -> Int[np.ndarray, "2 k"]:
    """Count a block's magnitudes below and equal to each threshold, from the block's counts."""
    values = magnitude_table(dtype)[counts[0]]
    cumulative = np.concatenate([[0], np.cumsum(counts[1], dtype=np.int64)])
    below, up_to = (cumulative[np.searchsorted(values, thresholds, side)] for side in ("left", "right"))
    return np.array([below, up_to - below])
