"""Other ways to prune than one-shot L1, each trained for as many epochs (`schedules`): does the cosine order them?

`python -m studies.beyond_l1.measure` measures what its table does not hold yet: it can be stopped and started
again. A row's `accuracy_pruned`, `loss_pruned` and `cosine_pruned` are those of the parent under the row's final masks,
whenever the masks came about, so that all ways have them.
"""

import argparse
import copy
import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.beyond_l1.early_weights import early_weights
from studies.beyond_l1.schedules import ROUNDS, WAYS, Start, follow, looked_back
from wmgp.errors import exit_on_input_error
from wmgp.experiments.data import ImageData, load
from wmgp.experiments.models import NETWORKS
from wmgp.experiments.results.provenance import weights_hash
from wmgp.experiments.results.tables import COLUMNS, Cell
from wmgp.experiments.sweep.metrics import after_finetuning, before_finetuning
from wmgp.experiments.sweep.progress import show_progress
from wmgp.experiments.sweep.resume import Experiment, Job, resume
from wmgp.experiments.sweep.worker import FINE_TUNING, one_thread
from wmgp.experiments.training.loop import Outcome, evaluate
from wmgp.experiments.training.parents import parent
from wmgp.experiments.training.recipes import ExperimentConfig, experiment_config
from wmgp.pruning import apply_masks

EPOCHS = 6  # of training after the parent
AMOUNTS = (0.8, 0.9, 0.95, 0.98)
NOTHING = ("l1", "one-shot", 0.0)  # the control: nothing pruned, and trained on for the same epochs
ROW = (*COLUMNS[:4], "rule", *COLUMNS[4:])
KEY = ("method", "rule", "amount")
COMMAND = "python -m studies.beyond_l1.measure"


@dataclass(frozen=True)
class ParentSpec:
    """One parent and the amounts of its prunes; `folder` holds the trained parents."""

    network: str
    data: str
    seed: int
    epochs: int  # of training after pruning
    amounts: tuple[float, ...]
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


def parent_settings(spec: ParentSpec) -> dict[str, Any]:
    """Train or read the parent, and return all that decides the results of its prunes."""
    with one_thread():
        start, _, test = _cached_start(spec)
    return {
        "network": spec.network,
        "data": start.data.name,
        "data_sha256": {"train": start.data.sha256, "test": test.sha256},
        "seed": spec.seed,
        **start.config.settings(),
        "retraining_epochs": spec.epochs,
        "rounds": ROUNDS,
        "parent_sha256": weights_hash(start.parent.state_dict()),
        "early_sha256": {str(epoch): weights_hash(weights) for epoch, weights in start.early.items()},
        "device": "cpu",
    }


def measure_rows(spec: ParentSpec, run: str, jobs: list[Job]) -> list[dict[str, Cell]]:
    """Return a row of the table for each (method, rule, amount), its columns in the order of `ROW`."""
    with one_thread():
        start, before, test = _cached_start(spec)
        measured = [measure(start, before, test, *job) for job in jobs]
    shared = {"network": spec.network, "data": test.name, "seed": spec.seed, "device": "cpu", "run": run}
    return [{name: (shared | row)[name] for name in ROW} for row in measured]


@functools.lru_cache(1)
def _cached_start(spec: ParentSpec) -> tuple[Start, Outcome, ImageData]:
    """Return the start, the parent's outcome on the test images, and those images: kept from one job to the next."""
    training, test = load(spec.data, True), load(spec.data, False)
    config = experiment_config(spec.network, spec.data)
    start = started(spec.network, training, spec.seed, config, spec.epochs, spec.folder)
    return start, evaluate(start.parent, test), test


def jobs(spec: ParentSpec) -> list[Job]:
    """Return method, rule and amount of every row: the control, and every way at every amount."""
    return [NOTHING, *((method, rule, amount) for amount in spec.amounts for method, rule in WAYS)]


EXPERIMENT = Experiment(ROW, KEY, parent_settings, jobs, measure_rows, lambda spec: COMMAND)


@exit_on_input_error
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
    amounts = tuple(chosen.amounts)
    specs = [ParentSpec(chosen.network, chosen.data, seed, chosen.epochs, amounts, folder) for seed in chosen.seeds]
    with show_progress() as progress:
        resume(out, specs, EXPERIMENT, chosen.jobs, progress=progress)


if __name__ == "__main__":
    main()
