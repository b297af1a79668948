"""The distance of a pruned network from its parent, in parameters and function, after each epoch of fine-tuning.

`python -m studies.more_fine_tuning.measure` records it for several amounts. Its rows are those of a sweep for 0, 1, ...
epochs. One run gives all of them, because the learning rate is constant.
"""

import argparse
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from wmgp.errors import exit_on_input_error
from wmgp.experiments.data import ImageData, load
from wmgp.experiments.models import NETWORKS
from wmgp.experiments.results.provenance import weights_hash
from wmgp.experiments.results.tables import SWEEP, Cell
from wmgp.experiments.statistics.collapse import Interval
from wmgp.experiments.statistics.intervals import mean_interval
from wmgp.experiments.sweep.job import prune_copy
from wmgp.experiments.sweep.metrics import after_finetuning, before_finetuning
from wmgp.experiments.sweep.presets import TEN_EPOCH_AMOUNTS
from wmgp.experiments.sweep.progress import show_progress
from wmgp.experiments.sweep.resume import Experiment, Job, resume
from wmgp.experiments.sweep.worker import FINE_TUNING_SEED_OFFSET, use_one_thread
from wmgp.experiments.training.loop import Evaluation, evaluate, train
from wmgp.experiments.training.parents import load_or_train_parent
from wmgp.experiments.training.recipes import experiment_config
from wmgp.experiments.training.sgd import REFERENCE, Recipe

EPOCHS = 10
COMMAND = "python -m studies.more_fine_tuning.measure"
KEY = ("method", "amount", "epochs")
ROW = (*SWEEP, "distance")


def finetuning_path(
    whole: nn.Module,
    before: Evaluation,
    method: str,
    amount: float,
    training: ImageData,
    test: ImageData,
    seed: int,
    recipe: Recipe = REFERENCE,
    epochs: int = EPOCHS,
) -> list[dict[str, Cell]]:
    """Return the measurements of a sweep's job and `distance` after 0, 1, ..., `epochs` epochs, one row each.

    `before` is the evaluation of the parent, `whole`, on `test`; `distance` is from `relative_distance`. `seed` decides
    the batches and random masks.
    """
    child, masks = prune_copy(whole, method, amount, seed)
    began, at_once = time.perf_counter(), evaluate(child, test)
    first = before_finetuning(whole, before, child, at_once, masks)
    first |= {"method": method, "amount": amount, "loss_parent": before.loss}
    rows = []

    def look(epoch: int) -> None:
        after = evaluate(child, test) if epoch else at_once
        found = after_finetuning(whole, before, child, after) | {"distance": relative_distance(whole, child)}
        rows.append({**first, "epochs": epoch, **found, "seconds": time.perf_counter() - began})

    look(0)
    train(child, training, epochs, seed, recipe, masks, look)
    return rows


def relative_distance(whole: nn.Module, child: nn.Module) -> float:
    """Return the Euclidean distance of two networks' parameters (of equal shapes), divided by the norm of the first."""
    pairs = zip(whole.parameters(), child.parameters(), strict=True)
    sums = torch.zeros(2, dtype=torch.float64)
    for a, b in pairs:
        a, b = a.detach().cpu().double(), b.detach().cpu().double()
        sums += torch.stack([(a - b).pow(2).sum(), a.pow(2).sum()])
    return float((sums[0] / sums[1]).sqrt())


def change_between_epochs(rows: pd.DataFrame, y: str, first: int = 1, last: int = EPOCHS) -> dict[float, Interval]:
    """Return by amount the mean of `y` after `last` epochs minus `y` after `first`, with its 95% interval.

    The difference is taken for each parent; `rows` are of one method (`mean_interval`). Amounts without both are left
    out.
    """
    named = rows.loc[rows["epochs"].isin([first, last])]
    wide = named.pivot_table(index=["amount", "seed"], columns="epochs", values=y)
    if not {first, last} <= set(wide.columns):
        return {}
    apart = (wide[last] - wide[first]).dropna()
    parts: Any = apart.groupby(level="amount")
    return {float(amount): mean_interval(part) for amount, part in parts}


def closest_epoch(rows: pd.DataFrame, y: str = "js") -> pd.DataFrame:
    """Return the epoch at which `y` is smallest for each pruned network: columns seed, method, amount, epochs, `y`."""
    least = rows.loc[rows.groupby(["seed", "method", "amount"])[y].idxmin()]
    return least[["seed", "method", "amount", "epochs", y]].reset_index(drop=True)


@dataclass(frozen=True)
class ParentSpec:
    """One parent and the amounts of its L1 pruning; `folder` holds the trained parents."""

    network: str
    data: str
    seed: int
    amounts: tuple[float, ...]
    epochs: int
    folder: Path


@cache
def _images(data: str) -> tuple[ImageData, ImageData]:
    return load(data, True), load(data, False)


def _load_parent(spec: ParentSpec) -> nn.Module:
    config = experiment_config(spec.network, spec.data)
    training = _images(spec.data)[0]
    return load_or_train_parent(
        spec.network, training, spec.seed, config.epochs, config.recipe, spec.folder, start=config.weights
    )


def parent_settings(spec: ParentSpec) -> dict[str, Any]:
    """Train or read the parent, and return all settings that decide its results."""
    with use_one_thread():
        training, test = _images(spec.data)
        whole = _load_parent(spec)
    return {
        "network": spec.network, "data": training.name, "seed": spec.seed, "device": "cpu",
        "data_sha256": {"train": training.sha256, "test": test.sha256},
        **experiment_config(spec.network, spec.data).settings(), "tuning_epochs": spec.epochs,
        "parent_sha256": weights_hash(whole.state_dict()),
    }  # fmt: skip


def jobs(spec: ParentSpec) -> list[Job]:
    """Return method, amount and last epoch of every path: the row of the last epoch stands for the whole path."""
    return [("l1", amount, spec.epochs) for amount in spec.amounts]


def measure_rows(spec: ParentSpec, run: str, jobs: list[Job]) -> list[dict[str, Cell]]:
    """Return the rows of each path, one for every number of epochs, their columns in the order of `ROW`."""
    tuning = experiment_config(spec.network, spec.data).tuning
    with use_one_thread():
        training, test = _images(spec.data)
        whole = _load_parent(spec)
        before = evaluate(whole, test)
        rows = [
            row
            for method, amount, epochs in jobs
            for row in finetuning_path(
                whole, before, method, amount, training, test, FINE_TUNING_SEED_OFFSET + spec.seed, tuning, epochs
            )
        ]
    shared = {"network": spec.network, "data": training.name, "seed": spec.seed, "device": "cpu", "run": run}
    return [{name: (shared | row)[name] for name in ROW} for row in rows]


EXPERIMENT = Experiment(ROW, KEY, parent_settings, jobs, measure_rows, lambda spec: COMMAND)


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m studies.more_fine_tuning.measure", description="Watch fine-tuning.")
    parser.add_argument("--network", default="lenet_small", choices=NETWORKS, help="(default: %(default)s)")
    parser.add_argument("--data", default="cifar10", help="(default: %(default)s)")
    parser.add_argument("--amounts", type=float, nargs="+", default=TEN_EPOCH_AMOUNTS, help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)), help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="(default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results", "tuning_paths.csv"), help="(default: %(default)s)")
    chosen = parser.parse_args(arguments)
    out, amounts = chosen.out.absolute(), tuple(chosen.amounts)
    specs = [
        ParentSpec(chosen.network, chosen.data, seed, amounts, chosen.epochs, out.parent / "parents")
        for seed in chosen.seeds
    ]
    with show_progress() as progress:
        resume(out, specs, EXPERIMENT, chosen.jobs, progress=progress)


if __name__ == "__main__":
    main()
