"""Pruning strategies other than one-shot L1, all trained for the same number of epochs (see `schedules`).

`python -m studies.beyond_l1.measure` measures the missing rows of its table; it can be stopped and started again.
For every strategy, `accuracy_pruned`, `loss_pruned` and `cosine_pruned` are measured on the parent under the row's
final masks.
"""

import argparse
import copy
import functools
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.beyond_l1.early_weights import early_weights
from studies.beyond_l1.schedules import ROUNDS, STRATEGIES, Start, prune_and_train, rewind_epochs
from wmgp.errors import exit_on_input_error
from wmgp.experiments.data import ImageData, load
from wmgp.experiments.models import NETWORKS
from wmgp.experiments.results.provenance import weights_hash
from wmgp.experiments.results.tables import COLUMNS, Cell
from wmgp.experiments.sweep.metrics import after_finetuning, before_finetuning
from wmgp.experiments.sweep.progress import show_progress
from wmgp.experiments.sweep.resume import Experiment, Job, resume
from wmgp.experiments.sweep.worker import FINE_TUNING_SEED_OFFSET, use_one_thread
from wmgp.experiments.training.loop import Evaluation, evaluate
from wmgp.experiments.training.parents import load_or_train_parent
from wmgp.experiments.training.recipes import ExperimentConfig, experiment_config
from wmgp.pruning import apply_masks

EPOCHS = 6  # of training after pruning
AMOUNTS = (0.8, 0.9, 0.95, 0.98)
UNPRUNED_CONTROL = ("l1", "one-shot", 0.0)  # nothing pruned, trained for the same epochs
ROW = (*COLUMNS[:4], "rule", *COLUMNS[4:])
KEY = ("method", "rule", "amount")
COMMAND = "python -m studies.beyond_l1.measure"


@dataclass(frozen=True)
class ParentSpec:
    """One parent and the amounts to prune; `folder` holds the trained parents."""

    network: str
    data: str
    seed: int
    epochs: int  # of training after pruning
    amounts: tuple[float, ...]
    folder: Path


def prepare_start(
    network: str, training: ImageData, seed: int, config: ExperimentConfig, epochs: int, folder: Path | None = None
) -> Start:
    """Train or read a parent and the early weights that the schedules rewind to."""
    model = load_or_train_parent(network, training, seed, config.epochs, config.recipe, folder, start=config.weights)
    early = early_weights(network, training, seed, config, model, rewind_epochs(config, epochs), folder)
    return Start(model, config, early, training, epochs, FINE_TUNING_SEED_OFFSET + seed)


def measure(
    start: Start, before: Evaluation, test: ImageData, method: str, rule: str, amount: float
) -> dict[str, Cell]:
    """Return the measurements of a row; `before` is the parent's evaluation on `test`."""
    start_time = time.perf_counter()
    model, masks = prune_and_train(start, method, rule, amount)
    masked_parent = copy.deepcopy(start.parent)
    apply_masks(masked_parent, masks)
    return {
        "method": method, "rule": rule, "amount": amount, "epochs": start.epochs,
        **before_finetuning(start.parent, before, masked_parent, evaluate(masked_parent, test), masks),
        **after_finetuning(start.parent, before, model, evaluate(model, test)),
        "seconds": time.perf_counter() - start_time,
    }  # fmt: skip


def parent_settings(spec: ParentSpec) -> dict[str, Any]:
    """Train or read the parent, and return all settings that decide its results."""
    with use_one_thread():
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
    with use_one_thread():
        start, before, test = _cached_start(spec)
        measured = [measure(start, before, test, *job) for job in jobs]
    shared = {"network": spec.network, "data": test.name, "seed": spec.seed, "device": "cpu", "run": run}
    return [{name: (shared | row)[name] for name in ROW} for row in measured]


@functools.lru_cache(1)
def _cached_start(spec: ParentSpec) -> tuple[Start, Evaluation, ImageData]:
    """Return the start, the parent's evaluation, and the test images; cached from one job to the next."""
    training, test = load(spec.data, True), load(spec.data, False)
    config = experiment_config(spec.network, spec.data)
    start = prepare_start(spec.network, training, spec.seed, config, spec.epochs, spec.folder)
    return start, evaluate(start.parent, test), test


def strategy_jobs(amounts: Iterable[float]) -> list[Job]:
    """Return (method, rule, amount) of the control, and of every strategy at every amount."""
    return [UNPRUNED_CONTROL, *((method, rule, amount) for amount in amounts for method, rule in STRATEGIES)]


def jobs(spec: ParentSpec) -> list[Job]:
    """Return method, rule and amount of every row."""
    return strategy_jobs(spec.amounts)


EXPERIMENT = Experiment(ROW, KEY, parent_settings, jobs, measure_rows, lambda spec: COMMAND)


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m studies.beyond_l1.measure", description="Measure pruning strategies.")
    parser.add_argument("--network", default="lenet_small", choices=NETWORKS, help="(default: %(default)s)")
    parser.add_argument("--data", default="cifar10", help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: 0 1 2)")
    parser.add_argument("--amounts", type=float, nargs="+", default=list(AMOUNTS), help="(default: 0.8 0.9 0.95 0.98)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of training after pruning (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes with one thread each (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results", "beyond_l1.csv"), help="(default: %(default)s)")
    chosen = parser.parse_args(arguments)
    out, folder = chosen.out.absolute(), chosen.out.absolute().parent / "parents"
    amounts = tuple(chosen.amounts)
    specs = [ParentSpec(chosen.network, chosen.data, seed, chosen.epochs, amounts, folder) for seed in chosen.seeds]
    with show_progress() as progress:
        resume(out, specs, EXPERIMENT, chosen.jobs, progress=progress)


if __name__ == "__main__":
    main()
