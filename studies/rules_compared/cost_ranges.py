"""Ranges of the accuracy lost by networks pruned as `wmgp analyze` recommends, shown in the last lines of its report.

`python -m studies.rules_compared.cost_ranges` reads all sweeps of `results/` and writes the ranges into the package,
because an installed package has no `results/`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wmgp import report
from wmgp.errors import InputError, exit_on_input_error
from wmgp.experiments.results import tables
from wmgp.experiments.statistics import rule_errors
from wmgp.experiments.training import history
from wmgp.io.atomic import write_atomic

# Words of the report -> rules.
REPORT_LINES = {
    "optimal": ["utopia"],
    "safe": ["safe"],
    "cosine 0.99": ["cosine 0.99"],
    "the smaller of these two": ["safe", "cosine 0.99"],
}
COST_COLUMNS = {"tuned": "lost", "untuned": "lost_untuned"}
PERCENTAGE_POINTS = 100


def cost_ranges(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the number of networks and, for each of `REPORT_LINES`, the accuracy `lost`.

    `rows`: from `rule_errors.compare_rules`. `lost` is the minimum and maximum of the networks' means, in percentage
    points rounded to 0.1, after an epoch of fine-tuning ("tuned") and just after pruning ("untuned"). `networks` counts
    networks with a known cost. All parents of a network count once. An architecture on another data set or from another
    start is another network, so there are fewer `architectures`.
    """
    networks = {name: len(set(rows.dropna(subset=[y])["network"])) for name, y in COST_COLUMNS.items()}
    networks["architectures"] = len(set(rows["architecture"]))
    return {
        "networks": networks,
        "lost": {line: _range_over_networks(smallest_amounts(rows, rules)) for line, rules in REPORT_LINES.items()},
    }


def smallest_amounts(rows: pd.DataFrame, rules: Sequence[str]) -> pd.DataFrame:
    """Return for each parent its row with the smallest defined amount among these rules."""
    known = rows.loc[rows["rule"].isin(list(rules))].dropna(subset=["amount"])
    return known.loc[known.groupby("parent_sha256")["amount"].idxmin()]


def _range_over_networks(rows: pd.DataFrame) -> dict[str, list[float]]:
    parts = [part for _, part in rows.groupby("network")]
    means = {name: [part[y].mean() for part in parts] for name, y in COST_COLUMNS.items()}
    ends = {name: (np.nanmin(each), np.nanmax(each)) for name, each in means.items()}
    return {
        name: [round(PERCENTAGE_POINTS * float(end), 1) + 0.0 for end in both] for name, both in ends.items()
    }  # + 0.0 turns -0.0 into 0.0


def read_cost_ranges(folder: Path) -> dict[str, Any]:
    """Return `cost_ranges` of all sweeps in a folder with at most one epoch of fine-tuning. InputError if none."""
    found = []
    for _, rows in tables.sweeps(folder):
        epochs = rows["epochs"].iloc[0]
        if epochs <= 1:
            one = rule_errors.compare_rules([rows], history.read_parent_records(folder / "parents"), folder / "parents")
            one = one.assign(architecture=rows["network"].iloc[0])
            found.append(one if epochs else one.assign(lost=np.nan))
    if not found:
        raise InputError(f"{folder}: expected a table of a sweep with one epoch of fine-tuning")
    return cost_ranges(pd.concat(found, ignore_index=True))


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        "python -m studies.rules_compared.cost_ranges", description="What the report ends with."
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=report.OUTCOMES, help="(default: in the package)")
    chosen = parser.parse_args(arguments)
    found = read_cost_ranges(chosen.results)
    write_atomic(chosen.out, json.dumps(found, indent=1, allow_nan=False).encode() + b"\n")


if __name__ == "__main__":
    main()
