"""Split tensors into blocks of fixed size, and share the blocks among threads."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from ..parameters import Parameter
from . import half_precision

CHUNK, CUDA_CHUNK = 1 << 20, 3 << 22  # values per block; fixed, so that sums do not depend on the number of threads
MIN_PER_THREAD = 1 << 18  # values: with fewer, starting a thread takes longer than it saves


class Block(NamedTuple):
    """Values `start` to `stop` of a tensor."""

    tensor: int  # index of the tensor
    start: int
    stop: int


def split(parameters: Sequence[Parameter], indices: Sequence[int]) -> Iterator[Block]:
    """The blocks of the tensors at these indices; an empty tensor has one empty block."""
    for i in indices:
        p = parameters[i]
        size = CUDA_CHUNK if p.on_cuda else half_precision.CHUNK if half_precision.is_counted_by_value(p) else CHUNK
        for start in range(0, max(p.n, 1), size):
            yield Block(i, start, min(start + size, p.n))


def run_in_threads(
    function: Callable[[range], object], blocks: Sequence[Block], parameters: Sequence[Parameter]
) -> list[Any]:
    """Call `function` with consecutive ranges of blocks, one range per core, and return the results in order.

    Small inputs and CUDA devices use one thread.
    """
    n = sum(block.stop - block.start for block in blocks)
    n_threads = max(1, min(count_cores(), len(blocks), n // MIN_PER_THREAD))
    if n_threads == 1 or any(p.on_cuda for p in parameters):
        return [function(range(len(blocks)))]
    ends = np.cumsum([block.stop - block.start for block in blocks])
    cuts = [0, *np.searchsorted(ends, n * np.arange(1, n_threads) / n_threads), len(blocks)]
    with ThreadPoolExecutor(n_threads) as executor:
        return list(executor.map(function, (range(a, b) for a, b in zip(cuts, cuts[1:], strict=False))))


def count_cores() -> int:
    """The number of processor cores this process may use; all cores if the system cannot tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
