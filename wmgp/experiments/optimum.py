"""What rows of a sweep say of an amount that was chosen from the weights alone."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import InputError
from .ranks import spearman

COST = 0.01  # one percentage point of accuracy
TWO_SIDED = 1.959964  # the normal's quantile of 0.975


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


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Spearman's rank correlation of n pairs with a 95% interval: value, low, high.

    Of Fisher's transform, normal with the variance (1 + value^2 / 2) / (n - 3) (Bonett & Wright 2000). Ends are nan for
    fewer than 5 pairs, and the value itself where all are in order; all is nan where x or y is constant.
    """
    a, b = (np.asarray(each, dtype=float) for each in (x, y))
    value = spearman(a, b)
    if len(a) < 5 or np.isnan(value):
        return value, float("nan"), float("nan")
    half = TWO_SIDED * np.sqrt((1 + value**2 / 2) / (len(a) - 3))
    with np.errstate(divide="ignore"):  # of those all in order it is infinite
        middle = np.arctanh(np.clip(value, -1, 1))
    low, high = np.tanh([middle - half, middle + half]).tolist()
    return value, low, high
