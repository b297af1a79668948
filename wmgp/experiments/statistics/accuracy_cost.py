"""What rows of a sweep say of an amount that was chosen from the weights alone."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...errors import InputError

COST = 0.01  # one percentage point of accuracy


def largest_amount(rows: pd.DataFrame, cost: float = COST, y: str = "accuracy") -> float:
    """The amount at which `y` has first lost `cost` of the parent's accuracy, linear between the measured ones.

    So the step of the grid does not decide it. `rows` of one parent and one method. Where so much is never lost the
    largest measured amount, and 0 where the smallest costs more already.
    """
    rows = _single(rows)
    amount, lost = rows["amount"].to_numpy(), (rows["accuracy_parent"] - rows[y]).to_numpy()
    dear = lost > cost
    i = int(dear.argmax())
    if not dear.any():
        return float(amount[-1])
    return float(np.interp(cost, lost[i - 1 : i + 1], amount[i - 1 : i + 1])) if i else 0.0


def cost_at(rows: pd.DataFrame, amounts: Sequence[float] | np.ndarray, y: str = "accuracy") -> np.ndarray:
    """Accuracy lost to the parent at these amounts, linear between the measured ones; nan beyond them.

    `rows` of one parent and one method; a gain is negative.
    """
    rows = _single(rows)
    lost = (rows["accuracy_parent"] - rows[y]).to_numpy()
    return np.interp(np.atleast_1d(amounts), rows["amount"].to_numpy(), lost, left=np.nan, right=np.nan)


def _single(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows by amount, once it is sure that they are of one parent and one method."""
    parent = "parent_sha256" if "parent_sha256" in rows else "run"  # which may have been measured in several runs
    if len(set(rows[parent])) != 1 or len(set(rows["method"])) != 1:
        raise InputError("rows: expected those of one parent and one method")
    return rows.sort_values(by="amount")
