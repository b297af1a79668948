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
from ..results.provenance import source_hash, weights_hash
from ..results.tables import SWEEP, Cell
from ..training.loop import Outcome, evaluate
from ..training.parents import parent
from ..training.recipes import ExperimentConfig, experiment_config
from .job import MODULES, pruned_together
from .presets import Sweep

FINE_TUNING = 10_000  # plus the seed: the order of batches in fine-tuning is not that of the parent's training
SIDE_BY_SIDE = 8  # jobs of a process on a GPU
Hashes = dict[str, str]  # of the training and of the test images
_alone = Lock()


@dataclass(frozen=True)
class Location:
    """Where a sweep's jobs find things: the type of device, and the folder of parents that all of them share."""

    device: str
    parents: Path


@dataclass(frozen=True)
class ParentSpec:
    """All that the jobs of one parent have in common; `data` is its full name, and `hashes` are the data's."""

    sweep: Sweep
    config: ExperimentConfig
    seed: int
    data: str
    hashes: Hashes


def settings(family: ParentSpec, site: Location) -> tuple[ParentSpec, dict[str, Any]]:
    """The settings of a family's run, which name its parent by the hash of its weights."""
    with _alone, one_thread():
        model = _parent(family, site, _data(family, site)[1])
        return family, {
            "network": family.sweep.network,
            "data": family.data,
            "data_sha256": family.hashes,
            "seed": family.seed,
            **family.config.settings(),
            "parent_sha256": weights_hash(model.state_dict()),
            "source_sha256": source_hash(MODULES),
            "device": torch.device(site.device).type,
        }


def together(network: str, device: str) -> int:
    """How many jobs are trained side by side: several on a GPU (`cuda`), which one alone does not fill.

    Not networks with dropout (see `train_together`), nor a user's own, of whose size nothing is known.
    """
    return SIDE_BY_SIDE if device == "cuda" and network in NETWORKS and network not in DROPOUT else 1


def rows(family: ParentSpec, run: str, prunes: Sequence[tuple[str, float]], site: Location) -> list[dict[str, Cell]]:
    """A row of the table for each method and amount, its columns in the order of `results.SWEEP`."""
    with _alone, one_thread():
        model, before = _held_parent(family, run, site)
        tuning, epochs = family.config.tuning, family.config.tuning_epochs
        images = _data(family, site)
        measured = pruned_together(model, before, prunes, *images, FINE_TUNING + family.seed, tuning, epochs)
    job = {"network": family.sweep.network, "data": family.data, "seed": family.seed}
    job |= {"device": torch.device(site.device).type, "run": run}
    whole = [{**job, "method": method, **found} for (method, _), found in zip(prunes, measured, strict=True)]
    return [{name: row[name] for name in SWEEP} for row in whole]


def _parent(family: ParentSpec, site: Location, test: ImageData | None = None) -> nn.Module:
    """Trained, or read from the folder; with `test` images, its history is kept."""
    sweep, chosen = family.sweep, family.config

    def own(seed: int) -> nn.Module:
        assert sweep.build is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return sweep.build(seed)

    return parent(
        sweep.network, _data(family, site)[0], family.seed, chosen.epochs, chosen.recipe, _folder(family, site),
        initial=own if sweep.build else None, start=chosen.weights, test=test,
    )  # fmt: skip


def _folder(family: ParentSpec, site: Location) -> Path:
    """Of all configs but the network's usual one the parents lie apart, under a hash of the config."""
    sweep, chosen = family.sweep, family.config
    if sweep.build is None and chosen.parent() == experiment_config(sweep.network, sweep.data).parent():
        return site.parents
    trained = json.dumps([chosen.recipe.settings(), chosen.epochs, chosen.weights])
    return site.parents / hashlib.sha256(trained.encode()).hexdigest()[:8]


# What a worker keeps from one job to the next: one data set and one parent.
_images: dict[tuple[str, str, str], tuple[ImageData, ImageData]] = {}
_parents: dict[str, tuple[nn.Module, Outcome]] = {}


def _data(family: ParentSpec, site: Location) -> tuple[ImageData, ImageData]:
    """Training and test images on the device, the same as the sweep began with."""
    key = (family.hashes["train"], family.hashes["test"], site.device)
    if key not in _images:
        _images.clear()
        both = [on_device(load_images(family.sweep, train), site.device) for train in (True, False)]
        for which, expected in zip(both, family.hashes.values(), strict=True):
            if which.sha256 != expected:
                raise InputError(f"data {family.data!r}: not the same for every worker, or changed during the sweep")
        _images[key] = both[0], both[1]
    return _images[key]


def _held_parent(family: ParentSpec, run: str, site: Location) -> tuple[nn.Module, Outcome]:
    """The parent of a run and what it says of the test images."""
    if run not in _parents:
        _parents.clear()
        model = _parent(family, site)
        _parents[run] = model, evaluate(model, _data(family, site)[1])
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
