"""Parse an amount: optimal, safe, careful, cosine=0.99, or a share in [0, 1]."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    from .analysis import Analysis
    from .pareto import Point


def parse_amount(amount: str, method: str = "l1") -> "Callable[[Analysis], Point]":
    """Return the function that picks the amount's point of an analysis.

    Raises `InputError` for an invalid amount, and for an amount that depends on the cosine if `method` is not "l1".

    Example:
        >>> import numpy as np, wmgp
        >>> from wmgp.amounts import parse_amount
        >>> parse_amount("cosine=0.75")(wmgp.analyze({"a.weight": np.array([3.0, -4.0])})).amount
        0.5
    """
    kind, _, number = amount.rpartition("=")
    share = None if amount in NAMED_POINTS else _parse_share(number)
    if amount not in NAMED_POINTS and (share is None or kind not in ("", "cosine")):
        raise InputError(
            f"amount {amount!r}: expected optimal, safe, careful, a share in [0, 1] such as 0.7, or cosine=0.99"
        )
    if method != "l1" and (kind or amount == "careful"):
        raise InputError(f"amount {amount!r}: the cosine of a prune is known beforehand for method l1 only")
    if share is None:
        return NAMED_POINTS[amount]
    return lambda analysis: analysis.at_cosine(share) if kind else analysis.at_amount(share)


def _parse_share(number: str) -> float | None:
    try:
        value = float(number)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _safe_point(analysis: "Analysis") -> "Point":
    if analysis.safe is None:
        raise InputError(f"{analysis.source}: has no safe amount: its kurtosis of kurtoses is undefined")
    return analysis.safe


NAMED_POINTS: "dict[str, Callable[[Analysis], Point]]" = {
    "optimal": lambda analysis: analysis.optimal,
    "safe": _safe_point,
    "careful": lambda analysis: analysis.careful,
}
