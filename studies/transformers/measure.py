"""A vision transformer pruned in the paper's pool and in the whole one, by L1 and at random, then fine-tuned.

`python -m studies.transformers.measure` records it on Fashion-MNIST, a row a job, three parents. It measures
what its table does not hold yet, so that it can be stopped at any moment and started again. Each job has one thread on
a CPU. The parents lie in the folder `transformers` beside the table: `parents` is for the networks of the sweeps.
"""

import argparse
import copy
import functools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.torch import load_file
from torch import Tensor, nn

from studies.transformers.vit import vit
from wmgp.errors import command_line
from wmgp.experiments.data import ImageData, load
from wmgp.experiments.results.provenance import record_run, source_hash, weights_hash
from wmgp.experiments.results.tables import COLUMNS, Cell, append_row, keys, with_facts
from wmgp.experiments.sweep.backends import cluster, spread
from wmgp.experiments.sweep.job import MODULES as JOB
from wmgp.experiments.sweep.metrics import after_finetuning, before_finetuning
from wmgp.experiments.sweep.worker import FINE_TUNING, one_thread
from wmgp.experiments.training.loop import Outcome, evaluate, train
from wmgp.experiments.training.parents import parent
from wmgp.experiments.training.recipes import DIGITS, ExperimentConfig
from wmgp.experiments.training.sgd import Recipe
from wmgp.pruning import apply_masks, global_masks

NETWORK, FOLDER = "vit", "transformers"
POOLS = {"weight_bias": "the paper's pool", "all": "the whole pool"}
METHODS = ("l1", "random")
ROW = (*COLUMNS[:3], "pool", *COLUMNS[3:], "loss_parent", "share")
KEY = ("run", "method", "amount")
MODULES = (*JOB, "experiments.studies.transformers", "experiments.studies.vit")


@dataclass(frozen=True)
class Study:
    """Both methods at every amount of both pools, for every seed, on one data set."""

    data: str
    config: ExperimentConfig
    amounts: tuple[float, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Measured:
    """The rows of a table (`results.with_facts`), and their parents' weights after and before training, by seed."""

    rows: pd.DataFrame
    trained: dict[int, dict[str, Tensor]]
    untrained: dict[int, dict[str, Tensor]]


# Few and close where random pruning falls, and where L1 does.
AMOUNTS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
# The rate and the epochs are ours, enough for a parent that is worth pruning; fine-tuning is the paper's.
STRONG = Recipe(0.1, 0.9, 5e-4, 128, nesterov=True, one_cycle=True)
FASHION = Study("fashion_mnist", ExperimentConfig(STRONG, 15), AMOUNTS, (0, 1, 2))
QUICK = Study("digits", replace(DIGITS, epochs=30), AMOUNTS, (0, 1, 2))
TINY = Study("digits", replace(DIGITS, epochs=3, tuning=Recipe(0.01, batch_size=128)), (0.0, 0.5, 0.9), (0,))


def run(study: Study, out: str | Path, jobs: int = 1, progress: Callable[[str], None] | None = None) -> int:
    """Add to the table `out` every row of the study that it lacks, and return how many those were.

    `jobs` processes at a time; this one alone writes the table. `progress` is told of each row and parent.
    """
    out, tell = Path(out).absolute(), progress or (lambda line: None)
    folder = out.parent / FOLDER
    with cluster("loky", jobs):
        runs = {}
        for seed, settings in _each(settings_of, [(study, seed, folder) for seed in study.seeds]):
            runs |= {(seed, pool): record_run(out, {**settings, "pool": pool}) for pool in POOLS}
            tell(f"parent {seed}")
        there = keys(out, KEY)
        missing = [
            (study, folder, seed, pool, method, amount, runs[seed, pool])
            for seed in study.seeds
            for pool in POOLS
            for method in METHODS
            for amount in study.amounts
            if (runs[seed, pool], method, amount) not in there
        ]
        for number, row in enumerate(_each(row_of, missing), 1):
            append_row(out, row, unless=KEY)
            tell(f"row {number} of {len(missing)}")
    return len(missing)


def measured(table: str | Path) -> Measured:
    """What lies in a table and beside it."""
    rows = with_facts(table)
    [data] = set(rows["data"])
    folder = Path(table).parent / FOLDER
    trained, untrained = (
        {seed: load_file(folder / f"{NETWORK}-{name}-seed{seed}.safetensors") for seed in sorted(set(rows["seed"]))}
        for name in (data, "init")
    )
    return Measured(rows, trained, untrained)


def small(study: Study, jobs: int) -> Measured:
    """A study run in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        run(study, table := Path(folder, "vit.csv"), jobs)
        return measured(table)


def _each(work: Callable[..., Any], tasks: list[tuple[Any, ...]]) -> Iterator[Any]:
    """What the work on the tasks gives, as it comes."""
    with closing(spread(work, tasks)) as found:
        yield from found


def settings_of(study: Study, seed: int, folder: Path) -> tuple[int, dict[str, Any]]:
    """The seed, its parent trained or read, and the settings of its runs, but for the pool."""
    with one_thread():
        training, test = _images(study.data)
        model = _parent(study, seed, folder, test)
    return seed, {
        "network": NETWORK, "data": training.name, "data_sha256": {"train": training.sha256, "test": test.sha256},
        "seed": seed, **study.config.settings(), "parent_sha256": weights_hash(model.state_dict()),
        "source_sha256": source_hash(MODULES), "device": "cpu",
    }  # fmt: skip


def row_of(study: Study, folder: Path, seed: int, pool: str, method: str, amount: float, run: str) -> dict[str, Cell]:
    """One row of the table, its columns in the order of `ROW`."""
    with one_thread():
        training, test = _images(study.data)
        model, before = _held(study, seed, folder)
        found = pruned(model, before, pool, method, amount, training, test, FINE_TUNING + seed, study.config)
    job = {"network": NETWORK, "data": training.name, "seed": seed, "pool": pool, "method": method}
    whole = {**job, **found, "device": "cpu", "run": run}
    return {name: whole[name] for name in ROW}


def pruned(
    model: nn.Module,
    before: Outcome,
    pool: str,
    method: str,
    amount: float,
    training: ImageData,
    test: ImageData,
    seed: int,
    config: ExperimentConfig,
) -> dict[str, Cell]:
    """A row's measurements, as those of a sweep (`job.pruned`), of a prune of any pool.

    `amount` is of the pool, `share` of all parameters.
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


# What a process keeps from one job to the next: one data set and one parent.
@functools.lru_cache(1)
def _images(data: str) -> tuple[ImageData, ImageData]:
    return load(data, True), load(data, False)


@functools.lru_cache(1)
def _held(study: Study, seed: int, folder: Path) -> tuple[nn.Module, Outcome]:
    """The parent and what it says of the test images."""
    model = _parent(study, seed, folder)
    return model, evaluate(model, _images(study.data)[1])


def _parent(study: Study, seed: int, folder: Path, test: ImageData | None = None) -> nn.Module:
    """Trained, or read from the folder; with `test` images, its history is kept."""
    training, chosen = _images(study.data)[0], study.config
    return parent(NETWORK, training, seed, chosen.epochs, chosen.recipe, folder, initial=vit, test=test)


@command_line
def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m studies.transformers.measure", description="Record a pruned ViT.")
    default = Path("results", "vit_fashion_mnist.csv")
    parser.add_argument("--out", type=Path, default=default, help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=FASHION.seeds, help="(default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    say = functools.partial(print, flush=True)
    run(replace(FASHION, seeds=tuple(chosen.seeds)), chosen.out, chosen.jobs, say)


if __name__ == "__main__":
    main()
