"""The accuracy that an amount costs, and the largest amount at a given cost, from the rows of a sweep."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...errors import InputError

COST = 0.01  # one percentage point of accuracy


def largest_amount(rows: pd.DataFrame, cost: float = COST, y: str = "accuracy") -> float:
    """Return the amount at which `y` first falls `cost` below the parent's accuracy.

    Linear interpolation between measured amounts makes it independent of the grid's step. `rows`: of one parent and one
    method. The result is the largest measured amount if no amount costs more, and 0 if the smallest already does.
    """
    rows = _single(rows)
    amount, lost = rows["amount"].to_numpy(), (rows["accuracy_parent"] - rows[y]).to_numpy()
    dear = lost > cost
    i = int(dear.argmax())
    if not dear.any():
        return float(amount[-1])
    return float(np.interp(cost, lost[i - 1 : i + 1], amount[i - 1 : i + 1])) if i else 0.0


def cost_at(rows: pd.DataFrame, amounts: Sequence[float] | np.ndarray, y: str = "accuracy") -> np.ndarray:
    """Return the parent's accuracy minus `y` at these amounts, interpolated linearly; nan outside the measured ones.

    `rows`: of one parent and one method. A gain is negative.
    """
    rows = _single(rows)
    lost = (rows["accuracy_parent"] - rows[y]).to_numpy()
    return np.interp(np.atleast_1d(amounts), rows["amount"].to_numpy(), lost, left=np.nan, right=np.nan)


def _single(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows sorted by amount. Raises InputError if they are not of one parent and one method."""
    parent = "parent_sha256" if "parent_sha256" in rows else "run"  # a parent may have several runs
    if len(set(rows[parent])) != 1 or len(set(rows["method"])) != 1:
        raise InputError("rows: expected those of one parent and one method")
    return rows.sort_values(by="amount")
