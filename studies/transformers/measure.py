"""A vision transformer pruned in the paper's pool and in the pool of all parameters, by L1 and at random, fine-tuned.

`python -m studies.transformers.measure` measures the missing rows of its table: three parents on Fashion-MNIST, one row
per job. It can be stopped at any moment and started again. Each job has one CPU thread. The parents are in the folder
`transformers` beside the table, because `parents` is for the networks of the sweeps.
"""

import argparse
import copy
import functools
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file
from torch import Tensor, nn

from studies.transformers.vit import vit
from wmgp.errors import exit_on_input_error
from wmgp.experiments.data import ImageData, load
from wmgp.experiments.results.provenance import weights_hash
from wmgp.experiments.results.tables import COLUMNS, Cell, with_facts
from wmgp.experiments.sweep.metrics import after_finetuning, before_finetuning
from wmgp.experiments.sweep.progress import show_progress
from wmgp.experiments.sweep.resume import Experiment, Job, Progress, no_progress, resume
from wmgp.experiments.sweep.worker import FINE_TUNING_SEED_OFFSET, use_one_thread
from wmgp.experiments.training.loop import Evaluation, evaluate, train
from wmgp.experiments.training.parents import load_or_train_parent
from wmgp.experiments.training.recipes import DIGITS_CONFIG, ExperimentConfig
from wmgp.experiments.training.sgd import Recipe
from wmgp.pruning import apply_masks, global_masks

NETWORK, FOLDER = "vit", "transformers"
POOLS = {"weight_bias": "the paper's pool", "all": "the whole pool"}
METHODS = ("l1", "random")
ROW = (*COLUMNS[:3], "pool", *COLUMNS[3:], "loss_parent", "share")
KEY = ("method", "amount")
COMMAND = "python -m studies.transformers.measure"


@dataclass(frozen=True)
class Study:
    """Both methods at every amount of both pools, for every seed, on one data set."""

    data: str
    config: ExperimentConfig
    amounts: tuple[float, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class ParentSpec:
    """One parent of a study and the pool to prune; `folder` holds the trained parents."""

    study: Study
    seed: int
    pool: str
    folder: Path


@dataclass(frozen=True)
class Results:
    """Rows of a table (`tables.with_facts`), and the weights of their parents after and before training, by seed."""

    rows: pd.DataFrame
    trained: dict[int, dict[str, Tensor]]
    untrained: dict[int, dict[str, Tensor]]


# Few amounts; they are close together where the accuracy of random pruning and of L1 falls.
AMOUNTS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
# Learning rate and epochs are our choice, enough for an accurate parent; fine-tuning is the paper's.
VIT_RECIPE = Recipe(0.1, 0.9, 5e-4, 128, nesterov=True, one_cycle=True)
FASHION = Study("fashion_mnist", ExperimentConfig(VIT_RECIPE, 15), AMOUNTS, (0, 1, 2))
QUICK = Study("digits", replace(DIGITS_CONFIG, epochs=30), AMOUNTS, (0, 1, 2))
TINY = Study("digits", replace(DIGITS_CONFIG, epochs=3, tuning=Recipe(0.01, batch_size=128)), (0.0, 0.5, 0.9), (0,))


def run(study: Study, out: str | Path, workers: int = 1, progress: Progress = no_progress) -> int:
    """Add to the table `out` every row of the study that it lacks, and return how many rows were missing."""
    folder = Path(out).absolute().parent / FOLDER
    missing = 0
    for pool in POOLS:  # one after the other, so that each parent is trained once
        specs = [ParentSpec(study, seed, pool, folder) for seed in study.seeds]
        missing += resume(out, specs, EXPERIMENT, workers, progress=progress)
    return missing


def read_results(table: str | Path) -> Results:
    """Return the rows of a table and the weights of the parents beside it."""
    rows = with_facts(table)
    [data] = set(rows["data"])
    folder = Path(table).parent / FOLDER
    trained, untrained = (
        {seed: load_file(folder / f"{NETWORK}-{name}-seed{seed}.safetensors") for seed in sorted(set(rows["seed"]))}
        for name in (data, "init")
    )
    return Results(rows, trained, untrained)


def small_study(study: Study, jobs: int) -> Results:
    """Run a study in a temporary folder and return its results."""
    with tempfile.TemporaryDirectory() as folder:
        run(study, table := Path(folder, "vit.csv"), jobs)
        return read_results(table)


def parent_settings(spec: ParentSpec) -> dict[str, Any]:
    """Train or read the parent, and return all settings that decide its results."""
    with use_one_thread():
        training, test = _images(spec.study.data)
        model = _load_parent(spec, test)
    return {
        "network": NETWORK, "data": training.name, "data_sha256": {"train": training.sha256, "test": test.sha256},
        "seed": spec.seed, **spec.study.config.settings(), "parent_sha256": weights_hash(model.state_dict()),
        "device": "cpu", "pool": spec.pool,
    }  # fmt: skip


def jobs(spec: ParentSpec) -> list[Job]:
    """Return method and amount of every row."""
    return [(method, amount) for method in METHODS for amount in spec.study.amounts]


def measure_rows(spec: ParentSpec, run: str, jobs: list[Job]) -> list[dict[str, Cell]]:
    """Return a row of the table for each (method, amount), its columns in the order of `ROW`."""
    config, seed = spec.study.config, FINE_TUNING_SEED_OFFSET + spec.seed
    with use_one_thread():
        training, test = _images(spec.study.data)
        model, before = _cached_parent(spec)
        found = [
            (method, measure_prune(model, before, spec.pool, method, amount, training, test, seed, config))
            for method, amount in jobs
        ]
    shared = {"network": NETWORK, "data": training.name, "seed": spec.seed, "pool": spec.pool}
    shared |= {"device": "cpu", "run": run}
    return [{name: (shared | {"method": method} | row)[name] for name in ROW} for method, row in found]


EXPERIMENT = Experiment(ROW, KEY, parent_settings, jobs, measure_rows, lambda spec: COMMAND)


def measure_prune(
    model: nn.Module,
    before: Evaluation,
    pool: str,
    method: str,
    amount: float,
    training: ImageData,
    test: ImageData,
    seed: int,
    config: ExperimentConfig,
) -> dict[str, Cell]:
    """Return a row's measurements for any pool, as in a sweep (`job.prune_and_finetune`).

    `amount` is the pruned share of the pool, `share` the pruned share of all parameters.
    """
    began = time.perf_counter()
    masks = global_masks(model, amount, method, pool, [seed, round(amount * 1e9)])
    child = copy.deepcopy(model)
    apply_masks(child, masks)
    at_once = before_finetuning(model, before, child, evaluate(child, test), masks)
    train(child, training, config.tuning_epochs, seed, config.tuning, masks)
    after = after_finetuning(model, before, child, evaluate(child, test))
    gone = sum(int((~mask).sum()) for mask in masks.values())
    return {
        "amount": amount, "epochs": config.tuning_epochs, "share": gone / sum(p.numel() for p in model.parameters()),
        "loss_parent": before.loss, **at_once, **after,
        "seconds": time.perf_counter() - began,
    }  # fmt: skip


# A process keeps one data set and one parent from one job to the next.
@functools.lru_cache(1)
def _images(data: str) -> tuple[ImageData, ImageData]:
    return load(data, True), load(data, False)


@functools.lru_cache(1)
def _cached_parent(spec: ParentSpec) -> tuple[nn.Module, Evaluation]:
    """Return the parent and its evaluation on the test images."""
    model = _load_parent(spec)
    return model, evaluate(model, _images(spec.study.data)[1])


def _load_parent(spec: ParentSpec, test: ImageData | None = None) -> nn.Module:
    """Train the parent, or read it from the folder; with `test` images its history is recorded."""
    training, config = _images(spec.study.data)[0], spec.study.config
    return load_or_train_parent(
        NETWORK, training, spec.seed, config.epochs, config.recipe, spec.folder, initial=vit, test=test
    )


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m studies.transformers.measure", description="Record a pruned ViT.")
    default = Path("results", "vit_fashion_mnist.csv")
    parser.add_argument("--out", type=Path, default=default, help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=FASHION.seeds, help="(default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    with show_progress() as progress:
        run(replace(FASHION, seeds=tuple(chosen.seeds)), chosen.out, chosen.jobs, progress)


if __name__ == "__main__":
    main()
