"""What the processes of a sweep do: settings of a run, which name its parent, and rows.

On a CPU all of it has one thread. A worker keeps one data set and one parent from one job to the next. One job at a
time: the threads of a process, which some clusters give several jobs, share torch's random state and number of threads.
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
from ..data import ImageData, load, on_device
from ..models import DROPOUT, NETWORKS
from ..results.provenance import weights_hash
from ..results.tables import SWEEP, Cell
from ..training.loop import Outcome, evaluate
from ..training.parents import parent
from ..training.recipes import ExperimentConfig, experiment_config
from .job import prune_and_finetune_side_by_side
from .presets import Sweep

FINE_TUNING = 10_000  # plus the seed: the order of batches in fine-tuning is not that of the parent's training
SIDE_BY_SIDE = 8  # jobs of a process on a GPU
Hashes = dict[str, str]  # of the training and of the test images
_one_job = Lock()


@dataclass(frozen=True)
class Location:
    """Where a sweep runs: the device, and the folder of trained parents that all its workers share."""

    device: str
    parents: Path

    @property
    def device_type(self) -> str:
        """ "cpu" or "cuda"."""
        return torch.device(self.device).type


@dataclass(frozen=True)
class ParentSpec:
    """One parent of a sweep. `data` is the full name of the data set, and `hashes` are those of its two splits."""

    sweep: Sweep
    config: ExperimentConfig
    seed: int
    data: str
    hashes: Hashes
    location: Location


def parent_settings(spec: ParentSpec) -> dict[str, Any]:
    """Train or read the parent, and return all that decides the results of its prunes."""
    with _one_job, one_thread():
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
    """Return how many prunes are fine-tuned side by side: several on a GPU, which one of them does not fill.

    Networks with dropout are fine-tuned alone (see `train_side_by_side`), and a user's network, whose size is unknown.
    """
    return SIDE_BY_SIDE if device_type == "cuda" and network in NETWORKS and network not in DROPOUT else 1


def measure_rows(spec: ParentSpec, run: str, prunes: Sequence[tuple[str, float]]) -> list[dict[str, Cell]]:
    """Return a row of the table for each (method, amount), its columns in the order of `tables.SWEEP`."""
    with _one_job, one_thread():
        model, before = _cached_parent(spec, run)
        tuning, epochs = spec.config.tuning, spec.config.tuning_epochs
        measured = prune_and_finetune_side_by_side(
            model, before, prunes, *_load_data(spec), FINE_TUNING + spec.seed, tuning, epochs
        )
    shared = {"network": spec.sweep.network, "data": spec.data, "seed": spec.seed}
    shared |= {"device": spec.location.device_type, "run": run}
    rows = [{**shared, "method": method, **row} for (method, _), row in zip(prunes, measured, strict=True)]
    return [{name: row[name] for name in SWEEP} for row in rows]


def _load_parent(spec: ParentSpec, test: ImageData | None = None) -> nn.Module:
    """Train the parent, or read it from the folder; with `test` images its history is recorded."""
    sweep, config = spec.sweep, spec.config

    def build_own(seed: int) -> nn.Module:
        assert sweep.build is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return sweep.build(seed)

    return parent(
        sweep.network, _load_data(spec)[0], spec.seed, config.epochs, config.recipe, _parent_folder(spec),
        initial=build_own if sweep.build else None, start=config.weights, test=test,
    )  # fmt: skip


def _parent_folder(spec: ParentSpec) -> Path:
    """Return the parents' folder; unless the config is the network's default, a subfolder named by a hash of it."""
    sweep, config = spec.sweep, spec.config
    if sweep.build is None and config.parent() == experiment_config(sweep.network, sweep.data).parent():
        return spec.location.parents
    trained = json.dumps([config.recipe.settings(), config.epochs, config.weights])
    return spec.location.parents / hashlib.sha256(trained.encode()).hexdigest()[:8]


# A worker keeps one data set and one parent from one job to the next.
_images: dict[tuple[str, str, str], tuple[ImageData, ImageData]] = {}
_parents: dict[str, tuple[nn.Module, Outcome]] = {}


def _load_data(spec: ParentSpec) -> tuple[ImageData, ImageData]:
    """Return the training and test images on the device, once their hashes are those that the sweep began with."""
    key = (spec.hashes["train"], spec.hashes["test"], spec.location.device)
    if key not in _images:
        _images.clear()
        both = [on_device(load_images(spec.sweep, train), spec.location.device) for train in (True, False)]
        for split, expected in zip(both, spec.hashes.values(), strict=True):
            if split.sha256 != expected:
                raise InputError(f"data {spec.data!r}: not the same for every worker, or changed during the sweep")
        _images[key] = both[0], both[1]
    return _images[key]


def _cached_parent(spec: ParentSpec, run: str) -> tuple[nn.Module, Outcome]:
    """Return the parent of a run and its outcome on the test images."""
    if run not in _parents:
        _parents.clear()
        model = _load_parent(spec)
        _parents[run] = model, evaluate(model, _load_data(spec)[1])
    return _parents[run]


def load_images(sweep: Sweep, train: bool) -> ImageData:
    """The sweep's training or test images, in memory."""
    return sweep.load(train) if sweep.load else load(sweep.data, train)


@contextmanager
def one_thread() -> Generator[None, None, None]:
    """For torch and for numpy's linear algebra: sums come out otherwise, in the last digit, with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
