"""Errors of pruning rules: their amount compared with the largest that L1 can prune, and the accuracy lost at it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...analysis import analyze
from ...pareto import CAREFUL_COSINE
from ...rules import CONSTANT_AMOUNT, RULES, knee_amount, recommendations
from ..display_names import sweep_display_name
from . import accuracy_cost

COLUMNS = ("network", "parent_sha256", "seed", "rule", "amount", "most", "most_untuned", "lost", "lost_untuned")


def recommended_amounts(record: dict[str, Any], folder: str | Path) -> dict[str, float]:
    """Return the amount of each rule for a recorded parent; nan if unknown.

    The amounts come from the record. It may lack newer rules: theirs come from the weights in or below `folder` or,
    without these, from the recorded front.
    """
    told = {name: np.nan if amount is None else amount for name, amount in record["trained"].get("rules", {}).items()}
    known = told if told.keys() >= RULES.keys() else _from_weights(record, folder) | told
    return {name: known.get(name, np.nan) for name in RULES}


def _from_weights(record: dict[str, Any], folder: str | Path) -> dict[str, float]:
    name = f"{record['network']}-{record['data']}-seed{record['seed']}"
    for path in Path(folder).rglob(f"{name}.safetensors"):
        analysis = analyze(path)
        if _same(analysis.to_dict(), record["trained"]["analysis"]):
            return recommendations(analysis)
    return amounts_from_front(record["trained"]["analysis"])


def _same(found: dict[str, Any], recorded: dict[str, Any]) -> bool:
    """Return True if both analyses are of the same weights; the kurtosis of another parent differs."""
    return found["n_parameters"] == recorded["n_parameters"] and bool(
        np.isclose(found["kurtosis"], recorded["kurtosis"], rtol=1e-9)
    )


def amounts_from_front(analysis: dict[str, Any]) -> dict[str, float]:
    """Return the amounts of the rules that need only a front on a grid."""
    amount, cosine = (np.array(analysis["front"][name]) for name in ("amount", "cosine"))
    return {
        "utopia": analysis["optimal"]["amount"],
        "safe": analysis["safe"]["amount"] if analysis["safe"] else np.nan,
        "cosine 0.99": float(np.interp(-CAREFUL_COSINE, -cosine, amount)),
        "knee": knee_amount(amount, cosine),
        "constant": CONSTANT_AMOUNT,
    }


def compare_rules(
    sweeps: Iterable[pd.DataFrame],
    parents: Iterable[dict[str, Any]],
    folder: str | Path,
    cost: float = accuracy_cost.COST,
) -> pd.DataFrame:
    """Return a row for each rule and parent of the sweeps (`tables.with_facts`), with the columns `COLUMNS`.

    `amount`: the rule's amount. `most`: the largest amount of L1 pruning at this `cost` of accuracy after fine-tuning.
    `lost`: accuracy lost at the rule's amount (nan outside the measured ones). `most_untuned` and `lost_untuned`: the
    same just after pruning. Amounts and accuracies are shares.
    """
    known, rows = {record["parent_sha256"]: record for record in parents}, []
    for sweep in sweeps:
        for sha, part in sweep.loc[sweep["method"] == "l1"].groupby("parent_sha256"):
            most, untuned = (accuracy_cost.largest_amount(part, cost, y) for y in ("accuracy", "accuracy_pruned"))
            for rule, amount in recommended_amounts(known[str(sha)], folder).items():
                lost = [accuracy_cost.cost_at(part, [amount], y)[0] for y in ("accuracy", "accuracy_pruned")]
                rows.append(
                    (sweep_display_name(sweep), sha, int(part["seed"].iloc[0]), rule, amount, most, untuned, *lost)
                )
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def against_constant(rows: pd.DataFrame, target: str = "most") -> dict[str, np.ndarray]:
    """Return rule -> its mean absolute error over a network's parents minus that of the constant, a value per network.

    Errors are shares. Only parents with an amount of the rule count, and only networks with such a parent.
    """
    found = {}
    for rule in RULES:
        if rule != "constant":
            errors = [_gains(part, rule, target) for _, part in rows.groupby("network", sort=False)]
            found[rule] = np.array([each.mean() for each in errors if each.size])
    return found


def _gains(rows: pd.DataFrame, rule: str, target: str) -> np.ndarray:
    """Return the rule's absolute error minus the constant's, one value per parent of a network."""
    errors = rows.assign(error=(rows["amount"] - rows[target]).abs()).pivot(
        index="parent_sha256", columns="rule", values="error"
    )
    return (errors[rule] - errors["constant"]).dropna().to_numpy()
