"""Amounts in words: optimal, safe, careful, cosine=0.99, or a share."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    from .analysis import Analysis
    from .pareto import Point


def parse_amount(words: str, method: str = "l1") -> "Callable[[Analysis], Point]":
    """What the words ask of an analysis; `InputError` at once where they, or they with this method, mean nothing."""
    kind, _, number = words.rpartition("=")
    share = None if words in NAMED_POINTS else _parse_share(number)
    if words not in NAMED_POINTS and (share is None or kind not in ("", "cosine")):
        raise InputError(
            f"amount {words!r}: expected optimal, safe, careful, a share in [0, 1] such as 0.7, or cosine=0.99"
        )
    if method != "l1" and (kind or words == "careful"):
        raise InputError(f"amount {words!r}: the cosine of a prune is known beforehand for method l1 only")
    if share is None:
        return NAMED_POINTS[words]
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
