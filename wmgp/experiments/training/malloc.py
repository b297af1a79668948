"""Freed memory is kept for what asks next.

Every step of a training asks for the same blocks, most of them of some megabytes. glibc's malloc gives such blocks back
to the system when they are freed, and gets them again as pages that have never been touched. Where a network is small,
that costs a third of the step.
"""

import ctypes
import functools

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt(3): M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
KEPT = 2**31 - 1  # bytes at the end of the heap: the largest int
LARGEST = 32 * 2**20  # bytes of a block of the heap: the most that glibc takes on 64 bits


@functools.cache
def keep_memory() -> bool:
    """Tell malloc to keep what is freed, for the rest of this process; False where it is not glibc's."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(MMAP_THRESHOLD, LARGEST) and mallopt(TRIM_THRESHOLD, KEPT))
