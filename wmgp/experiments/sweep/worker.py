"""Functions that run in a sweep's worker processes: train the parent, measure rows.

On a CPU they use one thread. A worker caches one data set and one parent. It runs one job at a time, because threads of
a process share torch's random state and number of threads, and some backends start several threads.
"""

import hashlib
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from ...errors import InputError
from ..data import ImageData, load, to_device
from ..models import DROPOUT_NETWORKS, NETWORKS
from ..results.provenance import weights_hash
from ..results.tables import SWEEP, Cell
from ..training.loop import Evaluation, evaluate
from ..training.parents import load_or_train_parent
from ..training.recipes import ExperimentConfig, experiment_config
from .job import prune_and_finetune_side_by_side
from .presets import Sweep

FINE_TUNING_SEED_OFFSET = 10_000  # batches of fine-tuning differ from those of training
JOBS_PER_GPU_TASK = 8
Hashes = dict[str, str]  # "train" and "test" -> sha256
_one_job = Lock()


@dataclass(frozen=True)
class Location:
    """Location of a sweep: its device, and the folder of trained parents that its workers share."""

    device: str
    parents: Path

    @property
    def device_type(self) -> str:
        """Return "cpu" or "cuda"."""
        return torch.device(self.device).type


@dataclass(frozen=True)
class ParentSpec:
    """One parent of a sweep; `data` is the recorded name of the data set, and `hashes` are of its splits."""

    sweep: Sweep
    config: ExperimentConfig
    seed: int
    data: str
    hashes: Hashes
    location: Location


def parent_settings(spec: ParentSpec) -> dict[str, Any]:
    """Train or read the parent, and return every setting that decides the results of its prunes."""
    with _one_job, use_one_thread():
        model = _load_parent(spec, _load_data(spec)[1])
        return {
            "network": spec.sweep.network,
            "data": spec.data,
            "data_sha256": spec.hashes,
            "seed": spec.seed,
            **spec.config.settings(),
            "parent_sha256": weights_hash(model.state_dict()),
            "device": spec.location.device_type,
        }


def jobs_per_task(network: str, device_type: str) -> int:
    """Return the number of prunes to fine-tune side by side: more than 1 on a GPU, which one network does not fill.

    1 for networks with dropout (see `train_side_by_side`) and for a user's network, whose size is unknown.
    """
    return JOBS_PER_GPU_TASK if device_type == "cuda" and network in NETWORKS and network not in DROPOUT_NETWORKS else 1


def measure_rows(spec: ParentSpec, run: str, prunes: Sequence[tuple[str, float]]) -> list[dict[str, Cell]]:
    """Return a row of the table for each (method, amount), its columns in the order of `tables.SWEEP`."""
    with _one_job, use_one_thread():
        model, evaluation = _cached_parent(spec, run)
        tuning, epochs = spec.config.tuning, spec.config.tuning_epochs
        measured = prune_and_finetune_side_by_side(
            model, evaluation, prunes, *_load_data(spec), FINE_TUNING_SEED_OFFSET + spec.seed, tuning, epochs
        )
    shared = {"network": spec.sweep.network, "data": spec.data, "seed": spec.seed}
    shared |= {"device": spec.location.device_type, "run": run}
    rows = [{**shared, "method": method, **row} for (method, _), row in zip(prunes, measured, strict=True)]
    return [{name: row[name] for name in SWEEP} for row in rows]


def _load_parent(spec: ParentSpec, test: ImageData | None = None) -> nn.Module:
    """Train the parent, or read it from the folder; with `test` images, record its history."""
    sweep, config = spec.sweep, spec.config

    def build_own(seed: int) -> nn.Module:
        assert sweep.build is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return sweep.build(seed)

    return load_or_train_parent(
        sweep.network, _load_data(spec)[0], spec.seed, config.epochs, config.recipe, _parent_folder(spec),
        initial=build_own if sweep.build else None, start=config.weights, test=test,
    )  # fmt: skip


def _parent_folder(spec: ParentSpec) -> Path:
    """Return the folder of parents, or a subfolder named by a hash if the config is not the network's default."""
    sweep, config = spec.sweep, spec.config
    if (
        sweep.build is None
        and config.parent_training() == experiment_config(sweep.network, sweep.data).parent_training()
    ):
        return spec.location.parents
    trained = json.dumps([config.recipe.settings(), config.epochs, config.weights])
    return spec.location.parents / hashlib.sha256(trained.encode()).hexdigest()[:8]


# Caches of one data set and one parent.
_images: dict[tuple[str, str, str], tuple[ImageData, ImageData]] = {}
_parents: dict[str, tuple[nn.Module, Evaluation]] = {}


def _load_data(spec: ParentSpec) -> tuple[ImageData, ImageData]:
    """Return the training and test images on the device. Raises InputError if their hashes changed."""
    key = (spec.hashes["train"], spec.hashes["test"], spec.location.device)
    if key not in _images:
        _images.clear()
        splits = [to_device(load_images(spec.sweep, train), spec.location.device) for train in (True, False)]
        for split, expected in zip(splits, spec.hashes.values(), strict=True):
            if split.sha256 != expected:
                raise InputError(f"data {spec.data!r}: not the same for every worker, or changed during the sweep")
        _images[key] = splits[0], splits[1]
    return _images[key]


def _cached_parent(spec: ParentSpec, run: str) -> tuple[nn.Module, Evaluation]:
    """Return the parent of a run and its evaluation on the test images."""
    if run not in _parents:
        _parents.clear()
        model = _load_parent(spec)
        _parents[run] = model, evaluate(model, _load_data(spec)[1])
    return _parents[run]


def load_images(sweep: Sweep, train: bool) -> ImageData:
    """Return the sweep's training or test images on the CPU."""
    return sweep.load(train) if sweep.load else load(sweep.data, train)


@contextmanager
def use_one_thread() -> Generator[None, None, None]:
    """Limit torch and numpy's linear algebra to one thread: more threads change the last digits of sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
