"""What became of networks that were pruned as `wmgp analyze` recommends: the range that its last lines give.

`python -m wmgp.experiments.outcomes` reads all sweeps of `results/` and writes it into the package, for whoever has
installed that has no results.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import report
from ..errors import InputError
from . import history, results, rule_errors
from .files import write_aside

LINES = {"optimal": "utopia", "safe": "safe", "cosine 0.99": "cosine 0.99"}  # of the report, and the rule behind each
TUNED, UNTUNED = "lost", "lost_untuned"
POINTS = 100


def measured(rows: pd.DataFrame) -> dict[str, Any]:
    """From rows of `rule_errors.compared`: `networks`, `parents`, and for each line of the report accuracy `lost`.

    That is the least and the most of the networks' means, in points of accuracy to a tenth, after an epoch of
    fine-tuning ("tuned") and just after pruning ("untuned"). A network counts once, however many parents it has.
    """
    lost = {}
    for line, rule in LINES.items():
        parts = [part for _, part in rows.loc[rows["rule"] == rule].groupby("network")]
        lost[line] = {
            name: _ends([part[y].mean() for part in parts]) for name, y in (("tuned", TUNED), ("untuned", UNTUNED))
        }
    networks = sorted(set(rows["network"]))
    return {"networks": networks, "parents": len(set(rows["parent_sha256"])), "lost": lost}


def _ends(lost: Sequence[float]) -> list[float]:
    return [round(POINTS * float(end), 1) + 0.0 for end in (np.nanmin(lost), np.nanmax(lost))]  # + 0.0: no minus zero


def collected(folder: Path) -> dict[str, Any]:
    """`measured`, of all that is recorded in a folder with one epoch of fine-tuning."""
    sweeps = [rows for _, rows in results.sweeps(folder) if rows["epochs"].iloc[0] == 1]
    if not sweeps:
        raise InputError(f"{folder}: expected a table of a sweep with one epoch of fine-tuning")
    return measured(rule_errors.compared(sweeps, history.records(folder / "parents"), folder / "parents"))


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m wmgp.experiments.outcomes", description="What the report ends with.")
    parser.add_argument("--results", type=Path, default=Path("results"), help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=report.OUTCOMES, help="(default: in the package)")
    chosen = parser.parse_args(arguments)
    try:
        found = collected(chosen.results)
    except InputError as error:
        parser.error(str(error))
    write_aside(chosen.out, json.dumps(found, indent=1, allow_nan=False).encode() + b"\n")


if __name__ == "__main__":
    main()
