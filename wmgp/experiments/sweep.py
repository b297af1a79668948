"""Sweeps: parents trained, pruned by every method at every amount and fine-tuned, a row of a table for each.

`run` measures what its table does not hold yet, so that it can be stopped at any moment and started again. Jobs run in
other processes (see `backends`); this one alone writes the table, a row as soon as it is measured. On a CPU every job
has one thread, so that the rows are the same whatever the number of processes and wherever they run.
"""

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from ..errors import InputError
from ..pruning import METHODS
from .backends import cluster, spread
from .data import ImageData, load, on_device
from .job import MODULES, pruned
from .models import INPUTS
from .parents import parent
from .presets import Sweep
from .provenance import record_run, source_hash, weights_hash
from .recipes import Plan, plan
from .results import COLUMNS, Cell, append_row, read
from .training import Outcome, choose_device, evaluate

FINE_TUNING = 10_000  # plus the seed: the order of batches in fine-tuning is not that of the parent's training
ROW = (*COLUMNS, "loss_parent")
KEY = ("run", "method", "amount")
Hashes = dict[str, str]  # of the training and of the test images


@dataclass(frozen=True)
class Site:
    """Where a sweep's jobs find things: the type of device, and the folder of parents that all of them share."""

    device: str
    parents: Path


@dataclass(frozen=True)
class Family:
    """All that the jobs of one parent have in common; `data` is its full name, and `hashes` are the data's."""

    sweep: Sweep
    plan: Plan
    seed: int
    data: str
    hashes: Hashes


def run(
    sweeps: Iterable[Sweep],
    out: str | Path,
    jobs: int = 1,
    device: str = "auto",
    backend: str | None = "loky",
    progress: Callable[[str, int, int], None] | None = None,
) -> int:
    """Add to the table `out` every row of the sweeps that it lacks, and return how many those were.

    Rows are known by their run (a hash of settings, data, parent and source), method and amount. Parents are kept in
    the folder `parents` beside the table. `backend`: "loky" (processes here), "dask", "ray", any other that joblib
    knows, or None for joblib as configured by the caller. `progress` is told what is being done, how much of it is
    done, and of how much.
    """
    sweeps, out, tell = list(sweeps), Path(out).absolute(), progress or (lambda what, done, total: None)
    site = Site(str(choose_device(device)), out.parent / "parents")
    there = _there(out)
    families = [family for sweep in sweeps for family in _families(sweep, site)]
    try:
        with cluster(backend, jobs):
            ready: dict[str, Family] = {}
            with closing(_told(_settings, [(family, site) for family in families], "parents", tell)) as parents:
                for family, settings in parents:
                    ready[record_run(out, settings)] = family
            missing = [task for task in _tasks(ready, site) if (task[1], *task[2:4]) not in there]
            with closing(_told(_row, missing, "jobs", tell)) as rows:
                for row in rows:
                    append_row(out, row, unless=KEY)  # another sweep may have been faster
    except OSError as error:
        raise InputError(f"{error.filename or out}: {error.strerror or error}") from error
    return len(missing)


def _there(out: Path) -> set[tuple]:
    """Run, method and amount of the rows that the table has."""
    if not out.exists() or not out.stat().st_size:
        return set()
    rows = read(out)
    if list(rows.columns) != list(ROW):
        raise InputError(f"{out}: expected a table of the columns {', '.join(ROW)}")
    return set(zip(rows["run"], rows["method"], rows["amount"], strict=True))


def _families(sweep: Sweep, site: Site) -> list[Family]:
    """The sweep's parents, once all that it asks for is known to be there."""
    for method in sweep.methods:
        if method not in METHODS:
            raise InputError(f"method {method!r}: expected one of {', '.join(METHODS)}")
    if wrong := [amount for amount in sweep.amounts if not 0 <= amount <= 1]:
        raise InputError(f"amount {wrong[0]}: expected a share in [0, 1]")
    if not (sweep.methods and sweep.amounts and sweep.seeds):
        raise InputError("a sweep needs at least one method, one amount and one seed")
    if sweep.build is None and sweep.network not in INPUTS:
        raise InputError(f"network {sweep.network!r}: expected one of {', '.join(INPUTS)}")
    if sweep.build is not None and sweep.plan is None:
        raise InputError(f"network {sweep.network!r}: a network of your own needs a plan of its own")
    chosen = sweep.plan or plan(sweep.network, sweep.data, sweep.recipe, torch.device(site.device).type)
    training, test = (_load(sweep, train) for train in (True, False))
    found = tuple(training.images.shape[1:])
    if sweep.build is None and found != INPUTS[sweep.network]:
        raise InputError(
            f"network {sweep.network!r}: expected images of {INPUTS[sweep.network]} (channels, height, width), "
            f"found {found} in data {sweep.data!r}"
        )
    hashes = {"train": training.sha256, "test": test.sha256}
    return [Family(sweep, chosen, seed, training.name, hashes) for seed in sweep.seeds]


def _tasks(ready: dict[str, Family], site: Site) -> list[tuple[Family, str, str, float, Site]]:
    """The jobs, those of one parent together."""
    return [
        (family, run, method, float(amount), site)
        for run, family in ready.items()
        for method in dict.fromkeys(family.sweep.methods)
        for amount in dict.fromkeys(family.sweep.amounts)
    ]


def _told(work: Callable, tasks: list[tuple], what: str, tell: Callable[[str, int, int], None]) -> Generator:
    """What the work on the tasks gives, as it comes, and how much of it has come."""
    tell(what, 0, len(tasks))
    with closing(spread(work, tasks)) as results:
        for number, result in enumerate(results, 1):
            yield result
            tell(what, number, len(tasks))


# -- what runs in the other processes -------------------------------------------------------------------------------


def _settings(family: Family, site: Site) -> tuple[Family, dict[str, Any]]:
    """The settings of a family's run, which name its parent by the hash of its weights."""
    with _one_thread():
        model = _parent(family, site, _data(family, site)[1])
    return family, {
        "network": family.sweep.network,
        "data": family.data,
        "data_sha256": family.hashes,
        "seed": family.seed,
        **family.plan.settings(),
        "parent_sha256": weights_hash(model.state_dict()),
        "source_sha256": source_hash(MODULES),
        "device": torch.device(site.device).type,
    }


def _row(family: Family, run: str, method: str, amount: float, site: Site) -> dict[str, Cell]:
    """One row of the table."""
    with _one_thread():
        model, before = _held_parent(family, run, site)
        tuning, epochs = family.plan.tuning, family.plan.tuning_epochs
        images = _data(family, site)
        row = pruned(model, before, method, amount, *images, FINE_TUNING + family.seed, tuning, epochs)
    job = {"network": family.sweep.network, "data": family.data, "seed": family.seed, "method": method}
    row = {**job, **row, "device": torch.device(site.device).type, "run": run}
    return {name: row[name] for name in ROW}


def _parent(family: Family, site: Site, test: ImageData | None = None) -> nn.Module:
    """Trained, or read from the folder; with `test` images, its history is kept."""
    sweep, chosen = family.sweep, family.plan

    def own(seed: int) -> nn.Module:
        assert sweep.build is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return sweep.build(seed)

    return parent(
        sweep.network, _data(family, site)[0], family.seed, chosen.epochs, chosen.recipe, _folder(family, site),
        initial=own if sweep.build else None, start=chosen.weights, test=test,
    )  # fmt: skip


def _folder(family: Family, site: Site) -> Path:
    """Of all plans but the network's usual one the parents lie apart, under a hash of the plan."""
    sweep, chosen = family.sweep, family.plan
    if sweep.build is None and chosen == plan(sweep.network, sweep.data):
        return site.parents
    trained = json.dumps([chosen.recipe.settings(), chosen.epochs, chosen.weights])
    return site.parents / hashlib.sha256(trained.encode()).hexdigest()[:8]


# What a worker keeps from one job to the next: one data set and one parent.
_images: dict[tuple[str, str, str], tuple[ImageData, ImageData]] = {}
_parents: dict[str, tuple[nn.Module, Outcome]] = {}


def _data(family: Family, site: Site) -> tuple[ImageData, ImageData]:
    """Training and test images on the device, the same as the sweep began with."""
    key = (family.hashes["train"], family.hashes["test"], site.device)
    if key not in _images:
        _images.clear()
        both = [on_device(_load(family.sweep, train), site.device) for train in (True, False)]
        for which, expected in zip(both, family.hashes.values(), strict=True):
            if which.sha256 != expected:
                raise InputError(f"data {family.data!r}: not the same for every worker, or changed during the sweep")
        _images[key] = both[0], both[1]
    return _images[key]


def _held_parent(family: Family, run: str, site: Site) -> tuple[nn.Module, Outcome]:
    """The parent of a run and what it says of the test images."""
    if run not in _parents:
        _parents.clear()
        model = _parent(family, site)
        _parents[run] = model, evaluate(model, _data(family, site)[1])
    return _parents[run]


def _load(sweep: Sweep, train: bool) -> ImageData:
    return sweep.load(train) if sweep.load else load(sweep.data, train)


@contextmanager
def _one_thread() -> Iterator[None]:
    """For torch and for numpy's linear algebra: sums come out otherwise, in the last digit, with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
