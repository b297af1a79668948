"""`analyze` from ten thousand values to two thousand million, against peers and the limits of memory and disk.

`python -m benchmarks.sizes --out results/benchmark_sizes.csv` times `wmgp.analyze`, in turn with its peers and in
one run, on

- a float32 tensor of normal values, against one `torch.sum` over it (any program must read all values once),
  `np.partition` (a single threshold), `torch.sort`, one `torch.nn.utils.prune` and the published 101 prunes;
- a bfloat16 checkpoint, warm and cold, and one of many sparse shards, against `cat`.

A peer is left out above `Peer.most` values, where it would take minutes or a second copy of the data.
"""

import argparse
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import wmgp
from benchmarks.peak_memory import peak_memory
from benchmarks.synthetic_checkpoints import drop_from_cache, write_shards
from benchmarks.timing import Row, time_work, write_table
from wmgp.errors import InputError, exit_on_input_error
from wmgp.experiments import published_method

COLUMNS = ("what", "peer", "values", "seconds", "peer_seconds", "ratio", "repeats", "peak_mib", "run")
AMOUNT, PRUNES = 0.8, 101
TENSOR, WARM, COLD, SHARDS = "a tensor", "a file, warm", "a file, cold", "zeros in sparse shards"
READ = "cat"
MAX_SECONDS = 10  # total of both sides, after which repeats stop


class Peer(NamedTuple):
    """A program to compare with: its work on a tensor, and the largest tensor that it is timed on."""

    work: Callable[[Tensor], object]
    most: int
    times: float = 1  # factor on its seconds


def torch_prune(weights: Tensor) -> None:
    """Prune once by L1 with `torch.nn.utils.prune`."""
    from torch.nn.utils import prune

    layer = nn.Module()
    layer.weight = nn.Parameter(weights)
    prune.l1_unstructured(layer, "weight", amount=AMOUNT)


def published_prune(weights: Tensor) -> None:
    """Run one of the published method's prunes, with its cosine."""
    layer = nn.Linear(1, 1, bias=False)
    layer.weight = nn.Parameter(weights)
    published_method.front(layer, [AMOUNT])


PEERS = {
    "torch.sum": Peer(torch.sum, 10**9),
    "np.partition": Peer(lambda weights: np.partition(np.abs(weights.numpy()), int(AMOUNT * len(weights))), 10**9),
    "torch.sort": Peer(lambda weights: torch.sort(weights.abs()), 10**8),
    "torch's prune": Peer(torch_prune, 10**8),
    f"published method, {PRUNES} prunes": Peer(published_prune, 10**7, PRUNES),
}


def time_in_turn(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int, before: Callable[[], object] = lambda: None
) -> tuple[float, float, int]:
    """Return the fastest seconds of ours and theirs, run in turn, and the number of repeats, at most `repeats`.

    `before` runs before each and is not timed. Ours runs once first, so that compilation and mapping are not timed.
    """
    ours()
    times = []
    while len(times) < repeats and (not times or sum(map(sum, times)) < MAX_SECONDS):
        before()
        mine = time_work(ours)
        before()
        times.append((mine, time_work(theirs)))
    return min(t[0] for t in times), min(t[1] for t in times), len(times)


def make_row(what: str, peer: str, n: int, timed: tuple[float, float, int], peak_mib: float = math.nan) -> Row:
    """Return a row of the table; `ratio` is the peer's seconds divided by ours."""
    ours, theirs, repeats = timed
    return {
        "what": what, "peer": peer, "values": n, "seconds": ours, "peer_seconds": theirs, "ratio": theirs / ours,
        "repeats": repeats, "peak_mib": peak_mib,
    }  # fmt: skip


def time_tensors(sizes: Iterable[int], repeats: int) -> Iterator[Row]:
    """Yield rows of `analyze` of one tensor against each peer, for each size."""
    for n in sizes:
        above = peak_memory(n)
        weights = torch.from_numpy(np.random.default_rng(0).standard_normal(n, dtype=np.float32))
        for name, peer in PEERS.items():
            if n <= peer.most:
                ours, theirs, times = time_in_turn(
                    partial(wmgp.analyze, {"w.weight": weights}), partial(peer.work, weights), repeats
                )
                yield make_row(TENSOR, name, n, (ours, theirs * peer.times, times), above)


def time_files(sizes: Iterable[int], folder: Path, repeats: int) -> Iterator[Row]:
    """Yield rows of `analyze` of a bfloat16 checkpoint against `cat`, from memory and from the disk."""
    for n in sizes:
        path, *_ = write_shards(folder, n, 1)
        above = peak_memory(path)
        for what, before in ((WARM, lambda: None), (COLD, partial(drop_from_cache, path))):
            timed = time_in_turn(partial(wmgp.analyze, path), partial(cat, [path]), repeats, before)
            yield make_row(what, READ, n, timed, above)
        path.unlink()


def cat(paths: Iterable[Path]) -> None:
    """Read whole files with the command `cat`."""
    subprocess.run(["cat", *map(str, paths)], stdout=subprocess.DEVNULL, check=True)


def time_shards(n: int, number: int, folder: Path) -> Row:
    """Return the row of `analyze` against `cat` for many sparse shards with one nonzero value per tensor."""
    inside = folder / "shards"
    inside.mkdir()
    paths = write_shards(inside, n, number, sparse=True)
    above = peak_memory(inside)
    return make_row(SHARDS, READ, n, time_in_turn(partial(wmgp.analyze, inside), partial(cat, paths), 1), above)


def all_rows(largest: int, repeats: int) -> Iterator[Row]:
    """Yield all rows up to `largest` values; for shards ten times as many, because not all are in memory at once."""
    sizes = [10**e for e in range(4, 10) if 10**e <= largest]
    yield from time_tensors(sizes, repeats)
    with tempfile.TemporaryDirectory() as name:
        yield from time_files([n for n in (*sizes, 2 * 10**9) if 10**5 <= n <= 2 * largest], Path(name), repeats)
        yield time_shards(10 * largest, 20, Path(name))


@exit_on_input_error
def main(arguments: Iterable[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.sizes", description="Speed against size.")
    out = Path("results/benchmark_sizes.csv")
    parser.add_argument("--out", type=Path, default=out, help="(default: %(default)s)")
    parser.add_argument("--largest", type=int, default=10**9, help="values of a tensor (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="(default: %(default)s)")
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    if not chosen.out.parent.is_dir():
        raise InputError(f"{chosen.out}: expected a file in an existing folder")
    began, rows = time.perf_counter(), []
    for found in all_rows(chosen.largest, chosen.repeats):
        rows.append(found)
        print(
            "{what:24} {values:>13,} {seconds:10.4g} s  {peer}: {ratio:.3g} times as long".format(**found), flush=True
        )
    settings = {
        "benchmark": f"fastest of at most {chosen.repeats}, both sides in turn in one run",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "device": "cpu",
        "seed": 0,
    }
    write_table(chosen.out, rows, COLUMNS, settings, "python -m benchmarks.sizes", time.perf_counter() - began)


if __name__ == "__main__":
    main()
