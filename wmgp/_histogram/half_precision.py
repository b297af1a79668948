"""Half precision has no more than 65,536 values: it is counted value by value, and all that is asked follows from that.

That is quicker than the histogram of float32, and nothing is read a second time.
"""

import functools

import numpy as np
from jaxtyping import Float, Int, UInt

from ..arrays import to_float64
from .magnitudes import Histogram

DTYPES = ("bfloat16", "float16")
FROM = 1 << 16  # values: in a smaller tensor there is more to look up than to count
CHUNK = 1 << 22  # values counted together
ROOM = 1 << 27  # bytes of blocks' counts to keep, of all workers
Counts = tuple[UInt[np.ndarray, " levels"], UInt[np.ndarray, " levels"]]  # magnitudes (15 bits), how often each occurs


@functools.cache
def magnitudes(dtype: str) -> Float[np.ndarray, " patterns"]:
    """The magnitude that each pattern of 15 bits stands for; ascending, infinity and not-a-numbers last."""
    bits = np.arange(1 << 15, dtype=np.uint16)
    if dtype == "float16":
        return to_float64(bits.view(np.float16))
    return to_float64(np.left_shift(bits, 16, dtype=np.uint32).view(np.float32))


@functools.cache
def _bins(dtype: str) -> UInt[np.ndarray, " patterns"]:
    """The same magnitudes' bits as float32."""
    with np.errstate(invalid="ignore"):
        return magnitudes(dtype).astype(np.float32).view(np.uint32)


class HalfHistogram:
    """One worker's counts: of the pool, and of every prunable block while there is room for them."""

    def __init__(self, room: int):
        self.room = room
        self.pool: dict[str, Int[np.ndarray, " patterns"]] = {}
        self.blocks: dict[tuple[int, int], Counts] = {}

    def count(
        self, place: tuple[int, int], bits: UInt[np.ndarray, " n"], dtype: str, prunable: bool, row: np.ndarray
    ) -> int:
        """Count a block where it is prunable, fill its row of moments, and return its largest magnitude's float32 bits.

        `place` is the tensor's and that of the block's first value in it.
        """
        from .kernels import half_pass

        levels, counts = half_pass(np.ascontiguousarray(bits), magnitudes(dtype), row)
        if prunable:
            pool = self.pool.setdefault(dtype, np.zeros(1 << 15, dtype=np.int64))
            pool[levels] += counts
            self.room -= levels.nbytes + counts.nbytes
            if self.room >= 0:
                self.blocks[place] = levels, counts
        return int(_bins(dtype)[levels[-1]])

    def histograms(self) -> list[Histogram]:
        """All that was counted: one a dtype."""
        return [_histogram(dtype, counts) for dtype, counts in self.pool.items()]


def _histogram(dtype: str, counts: Int[np.ndarray, " patterns"]) -> Histogram:
    """The lower bits, which half precision leaves at zero, add nothing; a bin holds one value at most."""
    used = np.flatnonzero(counts)
    nothing = np.zeros(used.size, dtype=np.int64)
    return Histogram(_bins(dtype)[used].astype(np.int64) >> 12, counts[used], nothing, nothing)


def count_below(counts: Counts, dtype: str, thresholds: Float[np.ndarray, " k"]) -> Int[np.ndarray, "2 k"]:
    """How many magnitudes of a counted block lie below each threshold, and how many equal it."""
    values = magnitudes(dtype)[counts[0]]
    before = np.concatenate([[0], np.cumsum(counts[1], dtype=np.int64)])
    below, through = (before[np.searchsorted(values, thresholds, side)] for side in ("left", "right"))
    return np.array([below, through - below])
