"""The histogram on a GPU, and all of `analyze`, against a copy of the values on that device.

`python -m benchmarks.gpu --out results/benchmark_device.csv` times float32 tensors of normal values from a million
values on. A copy reads and writes every value once, so reading all values takes at least half its time.
"""

import argparse
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import wmgp
from benchmarks.sizes import COLUMNS, make_row, time_in_turn
from benchmarks.timing import Row, write_table
from wmgp._histogram.magnitudes import Histogram
from wmgp._histogram.measurement import measure
from wmgp.errors import InputError, exit_on_input_error
from wmgp.experiments.training.loop import choose_device
from wmgp.parameters import collect

HISTOGRAM, ANALYZE, COPY = "the histogram on the device", "analyze, on the device", "a copy on the device"


def measure_rows(largest: int, repeats: int, device: torch.device) -> Iterator[Row]:
    """Yield rows of both against the copy, for 10**6, 10**7, ... values up to `largest`."""
    generator = torch.Generator(device).manual_seed(0)
    for n in (10**e for e in range(6, 12) if 10**e <= largest):
        weights = torch.randn(n, device=device, generator=generator)
        copied = partial(copy_and_wait, weights, torch.empty_like(weights))
        for what, work in ((HISTOGRAM, compute_histogram), (ANALYZE, wmgp.analyze)):
            yield make_row(what, COPY, n, time_in_turn(partial(work, {"w.weight": weights}), copied, repeats))


def compute_histogram(weights: dict[str, Tensor]) -> Histogram | None:
    """Return the histogram of the first pass alone."""
    return measure(collect(weights)).histogram


def copy_and_wait(weights: Tensor, target: Tensor) -> None:
    """Copy, and wait until the copy is complete."""
    target.copy_(weights)
    if target.is_cuda:
        torch.cuda.synchronize(target.device)


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description="Speed on a GPU.")
    out = Path("results/benchmark_device.csv")
    parser.add_argument("--out", type=Path, default=out, help="(default: %(default)s)")
    parser.add_argument("--largest", type=int, default=10**9, help="values (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--device", default="cuda", help="as torch names it (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    if not chosen.out.parent.is_dir():
        raise InputError(f"{chosen.out}: expected a file in an existing folder")
    device = choose_device(chosen.device)
    began, found = time.perf_counter(), []
    for each in measure_rows(chosen.largest, chosen.repeats, device):
        found.append(each)
        print("{what:28} {values:>13,} {seconds:10.4g} s  {peer}: {ratio:.3g} times as long".format(**each), flush=True)
    settings = {
        "benchmark": f"fastest of at most {chosen.repeats}, both sides in turn in one run",
        "device": device.type,
        "seed": 0,
    }
    write_table(chosen.out, found, COLUMNS, settings, "python -m benchmarks.gpu", time.perf_counter() - began)


if __name__ == "__main__":
    main()
