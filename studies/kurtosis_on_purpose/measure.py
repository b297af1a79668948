"""Each variant of `variants`, trained, pruned and fine-tuned: does a change of kurtosis change the prunable amount?

`python -m studies.kurtosis_on_purpose.measure` measures the missing rows of its table, one for each parent and amount;
it can be stopped and started again. A parent is trained again if any of its rows is missing.
"""

import argparse
import functools
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from studies.kurtosis_on_purpose.variants import VARIANTS, Variant, layer_scale_spread, train_variant
from wmgp.analysis import analyze
from wmgp.errors import exit_on_input_error
from wmgp.experiments.data import ImageData, load
from wmgp.experiments.results.provenance import current_key, provenance, settings_key, weights_hash
from wmgp.experiments.results.tables import COLUMNS, Cell
from wmgp.experiments.sweep.backends import run_tasks, use_backend
from wmgp.experiments.sweep.job import prune_and_finetune
from wmgp.experiments.sweep.progress import show_progress
from wmgp.experiments.sweep.resume import Experiment, Job, resume
from wmgp.experiments.sweep.worker import FINE_TUNING_SEED_OFFSET, use_one_thread
from wmgp.experiments.training.loop import evaluate
from wmgp.experiments.training.recipes import ExperimentConfig, experiment_config
from wmgp.rules import effective_number

NETWORK, METHOD = "lenet5", "l1"
EPOCHS = 5  # of a parent on real data; few, because there are many parents
FINETUNED_AMOUNTS = (
    0.0,
    0.3,
    0.5,
    0.6,
    0.7,
    0.8,
    0.85,
    0.9,
    0.93,
    0.96,
    0.98,
)  # amounts with fine-tuning
UNTUNED_AMOUNTS = (0.1, 0.2, 0.4)  # amounts without fine-tuning: too small to lose accuracy
NEAR_ZERO = 0.01  # share of the root mean square; smaller weights count as near zero
PARENT_COLUMNS = (
    *("variant", "moved", "parent_epochs", "kurtosis", "kurtosis_about_zero", "kurtosis_of_layers", "k2"),
    *("optimal", "safe", "cosine_99", "effective", "effective_half", "norm", "near_zero", "layer_spread"),
)
ROW = (*COLUMNS, "loss_parent", *PARENT_COLUMNS)
KEY = ("amount", "epochs")
COMMAND = "python -m studies.kurtosis_on_purpose.measure"
Jobs = tuple[tuple[float, int], ...]  # (amount, epochs of fine-tuning)


def base_config(data: str) -> ExperimentConfig:
    """Return the training config of the base variant and the fine-tuning config of all variants."""
    chosen = experiment_config(NETWORK, data, "strong")
    return chosen if data == "digits" else replace(chosen, epochs=EPOCHS)


def make_jobs(
    base: ExperimentConfig, tuned: tuple[float, ...] = FINETUNED_AMOUNTS, bare: tuple[float, ...] = UNTUNED_AMOUNTS
) -> Jobs:
    """Return all amounts in ascending order, with the config's fine-tuning epochs for `tuned` and 0 for `bare`."""
    return tuple(sorted([*((amount, base.tuning_epochs) for amount in tuned), *((amount, 0) for amount in bare)]))


def weight_statistics(model: nn.Module) -> dict[str, float]:
    """Return statistics of the weights: Pearson's kurtoses, amounts and shares in [0, 1]; nan if undefined.

    `kurtosis` is of the pooled weights as in the paper. `kurtosis_about_zero` is n sum(w^4) / sum(w^2)^2.
    `kurtosis_of_layers` is the mean over tensors of two or more dimensions, which does not depend on their scales.
    `effective` and `effective_half` are 1 - (effective number of weights) / n for scores |w| and |w|^(1/2) (`rules`).
    """
    analysis, table = analyze(model), analyze(model).tensors
    levels, pool = analysis.magnitudes, torch.cat([p.detach().double().flatten().cpu() for p in model.parameters()])
    size = pool.square().mean().sqrt()
    return {
        "kurtosis": analysis.kurtosis,
        "kurtosis_about_zero": float(pool.pow(4).mean() / size**4),
        "kurtosis_of_layers": float(table.loc[table["shape"].map(len) >= 2, "kurtosis"].mean()),
        "k2": analysis.kurtosis_of_kurtoses,
        "optimal": analysis.optimal.amount,
        "safe": analysis.safe.amount if analysis.safe else float("nan"),
        "cosine_99": analysis.at_cosine(0.99).amount,
        "effective": 1 - effective_number(levels, 1) / levels.n,
        "effective_half": 1 - effective_number(levels, 0.5) / levels.n,
        "norm": float(pool.norm()),
        "near_zero": float((pool.abs() < NEAR_ZERO * size).double().mean()),
        "layer_spread": layer_scale_spread(model),
    }


def measure(
    model: nn.Module,
    variant: Variant,
    seed: int,
    base: ExperimentConfig,
    training: ImageData,
    test: ImageData,
    jobs: Jobs,
) -> Iterator[dict[str, Any]]:
    """Yield a row, without its run, for each job of a trained parent."""
    before, chosen = evaluate(model, test), variant.config(base)
    known = {
        "variant": variant.name,
        "moved": variant.moved,
        "parent_epochs": chosen.epochs,
        **weight_statistics(model),
    }
    named = {"network": NETWORK, "data": test.name, "seed": seed, "method": METHOD, **known}
    for amount, epochs in jobs:
        row = prune_and_finetune(
            model, before, METHOD, amount, training, test, FINE_TUNING_SEED_OFFSET + seed, base.tuning, epochs
        )
        yield {**named, **row, "device": training.images.device.type}


@dataclass(frozen=True)
class ParentSpec:
    """One variant and seed; `out` is the table, and `base` the training config of the base variant."""

    out: Path
    data: str
    variant: Variant
    seed: int
    base: ExperimentConfig
    jobs: Jobs


@functools.lru_cache(1)
def _images(data: str) -> tuple[ImageData, ImageData]:
    return load(data, True), load(data, False)


@functools.lru_cache(1)
def _cached_parent(spec: ParentSpec) -> nn.Module:
    return train_variant(NETWORK, spec.variant, spec.seed, spec.base, _images(spec.data)[0])


def parent_settings(spec: ParentSpec) -> dict[str, Any]:
    """Return all settings that decide the results of the parent's pruned networks.

    The weights are not saved. Their hash comes from a recorded run with equal settings, or else from training.
    """
    training, test = _images(spec.data)
    settings = {
        "network": NETWORK, "data": test.name, "data_sha256": {"train": training.sha256, "test": test.sha256},
        "seed": spec.seed, "method": METHOD, "variant": asdict(spec.variant),
        **spec.variant.config(spec.base).settings(), "device": "cpu",
    }  # fmt: skip
    key = current_key(settings)
    for run in provenance(spec.out).values():
        if settings_key({name: value for name, value in run.items() if name != "parent_sha256"}) == key:
            return settings | {"parent_sha256": run["parent_sha256"]}
    with use_one_thread():
        return settings | {"parent_sha256": weights_hash(_cached_parent(spec).state_dict())}


def measure_rows(spec: ParentSpec, run: str, jobs: list[Job]) -> list[dict[str, Cell]]:
    """Return a row of the table for each (amount, epochs), its columns in the order of `ROW`."""
    training, test = _images(spec.data)
    with use_one_thread():
        model = _cached_parent(spec)
        rows = list(measure(model, spec.variant, spec.seed, spec.base, training, test, tuple(jobs)))
    return [{name: (row | {"run": run})[name] for name in ROW} for row in rows]


EXPERIMENT = Experiment(
    ROW, KEY, parent_settings, lambda spec: spec.jobs, measure_rows, lambda spec: COMMAND, lambda spec: len(spec.jobs)
)


def small_study(preset: str, device: str, seed: int) -> pd.DataFrame:
    """Return rows measured on digits: `quick` (all variants, two seeds) or `tiny` (one variant per kind, seconds)."""
    base, variants, seeds = base_config("digits"), VARIANTS, (seed, seed + 1)
    jobs, processes = make_jobs(base), os.cpu_count() or 1
    if preset == "tiny":
        base, seeds, jobs, processes = replace(base, epochs=1), (seed,), make_jobs(base, (0.0, 0.5, 0.9), ()), 1
        variants = tuple({variant.moved: variant for variant in VARIANTS}.values())
    tasks = [(variant, each, base, jobs, device) for each in seeds for variant in variants]
    with use_backend("loky", 1 if device != "cpu" else processes), closing(run_tasks(_measure_parent, tasks)) as done:
        parts = {part["run"].iloc[0]: part for part in done}
    return pd.concat([parts[_run_name(variant, each)] for variant, each, *_ in tasks], ignore_index=True)


def _measure_parent(variant: Variant, seed: int, base: ExperimentConfig, jobs: Jobs, device: str) -> pd.DataFrame:
    training, test = load("digits", True, device), load("digits", False, device)
    with use_one_thread():
        model = train_variant(NETWORK, variant, seed, base, training)
        rows = list(measure(model, variant, seed, base, training, test, jobs))
    return pd.DataFrame(rows).assign(run=_run_name(variant, seed))


def _run_name(variant: Variant, seed: int) -> str:
    """Return the run's name for a parent that is not recorded."""
    return f"{variant.name}, seed {seed}"


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        "python -m studies.kurtosis_on_purpose.measure",
        description="Record what becomes of networks of all kurtoses.",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results", "kurtosis_on_purpose.csv"), help="(default: %(default)s)"
    )
    parser.add_argument("--data", default="fashion_mnist", help="the data set (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="(default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of a thread each (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    base, out = base_config(chosen.data), chosen.out.absolute()
    specs = [
        ParentSpec(out, chosen.data, variant, seed, base, make_jobs(base))
        for seed in chosen.seeds
        for variant in VARIANTS
    ]
    with show_progress() as progress:
        resume(out, specs, EXPERIMENT, chosen.jobs, progress=progress)


if __name__ == "__main__":
    main()
