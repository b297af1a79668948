"""What it costs to follow what a network's weights recommend, method by method: rows of a sweep of several methods."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from wmgp.experiments.statistics import accuracy_cost, rule_errors
from wmgp.pareto import CAREFUL_COSINE

COSINE_RULE = f"cosine {CAREFUL_COSINE}"


def recommended_amounts(record: Mapping[str, Any]) -> dict[str, float]:
    """The amounts that a recorded parent's weights recommend: the optimal, the safe, and that of the cosine advised."""
    asked = rule_errors.of_front(record["trained"]["analysis"])
    return {"optimal": asked["utopia"], "safe": asked["safe"], COSINE_RULE: asked["cosine 0.99"]}


def first_parent_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first parent among them."""
    return rows.loc[rows["parent_sha256"] == rows["parent_sha256"].iloc[0]]


def largest_amounts(rows: pd.DataFrame, cost: float, y: str) -> dict[str, float]:
    """The largest amount at the allowed cost of `y` (both shares), by method, of the first parent's rows."""
    return {
        str(method): accuracy_cost.largest_amount(part, cost, y)
        for method, part in first_parent_rows(rows).groupby("method")
    }


def accuracy_lost(rows: pd.DataFrame, amounts: Mapping[str, float], y: str) -> dict[str, dict[str, float]]:
    """Method -> name of an amount -> share of accuracy lost there, linear between the first parent's measured prunes.

    nan beyond the measured amounts; a gain is negative.
    """
    return {
        str(method): dict(zip(amounts, accuracy_cost.cost_at(part, list(amounts.values()), y).tolist(), strict=True))
        for method, part in first_parent_rows(rows).groupby("method")
    }


def accuracy_at(rows: pd.DataFrame, method: str, amount: float, y: str) -> float:
    """The accuracy of the first parent's prunes at an amount, linear between the measured ones; nan beyond them."""
    part = first_parent_rows(rows)
    part = part.loc[part["method"] == method]
    return float(part["accuracy_parent"].iloc[0] - accuracy_cost.cost_at(part, [amount], y)[0])


def first_emptied_tensor(rows: pd.DataFrame) -> dict[str, dict[str, Any] | None]:
    """By method the first parent's row with the smallest amount at which a tensor has nothing left, if there is one."""
    gone = {
        str(method): part.loc[part["min_survival"] == 0] for method, part in first_parent_rows(rows).groupby("method")
    }
    ordered = {method: part.sort_values(by="amount").to_dict("records") for method, part in gone.items()}
    return {method: next(iter(cells), None) for method, cells in ordered.items()}
