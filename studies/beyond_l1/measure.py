"""Other ways to prune than one-shot L1, each trained for as many epochs (`schedules`): does the cosine order them?

`python -m studies.beyond_l1.measure` measures what its table does not hold yet: it can be stopped and started
again. A row's `accuracy_pruned`, `loss_pruned` and `cosine_pruned` are those of the parent under the row's final masks,
whenever the masks came about, so that all ways have them.
"""

import argparse
import copy
import functools
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.beyond_l1.early_weights import early_weights
from studies.beyond_l1.schedules import ROUNDS, WAYS, Start, follow, looked_back
from wmgp.errors import command_line
from wmgp.experiments.data import ImageData, load
from wmgp.experiments.models import NETWORKS
from wmgp.experiments.results.provenance import record_run, source_hash, weights_hash
from wmgp.experiments.results.tables import COLUMNS, Cell, append_row, keys
from wmgp.experiments.sweep.backends import cluster, spread
from wmgp.experiments.sweep.job import MODULES as JOB
from wmgp.experiments.sweep.metrics import after_finetuning, before_finetuning
from wmgp.experiments.sweep.worker import FINE_TUNING, one_thread
from wmgp.experiments.training.loop import Outcome, evaluate
from wmgp.experiments.training.parents import parent
from wmgp.experiments.training.recipes import ExperimentConfig, experiment_config
from wmgp.pruning import apply_masks

EPOCHS = 6  # of training after the parent
AMOUNTS = (0.8, 0.9, 0.95, 0.98)
NOTHING = ("l1", "one-shot", 0.0)  # the control: nothing pruned, and trained on for the same epochs
ROW = (*COLUMNS[:4], "rule", *COLUMNS[4:])
KEY = ("run", "method", "rule", "amount")
MODULES = (
    *(*JOB, "experiments.studies.beyond_l1", "experiments.studies.early"),
    "experiments.studies.schedules",
)


@dataclass(frozen=True)
class ParentSpec:
    """All that the rows of one parent have in common; `folder` is that of the parents."""

    network: str
    data: str
    seed: int
    epochs: int
    folder: Path


def started(
    network: str, training: ImageData, seed: int, how: ExperimentConfig, epochs: int, folder: Path | None = None
) -> Start:
    """A parent of this config and what the ways need of it, from the folder or trained."""
    model = parent(network, training, seed, how.epochs, how.recipe, folder, start=how.weights)
    early = early_weights(network, training, seed, how, model, looked_back(how, epochs), folder)
    return Start(model, how, early, training, epochs, FINE_TUNING + seed)


def measure(start: Start, before: Outcome, test: ImageData, method: str, rule: str, amount: float) -> dict[str, Cell]:
    """A row's measurements; `before` is what the parent says of `test`, which outputs are compared on."""
    began = time.perf_counter()
    model, masks = follow(start, method, rule, amount)
    bare = copy.deepcopy(start.parent)
    apply_masks(bare, masks)
    return {
        "method": method, "rule": rule, "amount": amount, "epochs": start.epochs,
        **before_finetuning(start.parent, before, bare, evaluate(bare, test), masks),
        **after_finetuning(start.parent, before, model, evaluate(model, test)),
        "seconds": time.perf_counter() - began,
    }  # fmt: skip


def settings(family: ParentSpec) -> tuple[ParentSpec, dict[str, Any]]:
    """The settings of a family's run, which name its parent and the weights on the way to it by their hashes."""
    with one_thread():
        start, _, test = _held(family)
    return family, {
        "network": family.network,
        "data": start.data.name,
        "data_sha256": {"train": start.data.sha256, "test": test.sha256},
        "seed": family.seed,
        **start.config.settings(),
        "retraining_epochs": family.epochs,
        "rounds": ROUNDS,
        "parent_sha256": weights_hash(start.parent.state_dict()),
        "early_sha256": {str(epoch): weights_hash(weights) for epoch, weights in start.early.items()},
        "source_sha256": source_hash(MODULES),
        "device": "cpu",
    }


def row(family: ParentSpec, run: str, method: str, rule: str, amount: float) -> dict[str, Cell]:
    """One row of the table, its columns in the order of `ROW`."""
    with one_thread():
        start, before, test = _held(family)
        measured = measure(start, before, test, method, rule, amount)
    named = {"network": family.network, "data": test.name, "seed": family.seed, "device": "cpu", "run": run}
    whole = named | measured
    return {name: whole[name] for name in ROW}


@functools.lru_cache(1)
def _held(family: ParentSpec) -> tuple[Start, Outcome, ImageData]:
    """What a process keeps from one row to the next: the start, what the parent says of the test images, and those."""
    training, test = load(family.data, True), load(family.data, False)
    how = experiment_config(family.network, family.data)
    start = started(family.network, training, family.seed, how, family.epochs, family.folder)
    return start, evaluate(start.parent, test), test


def asked(amounts: Iterable[float]) -> list[tuple[str, str, float]]:
    """Method, rule and amount of every row of a parent: the control, and every way at every amount."""
    return [NOTHING, *((method, rule, amount) for amount in amounts for method, rule in WAYS)]


def record(families: list[ParentSpec], amounts: list[float], out: Path, jobs: int = 1) -> int:
    """Add to the table `out` the rows of every way, amount and family that it lacks; return how many those were."""
    with cluster("loky", jobs):
        with closing(spread(settings, [(family,) for family in families])) as found:
            runs = {record_run(out, facts): family for family, facts in found}
        there = keys(out, KEY)
        tasks = [
            (family, run, method, rule, amount)
            for run, family in runs.items()
            for method, rule, amount in asked(amounts)
            if (run, method, rule, amount) not in there
        ]
        with closing(spread(row, tasks)) as rows:
            for number, measured in enumerate(rows, 1):
                append_row(out, measured, unless=KEY)
                print(f"{number}/{len(tasks)}", *(measured[name] for name in (*ROW[2:6], "accuracy")), flush=True)
    return len(tasks)


@command_line
def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m studies.beyond_l1.measure", description="Record other ways to prune.")
    parser.add_argument("--network", default="lenet_small", choices=NETWORKS, help="(default: %(default)s)")
    parser.add_argument("--data", default="cifar10", help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    parser.add_argument("--amounts", type=float, nargs="+", default=list(AMOUNTS), help="(default: 0.8 0.9 0.95 0.98)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="after the parent's (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results", "beyond_l1.csv"), help="(default: %(default)s)")
    chosen = parser.parse_args(arguments)
    out, folder = chosen.out.absolute(), chosen.out.absolute().parent / "parents"
    families = [ParentSpec(chosen.network, chosen.data, seed, chosen.epochs, folder) for seed in chosen.seeds]
    record(families, chosen.amounts, out, chosen.jobs)


if __name__ == "__main__":
    main()
