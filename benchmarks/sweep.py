"""One job of a sweep against the same job written the published way, alternating in one run.

Both prune the same parent by global L1, fine-tune it for an epoch by the reference recipe and evaluate it. The
published way follows the authors' notebook: a `DataLoader` with 2 workers whose images pass through PIL and `ToTensor`
one at a time, float32, contiguous memory, `torch.nn.utils.prune`, and a loop over batches. Its one job uses all cores,
with its workers and threads. Ours runs jobs as `wmgp sweep` does: on a CPU one job per core, each with one process and
one thread; on a GPU `--processes` processes, each with as many jobs side by side as in a sweep. The seconds of a job
are the harmonic mean over the processes, because each process takes its next job when it is done, divided by the number
of jobs. The two ways share no process, so that the memory use of one does not change the other.

`python -m benchmarks.sweep --out results/benchmark_sweep.csv` times every pair a few times and writes the fastest of
each. Networks are untrained, because the time does not depend on the weights. Missing data are replaced by noise of the
same shape, named "noise" in the row.
"""

import argparse
import functools
import multiprocessing
import os
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import harmonic_mean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import Row, time_work, write_table
from wmgp.errors import InputError, exit_on_input_error
from wmgp.experiments.data import ImageData, image_data_from_arrays, load, to_device
from wmgp.experiments.models import IMAGE_SHAPES, build
from wmgp.experiments.published_method import pool
from wmgp.experiments.sweep.worker import jobs_per_task, use_one_thread
from wmgp.experiments.training.loop import choose_device, evaluate, train_side_by_side
from wmgp.experiments.training.recipes import experiment_config
from wmgp.pruning import apply_masks, global_masks

COLUMNS = ("case", "data", "images", "device", "jobs", "seconds", "peer_seconds", "ratio", "repeats", "run")
CASES = (("lenet5", "mnist"), ("lenet_small", "cifar10"), ("resnet18", "cifar10"), ("mobilenet_v2", "cifar10"))
AMOUNT, WORKERS, BATCH = 0.8, 2, 256
MIN_SECONDS = 20  # total of both ways: short jobs are repeated more often


class PilImages(Dataset[tuple[Tensor, int]]):
    """Images one at a time through PIL and `ToTensor`, as in torchvision's data sets.

    torchvision stores the grey images and labels of MNIST in tensors, and those of CIFAR-10 in an array and a list.
    """

    def __init__(self, data: ImageData):
        from torchvision.transforms import ToTensor

        images, labels = data.images.cpu(), data.labels.cpu()
        grey = images.shape[1] == 1
        self.data = images[:, 0] if grey else images.permute(0, 2, 3, 1).numpy()  # [n, h, w] or [n, h, w, c]
        self.targets, self.transform = labels if grey else labels.tolist(), ToTensor()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        from PIL import Image

        picture = self.data[i]
        if isinstance(picture, torch.Tensor):
            picture = picture.numpy()
        return self.transform(Image.fromarray(picture)), int(self.targets[i])


def published_job(parent: nn.Module, training: ImageData, test: ImageData, workers: int = WORKERS) -> float:
    """Prune, fine-tune for an epoch and evaluate in the published way; return the accuracy on the test set."""
    from torch.nn.utils import prune

    device = training.images.device
    prune.global_unstructured(pool(parent), prune.L1Unstructured, amount=AMOUNT)
    optimizer = torch.optim.SGD(parent.parameters(), lr=0.001, momentum=0.9)
    loss_of = nn.CrossEntropyLoss()
    parent.train()
    fork = "fork" if workers else None  # the default on Linux at the time
    how: dict[str, Any] = {"num_workers": workers, "multiprocessing_context": fork}
    for images, labels in DataLoader(PilImages(training), BATCH, shuffle=True, **how):
        optimizer.zero_grad()
        loss = loss_of(parent(images.to(device)), labels.to(device))
        loss.backward()
        optimizer.step()
    parent.eval()
    right = 0
    with torch.no_grad():
        for images, labels in DataLoader(PilImages(test), BATCH, **how):
            right += int((parent(images.to(device)).argmax(1) == labels.to(device)).sum())
    return right / len(test)


def our_jobs(network: str, parents: Sequence[nn.Module], training: ImageData, test: ImageData) -> list[float]:
    """Run the same job as a sweep does, for several parents side by side; return their accuracies."""
    masks = [global_masks(parent, AMOUNT) for parent in parents]
    for parent, mask in zip(parents, masks, strict=True):
        apply_masks(parent, mask)
    recipe = experiment_config(
        network, test.name.removesuffix("-jpeg"), "reference", training.images.device.type
    ).tuning
    train_side_by_side(parents, training, 1, 0, recipe, masks)
    return [evaluate(parent, test).accuracy for parent in parents]


def compare_with_published(
    network: str,
    data: str,
    device: str,
    repeats: int,
    limit: int | None = None,
    least: float = MIN_SECONDS,
    processes: int | None = None,
) -> Row:
    """Return a row: the fastest of `repeats` or more jobs of each kind, in turn, for at least `least` seconds."""
    kind = torch.device(device).type
    processes = processes or (1 if kind == "cuda" else os.cpu_count() or 1)
    each = jobs_per_task(network, kind)
    ours, theirs = [], []
    with _worker_processes(1) as single, _worker_processes(processes) as several:
        what = network, data, device, limit
        (name, images), *_ = [
            one.submit(load_and_describe, data, network, limit).result() for one in (*single, *several)
        ]
        while len(ours) < repeats or sum(ours) * processes * each + sum(theirs) < least:
            theirs.append(single[0].submit(time_jobs, 1, "published", *what).result())
            at_once = [process.submit(time_jobs, each, "ours", *what) for process in several]
            ours.append(harmonic_mean([job.result() for job in at_once]) / (processes * each))
    return {
        "case": network, "data": name, "images": images, "device": kind, "jobs": processes * each,
        "seconds": min(ours), "peer_seconds": min(theirs), "ratio": min(theirs) / min(ours), "repeats": len(ours),
    }  # fmt: skip


@contextmanager
def _worker_processes(number: int) -> Generator[list[ProcessPoolExecutor], None, None]:
    """Yield executors with one new process each, so that every process gets its share of the work."""
    with ExitStack() as stack:
        new = multiprocessing.get_context("spawn")
        yield [stack.enter_context(ProcessPoolExecutor(1, new)) for _ in range(number)]


def load_and_describe(data: str, network: str, limit: int | None) -> tuple[str, int]:
    """Load the images into this process; return the name of the test set and the number of training images."""
    training, test = load_images_or_noise(network, data, limit)
    return test.name, len(training)


def time_jobs(number: int, way: str, network: str, data: str, device: str, limit: int | None = None) -> float:
    """Return the seconds of `number` jobs at once, "published" (one job) or "ours", on untrained networks."""
    training, test = (to_device(each, device) for each in load_images_or_noise(network, data, limit))
    fresh = [build(network, seed).to(device) for seed in range(number)]
    if way == "published":
        return time_work(lambda: published_job(fresh[0], training, test), training.images.device)
    with use_one_thread():
        return time_work(lambda: our_jobs(network, fresh, training, test), training.images.device)


@functools.cache
def load_images_or_noise(network: str, name: str, limit: int | None = None) -> tuple[ImageData, ImageData]:
    """Return training and test data, the first `limit` images each; noise of the full size if the data are missing."""
    try:
        both = load(name, True), load(name, False)
    except InputError:
        both = tuple(noise(IMAGE_SHAPES[network], n) for n in (60_000 if name == "mnist" else 50_000, 10_000))
    cut = (
        [image_data_from_arrays(d.name, d.images[:limit].numpy(), d.labels[:limit].numpy()) for d in both]
        if limit
        else both
    )
    return cut[0], cut[1]


def noise(shape: tuple[int, int, int], n: int) -> ImageData:
    """Return n random images and labels."""
    rng = np.random.default_rng(0)
    return image_data_from_arrays("noise", rng.integers(0, 256, (n, *shape), dtype=np.uint8), rng.integers(0, 10, n))


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.sweep", description="One job, both ways.")
    parser.add_argument("--out", type=Path, default=Path("results/benchmark_sweep.csv"), help="(default: %(default)s)")
    parser.add_argument("--networks", nargs="+", help="of " + ", ".join(n for n, _ in CASES), choices=dict(CASES))
    parser.add_argument("--data", help="digits, in place of each network's own (lenet5 only)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--least", type=float, default=MIN_SECONDS, help="seconds of repeats (default: %(default)s)")
    parser.add_argument("--processes", type=int, help="of ours at a time (default: one a core, on a GPU one)")
    parser.add_argument("--images", type=int, help="the first so many of the training and of the test set")
    chosen = parser.parse_args(arguments)
    device, rows, began = choose_device(chosen.device), [], time.perf_counter()
    for network, data in CASES:
        if not chosen.networks or network in chosen.networks:
            row = compare_with_published(
                network, chosen.data or data, str(device), chosen.repeats, chosen.images, chosen.least, chosen.processes
            )
            rows.append(row)
            print(f"{network:14} {row['seconds']:8.2f} s, as published {row['peer_seconds']:8.2f} s", flush=True)
    settings = {
        "benchmark": f"fastest of {chosen.repeats} or more, both ways in turn in one run",
        "workers": WORKERS,
        "networks": [row["case"] for row in rows],
        "data": [row["data"] for row in rows],
        "images": [row["images"] for row in rows],
        "device": device.type,
    }
    write_table(chosen.out, rows, COLUMNS, settings, "python -m benchmarks.sweep", time.perf_counter() - began)


if __name__ == "__main__":
    main()
