"""Kurtosis moved on purpose, and what can then be pruned: each variant of `heavy_tails`, trained, pruned, fine-tuned.

`python -m studies.kurtosis_on_purpose.measure` records it, a row for each parent and amount, and measures what
its table does not hold yet: it can be stopped and started again. A parent is trained anew where any of its rows is
missing.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from studies.kurtosis_on_purpose.variants import VARIANTS, Variant, spread_of_layers, trained
from wmgp.analysis import analyze
from wmgp.errors import command_line
from wmgp.experiments.data import ImageData, load
from wmgp.experiments.results.provenance import provenance, record_run, source_hash, weights_hash
from wmgp.experiments.results.tables import COLUMNS, append_row, read
from wmgp.experiments.sweep.backends import cluster, spread
from wmgp.experiments.sweep.job import MODULES as JOB
from wmgp.experiments.sweep.job import pruned
from wmgp.experiments.sweep.worker import FINE_TUNING, one_thread
from wmgp.experiments.training.loop import evaluate
from wmgp.experiments.training.recipes import ExperimentConfig, experiment_config
from wmgp.rules import effective_number

NETWORK, METHOD = "lenet5", "l1"
EPOCHS = 5  # of a parent on real data: enough to be worth pruning, and few enough for many parents
TUNED = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.96, 0.98)  # amounts after which there is fine-tuning
BARE = (0.1, 0.2, 0.4)  # amounts that are only looked at, where fine-tuning would have nothing to mend
NEAR_ZERO = 0.01  # of the root mean square: what is smaller counts as near zero
OF_PARENT = (
    *("variant", "moved", "parent_epochs", "kurtosis", "kurtosis_about_zero", "kurtosis_of_layers", "k2"),
    *("optimal", "safe", "cosine_99", "effective", "effective_half", "norm", "near_zero", "layer_spread"),
)
ROW = (*COLUMNS, "loss_parent", *OF_PARENT)
KEY = ("run", "amount", "epochs")
MODULES = (
    *JOB,
    *(f"experiments.studies.{name}" for name in ("heavy_tails", "kurtosis_on_purpose", "rescaled", "rescaling")),
)
Jobs = tuple[tuple[float, int], ...]  # amounts, each with its epochs of fine-tuning


def base_plan(data: str) -> ExperimentConfig:
    """How the base variant is trained, and prunes of all variants are tuned."""
    chosen = experiment_config(NETWORK, data, "strong")
    return chosen if data == "digits" else replace(chosen, epochs=EPOCHS)


def jobs_of(base: ExperimentConfig, tuned: tuple[float, ...] = TUNED, bare: tuple[float, ...] = BARE) -> Jobs:
    """All amounts in their order, those of `tuned` with the config's epochs of fine-tuning."""
    return tuple(sorted([*((amount, base.tuning_epochs) for amount in tuned), *((amount, 0) for amount in bare)]))


def described(model: nn.Module) -> dict[str, float]:
    """What the weights say. Kurtoses are Pearson's, amounts and shares in [0, 1]; nan where one is undefined.

    `kurtosis` is pooled as the paper's, `kurtosis_about_zero` n sum(w^4) / sum(w^2)^2, and `kurtosis_of_layers` the
    mean over the tensors of two or more dimensions, which does not see their scales. `effective` and `effective_half`
    are the shares beyond the effective number of weights for scores |w| and |w|^(1/2) (see `rules`).
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
        "layer_spread": spread_of_layers(model),
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
    """A row, without its run, for each of the jobs of a trained parent."""
    before, chosen = evaluate(model, test), variant.config(base)
    known = {"variant": variant.name, "moved": variant.moved, "parent_epochs": chosen.epochs, **described(model)}
    named = {"network": NETWORK, "data": test.name, "seed": seed, "method": METHOD, **known}
    for amount, epochs in jobs:
        row = pruned(model, before, METHOD, amount, training, test, FINE_TUNING + seed, base.tuning, epochs)
        yield {**named, **row, "device": training.images.device.type}


def record(out: Path, data: str, variant: Variant, seed: int, jobs: Jobs | None = None) -> int:
    """Add to the table every row of a variant and seed that it lacks, on one thread; return how many those were."""
    base, training, test = base_plan(data), load(data, True), load(data, False)
    settings = json.loads(json.dumps({
        "network": NETWORK, "data": test.name, "data_sha256": {"train": training.sha256, "test": test.sha256},
        "seed": seed, "method": METHOD, "variant": asdict(variant), **variant.config(base).settings(),
        "source_sha256": source_hash(MODULES), "device": "cpu",
    }))  # fmt: skip
    began, (run, there, before) = time.perf_counter(), _there(out, settings)
    missing = tuple(job for job in jobs or jobs_of(base) if job not in there)
    if not missing:
        return 0
    with one_thread():
        model = trained(NETWORK, variant, seed, base, training)
        settings["parent_sha256"] = weights_hash(model.state_dict())
        run = record_run(out, settings)
        for row in measure(model, variant, seed, base, training, test, missing):
            append_row(out, {name: {**row, "run": run}[name] for name in ROW}, unless=KEY)
    record_run(out, settings, before + time.perf_counter() - began)
    return len(missing)


def _there(out: Path, settings: dict[str, Any]) -> tuple[str | None, set[tuple[float, int]], float]:
    """The run of these settings, which only lack the parent's hash, its jobs in the table, and its seconds so far."""
    for run, facts in provenance(out).items():
        if all(facts.get(name) == value for name, value in settings.items()):
            rows = read(out) if out.exists() and out.stat().st_size else None
            mine = None if rows is None else rows[rows["run"] == run]
            done = set() if mine is None else set(zip(mine["amount"], mine["epochs"], strict=True))
            return run, done, facts.get("wall_seconds", 0.0)
    return None, set(), 0.0


def fresh(preset: str, device: str, seed: int) -> pd.DataFrame:
    """Rows measured on the spot, on digits: `quick` (all variants, two seeds) or `tiny` (a variant a kind, seconds)."""
    base, variants, seeds = base_plan("digits"), VARIANTS, (seed, seed + 1)
    jobs, processes = jobs_of(base), os.cpu_count() or 1
    if preset == "tiny":
        base, seeds, jobs, processes = replace(base, epochs=1), (seed,), jobs_of(base, (0.0, 0.5, 0.9), ()), 1
        variants = tuple({variant.moved: variant for variant in VARIANTS}.values())
    tasks = [(variant, each, base, jobs, device) for each in seeds for variant in variants]
    with cluster("loky", 1 if device != "cpu" else processes), closing(spread(_fresh, tasks)) as done:
        parts = {part["run"].iloc[0]: part for part in done}
    return pd.concat([parts[_name(variant, each)] for variant, each, *_ in tasks], ignore_index=True)


def _fresh(variant: Variant, seed: int, base: ExperimentConfig, jobs: Jobs, device: str) -> pd.DataFrame:
    training, test = load("digits", True, device), load("digits", False, device)
    with one_thread():
        model = trained(NETWORK, variant, seed, base, training)
        rows = list(measure(model, variant, seed, base, training, test, jobs))
    return pd.DataFrame(rows).assign(run=_name(variant, seed))


def _name(variant: Variant, seed: int) -> str:
    """What stands for the run of a parent that is not recorded."""
    return f"{variant.name}, seed {seed}"


@command_line
def main(arguments: list[str] | None = None) -> None:
    """The command line."""
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
    tasks = [(chosen.out, chosen.data, variant, seed) for seed in chosen.seeds for variant in VARIANTS]
    with cluster("loky", chosen.jobs), closing(spread(record, tasks)) as done:
        for number, rows in enumerate(done, 1):
            print(f"{number} of {len(tasks)} parents, {rows} new rows", flush=True)


if __name__ == "__main__":
    main()
