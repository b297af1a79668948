"""Format numbers, intervals, seeds and amounts for the book's tables."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import numpy as np


def format_interval(value: float, low: float, high: float, form: str = ".3f") -> str:
    """Return a value and its interval as text: only the value if the ends are nan, "" if the value is nan."""
    if np.isnan(value):
        return ""
    form = _without_minus_zero(form)
    return f"{value:{form}}" + (f" ({low:{form}} to {high:{form}})" if not np.isnan(low) else "")


def format_mean_range(values: Iterable[float | None], form: str) -> str:
    """Return the mean and range of the values that are not None as text; "undefined" without any."""
    known = [value for value in values if value is not None]
    if not known:
        return "undefined"
    shown = _without_minus_zero(form)
    several = f"{min(known):{shown}}" != f"{max(known):{shown}}"
    return format_interval(float(np.mean(known)), *((min(known), max(known)) if several else (np.nan, np.nan)), form)


def _without_minus_zero(form: str) -> str:
    """Return the format with the option that prints -0.0 as 0.0."""
    return f"+z{form[1:]}" if form.startswith("+") else f"z{form}"


def format_integer_ranges(numbers: Iterable[int]) -> str:
    """Return whole numbers as ranges: 0, 1, 3, 4, 5 as `0-1 3-5`."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return " ".join("-".join(map(str, part)) for part in parts)


def format_amounts(amounts: Iterable[float]) -> str:
    """Return equally spaced amounts as `FIRST:LAST:STEP`, then the amounts between; without a grid, every amount."""
    found = sorted({round(amount, 9) for amount in amounts})
    if len(found) > 2:
        step = Counter(round(b - a, 9) for a, b in pairwise(found)).most_common(1)[0][0]
        grid = [round(found[0] + i * step, 9) for i in range(round((found[-1] - found[0]) / step) + 1)]
        between = sorted(set(found) - set(grid))
        if set(grid) <= set(found) and len(grid) > max(2, len(between)):
            return " ".join([f"{grid[0]:g}:{grid[-1]:g}:{step:g}", *(f"{amount:g}" for amount in between)])
    return " ".join(f"{amount:g}" for amount in found)
