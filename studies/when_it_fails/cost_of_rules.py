"""The accuracy lost at the amounts that the rules recommend, by pruning method, from the rows of a sweep."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from wmgp.experiments.statistics import accuracy_cost, rule_errors
from wmgp.pareto import CAREFUL_COSINE

COSINE_RULE = f"cosine {CAREFUL_COSINE}"


def recommended_amounts(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the amounts recommended for a recorded parent: optimal, safe, and at the cosine `CAREFUL_COSINE`."""
    asked = rule_errors.amounts_from_front(record["trained"]["analysis"])
    return {"optimal": asked["utopia"], "safe": asked["safe"], COSINE_RULE: asked["cosine 0.99"]}


def first_parent_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first parent."""
    return rows.loc[rows["parent_sha256"] == rows["parent_sha256"].iloc[0]]


def largest_amounts(rows: pd.DataFrame, cost: float, y: str) -> dict[str, float]:
    """Return by method the largest amount at the allowed cost of `y` (both in [0, 1]), for the first parent."""
    return {
        str(method): accuracy_cost.largest_amount(part, cost, y)
        for method, part in first_parent_rows(rows).groupby("method")
    }


def accuracy_lost(rows: pd.DataFrame, amounts: Mapping[str, float], y: str) -> dict[str, dict[str, float]]:
    """Return method -> name of an amount -> accuracy lost (share) at it by the first parent; a gain is negative.

    Values are linear between the measured amounts, and nan beyond them.
    """
    return {
        str(method): dict(zip(amounts, accuracy_cost.cost_at(part, list(amounts.values()), y).tolist(), strict=True))
        for method, part in first_parent_rows(rows).groupby("method")
    }


def accuracy_at(rows: pd.DataFrame, method: str, amount: float, y: str) -> float:
    """Return the first parent's accuracy at an amount, linear between the measured amounts; nan beyond them."""
    part = first_parent_rows(rows)
    part = part.loc[part["method"] == method]
    return float(part["accuracy_parent"].iloc[0] - accuracy_cost.cost_at(part, [amount], y)[0])


def first_emptied_tensor(rows: pd.DataFrame) -> dict[str, dict[str, Any] | None]:
    """Return by method the first parent's row of the smallest amount that empties a tensor, or None."""
    gone = {
        str(method): part.loc[part["min_survival"] == 0] for method, part in first_parent_rows(rows).groupby("method")
    }
    ordered = {method: part.sort_values(by="amount").to_dict("records") for method, part in gone.items()}
    return {method: next(iter(cells), None) for method, cells in ordered.items()}
