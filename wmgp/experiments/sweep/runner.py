"""Sweeps: parents trained, pruned by every method at every amount and fine-tuned, a row of a table for each.

`run` measures what its table does not hold yet, so that it can be stopped at any moment and started again. Jobs run in
other processes (see `backends`); this one alone writes the table, a row as soon as it is measured. On a CPU every job
has one thread, so that the rows are the same whatever the number of processes and wherever they run.
"""

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from ...pruning_methods import METHODS
from ..models import INPUTS
from ..results.provenance import provenance, record_run, settings_key
from ..results.tables import SWEEP, append_row, read
from ..training.loop import choose_device
from ..training.recipes import experiment_config, min_parent_accuracy
from . import worker
from .backends import cluster, spread
from .presets import Sweep
from .worker import Location, ParentSpec, load_images

KEY = ("run", "method", "amount")
Tell = Callable[[str, int, int], None]
Job = tuple[str, str, float]  # run, method and amount
Task = tuple[ParentSpec, str, list[tuple[str, float]], Location]  # of `worker.rows`


def run(
    sweeps: Iterable[Sweep],
    out: str | Path,
    jobs: int = 1,
    device: str = "auto",
    backend: str | None = "loky",
    progress: Tell | None = None,
) -> int:
    """Add to the table `out` every row of the sweeps that it lacks, and return how many those were.

    Rows are known by the settings of their run (data, parent, recipes, `EXPERIMENT_VERSION`), method and amount. Parents are kept in
    the folder `parents` beside the table. `backend`: "loky" (processes here), "dask", "ray", any other that joblib
    knows, or None for joblib as configured by the caller. `progress` is told what is being done, how much of it is
    done, and of how much. A UserWarning names a parent of too little accuracy (`recipes.NEEDED`).
    """
    sweeps, out, tell = list(sweeps), Path(out).absolute(), progress or (lambda what, done, total: None)
    site = Location(str(choose_device(device)), out.parent / "parents")
    there = _there(out)
    families = [family for sweep in sweeps for family in _families(sweep, site)]
    try:
        with cluster(backend, jobs):
            ready = _parents(families, site, out, tell)
            missing = list(_missing(ready, _done(out, there)))
            _add_rows(list(_tasks(ready, missing, site)), out, tell)
    except OSError as error:
        raise InputError(f"{error.filename or out}: {error.strerror or error}") from error
    return len(missing)


def _parents(families: list[ParentSpec], site: Location, out: Path, tell: Tell) -> dict[str, list[ParentSpec]]:
    """Every parent trained or read, and its run recorded beside the table: run -> the families that ask for it.

    Sweeps that differ in nothing but amounts, methods or seeds have runs in common.
    """
    ready = defaultdict(list)
    tell("parents", 0, len(families))
    with closing(spread(worker.settings, [(family, site) for family in families])) as parents:
        for done, (family, settings) in enumerate(parents, 1):
            ready[record_run(out, settings)].append(family)
            tell("parents", done, len(families))
    return ready


def _add_rows(tasks: list[Task], out: Path, tell: Tell) -> None:
    """A row for every job, as soon as it is measured."""
    seen, done, total = set(), 0, sum(len(task[2]) for task in tasks)
    tell("jobs", 0, total)
    with closing(spread(worker.rows, tasks)) as results:
        for rows in results:
            for row in rows:
                append_row(out, row, unless=KEY)  # another sweep may have been faster
                if row["run"] not in seen:
                    seen.add(row["run"])
                    _doubt(row)
            done += len(rows)
            tell("jobs", done, total)


def _doubt(row: dict[str, Any]) -> None:
    """Warn of a parent that has learnt too little for its prunes to be evidence."""
    least = min_parent_accuracy(row["network"], row["data"])
    if least is not None and row["accuracy_parent"] < least:
        warnings.warn(
            f"{row['network']} on {row['data']}, seed {row['seed']}: the parent's accuracy is "
            f"{row['accuracy_parent']:.2%}, expected at least {least:.0%}: its prunes are no evidence",
            stacklevel=3,
        )


def _there(out: Path) -> set[Job]:
    """Run, method and amount of the rows that the table has."""
    if not out.exists() or not out.stat().st_size:
        return set()
    rows = read(out)
    if list(rows.columns) != list(SWEEP):
        raise InputError(f"{out}: expected a table of the columns {', '.join(SWEEP)}")
    return set(zip(rows["run"], rows["method"], rows["amount"], strict=True))


def _families(sweep: Sweep, site: Location) -> list[ParentSpec]:
    """The sweep's parents, once all that it asks for is known to be there."""
    for method in sweep.methods:
        if method not in METHODS:
            raise InputError(f"method {method!r}: expected one of {', '.join(METHODS)}")
    if wrong := [amount for amount in sweep.amounts if not 0 <= amount <= 1]:
        raise InputError(f"amount {wrong[0]}: expected a share in [0, 1]")
    if not (sweep.methods and sweep.amounts and sweep.seeds):
        raise InputError("a sweep needs at least one method, one amount and one seed")
    if sweep.tuning_epochs is not None and sweep.tuning_epochs < 0:
        raise InputError(f"tuning_epochs {sweep.tuning_epochs}: expected a whole number from 0")
    if sweep.tuning_rate is not None and not 0 < sweep.tuning_rate < float("inf"):
        raise InputError(f"tuning_rate {sweep.tuning_rate}: expected a learning rate above 0")
    if sweep.build is None and sweep.network not in INPUTS:
        raise InputError(f"network {sweep.network!r}: expected one of {', '.join(INPUTS)}")
    if sweep.build is not None and sweep.config is None:
        raise InputError(f"network {sweep.network!r}: a network of your own needs a config of its own")
    if sweep.config is not None and sweep.recipe is not None:
        raise InputError(f"recipe {sweep.recipe!r}: this sweep has a config of its own, expected no recipe")
    chosen = sweep.config or experiment_config(sweep.network, sweep.data, sweep.recipe, torch.device(site.device).type)
    if sweep.tuning_epochs is not None:
        chosen = replace(chosen, tuning_epochs=sweep.tuning_epochs)
    if sweep.tuning_rate is not None:
        chosen = replace(chosen, tuning=replace(chosen.tuning, learning_rate=sweep.tuning_rate))
    training, test = (load_images(sweep, train) for train in (True, False))
    found = tuple(training.images.shape[1:])
    if sweep.build is None and found != INPUTS[sweep.network]:
        raise InputError(
            f"network {sweep.network!r}: expected images of {INPUTS[sweep.network]} (channels, height, width), "
            f"found {found} in data {sweep.data!r}"
        )
    hashes = {"train": training.sha256, "test": test.sha256}
    return [ParentSpec(sweep, chosen, seed, training.name, hashes) for seed in sweep.seeds]


def _done(out: Path, there: set[Job]) -> set[Job]:
    """The jobs of the table under every run that measures the same: one that was recorded by other sources, say."""
    runs = {run: settings_key(facts) for run, facts in provenance(out).items()}
    done = {(runs[run], method, amount) for run, method, amount in there}
    return {(run, method, amount) for run, key in runs.items() for mine, method, amount in done if mine == key}


def _missing(ready: Mapping[str, list[ParentSpec]], there: set[Job]) -> Iterator[Job]:
    """The jobs that the table has no row of, those of one parent together and each once: run, method and amount."""
    for run, families in ready.items():
        sweeps = [family.sweep for family in families]
        asked = ((m, float(amount)) for sweep in sweeps for m in sweep.methods for amount in sweep.amounts)
        yield from ((run, *prune) for prune in dict.fromkeys(asked) if (run, *prune) not in there)


def _tasks(ready: Mapping[str, list[ParentSpec]], missing: list[Job], site: Location) -> Iterator[Task]:
    """What a worker is given at a time: jobs of one parent, as many as are trained together."""
    for run, jobs in groupby(missing, key=lambda job: job[0]):
        family, prunes = ready[run][0], [job[1:] for job in jobs]
        alone = family.sweep.build is not None
        size = 1 if alone else worker.together(family.sweep.network, torch.device(site.device).type)
        for start in range(0, len(prunes), size):
            yield family, run, prunes[start : start + size], site
