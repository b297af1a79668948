"""Training speed of each network by memory format and precision: the data behind `recipes.BFLOAT16`.

`python -m benchmarks.memory_formats --out results/benchmark_formats.csv` times an epoch of the published recipe over a
few batches of noise, for each network and all four combinations in turn, and keeps the fastest of a few runs.
"""

import argparse
import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch

from benchmarks.sweep import noise
from benchmarks.timing import Row, time_work, write_table
from wmgp.errors import exit_on_input_error
from wmgp.experiments.data import to_device
from wmgp.experiments.models import IMAGE_SHAPES, NETWORKS, build
from wmgp.experiments.training.loop import choose_device, train
from wmgp.experiments.training.sgd import REFERENCE

COLUMNS = ("network", "memory", "precision", "images", "device", "images_per_second", "relative", "run")
MEMORY_FORMATS = {"contiguous": False, "channels_last": True}
PRECISIONS = {"float32": False, "bfloat16": True}


def measure_speeds(network: str, images: int, repeats: int, device: torch.device) -> list[Row]:
    """Return a row for each memory format and precision; `relative` is speed over contiguous float32's."""
    data = to_device(noise(IMAGE_SHAPES[network], images), device)
    best = {way: float("inf") for way in product(MEMORY_FORMATS, PRECISIONS)}
    for _ in range(repeats + 1):  # the first round is a warm-up
        for memory, precision in best:
            recipe = replace(REFERENCE, channels_last=MEMORY_FORMATS[memory], bfloat16=PRECISIONS[precision])
            model = build(network, 0)
            took = time_work(lambda m=model, r=recipe: train(m, data, 1, 0, r), device)
            best[memory, precision] = min(best[memory, precision], took)
    plain = best["contiguous", "float32"]
    return [
        {
            "network": network, "memory": memory, "precision": precision, "images": images, "device": device.type,
            "images_per_second": images / took, "relative": plain / took,
        }
        for (memory, precision), took in best.items()
    ]  # fmt: skip


@exit_on_input_error
def main(arguments: Iterable[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.memory_formats", description="Formats, timed.")
    parser.add_argument(
        "--out", type=Path, default=Path("results/benchmark_formats.csv"), help="(default: %(default)s)"
    )
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS, help="(default: all)")
    parser.add_argument("--images", type=int, default=1024, help="of an epoch (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    device, began, rows = choose_device(chosen.device), time.perf_counter(), []
    for network in chosen.networks:
        rows += measure_speeds(network, chosen.images, chosen.repeats, device)
        fastest = max(rows[-4:], key=lambda row: row["relative"])
        print(f"{network:14} {fastest['memory']}, {fastest['precision']}: {fastest['relative']:.2f} times", flush=True)
    settings = {
        "benchmark": f"fastest of {chosen.repeats} epochs of {chosen.images} images each, all four ways in turn",
        "recipe": REFERENCE.settings(),
        "networks": chosen.networks,
        "device": device.type,
    }
    write_table(chosen.out, rows, COLUMNS, settings, "python -m benchmarks.memory_formats", time.perf_counter() - began)


if __name__ == "__main__":
    main()
