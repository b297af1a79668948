"""Verdicts: compare a measured value and its interval with limits, and explain the result in a sentence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..results.formatting import format_interval
from ..statistics.intervals import MIN_SEEDS, mean_interval

REPRODUCED, IN_PART, NOT, UNTESTED = VERDICTS = (
    "reproduced", "reproduced in part", "not reproduced", "not testable here",
)  # fmt: skip


class Estimate(NamedTuple):
    """A measured value, the ends of its 95% interval, and the number, least and largest value of the seeds.

    Only seeds with a known value count. The ends are nan for fewer than `MIN_SEEDS` seeds; without seeds all is nan.
    """

    value: float
    low: float
    high: float
    n: int
    least: float
    largest: float


NO_ESTIMATE = Estimate(np.nan, np.nan, np.nan, 0, np.nan, np.nan)


def mean(values: Iterable[float]) -> Estimate:
    """Return the mean of one value per seed with its t interval (`mean_interval`); nan and infinity are unknown."""
    known = np.asarray(list(values), dtype=float)
    known = known[np.isfinite(known)]
    if not known.size:
        return NO_ESTIMATE
    value, low, high = mean_interval(known)
    if known.size < MIN_SEEDS:
        low = high = np.nan
    return Estimate(value, low, high, known.size, float(known.min()), float(known.max()))


def geometric(values: Iterable[float]) -> Estimate:
    """Return the geometric mean of one positive value per seed: the exponential of the logarithms' `mean`."""
    value, low, high, n, least, largest = mean(np.log(list(values)))
    value, low, high, least, largest = np.exp([value, low, high, least, largest]).tolist()
    return Estimate(value, low, high, n, least, largest)


def single(value: float) -> Estimate:
    """Return the estimate of a value that does not depend on a seed."""
    return Estimate(value, np.nan, np.nan, 0, value, value)


@dataclass(frozen=True)
class Limits:
    """The range of a measured value, ends included, and its reason; both ends are infinite if there is no limit."""

    low: float
    high: float
    reason: str

    @property
    def testable(self) -> bool:
        """Return True if there is a limit."""
        return bool(np.isfinite([self.low, self.high]).any())

    def words(self, form: str) -> str:
        """Return the limits as text, such as "0.81 to 0.85" or "at least 0.9"; empty without limits."""
        low, high = f"{self.low:{form}}", f"{self.high:{form}}"
        if np.isfinite(self.low) and np.isfinite(self.high):
            return f"{low} to {high}" if self.low < self.high else low
        return f"at least {low}" if np.isfinite(self.low) else f"at most {high}" if self.testable else ""


@dataclass(frozen=True)
class Row:
    """A measured value and the published one.

    `published` is None if the paper gives no value. Values are in the unit that `claim` names. `exact`: the value is
    deterministic, and the number of seeds does not matter. `missing` explains a missing value. `sources` are files of
    `results/`, and `commits` are the commits that measured them.
    """

    id: str
    key: str
    claim: str
    subject: str
    published: float | None
    found: Estimate
    form: str
    limits: Limits
    data: str
    notebook: str
    command: str
    sources: tuple[str, ...]
    commits: tuple[str, ...]
    note: str = ""
    exact: bool = False
    missing: str = "not measured yet."

    @property
    def verdict(self) -> str:
        """Return one of `VERDICTS`."""
        return verdict(self.found, self.limits, self.exact)

    @property
    def ours(self) -> str:
        """Return the value with its interval, as a table shows it."""
        return format_interval(*self.found[:3], self.form)

    @property
    def sentence(self) -> str:
        """Return the verdict, its reason and the note."""
        return f"{self.verdict.capitalize()}: {self._why()} {self.note}".strip()

    def _why(self) -> str:
        if self.verdict == UNTESTED:
            return self.missing if np.isnan(self.found.value) else f"{self.ours}. {self.limits.reason}"
        expected = f"expected {self.limits.words(self.form)}"
        if self.verdict != IN_PART:
            return f"{self.ours}, {expected}."
        if self.found.n < MIN_SEEDS:
            many = "one seed gives" if self.found.n == 1 else f"{self.found.n} seeds give"
            sides = "" if self.limits.low <= self.found.value <= self.limits.high else ", and not all lie outside"
            return f"{self.ours}, {expected}; {many} no interval{sides}."
        return f"{self.ours}, {expected}; the interval reaches beyond."


def verdict(found: Estimate, limits: Limits, exact: bool = False) -> str:
    """Return "reproduced" if the interval lies within the limits, "not reproduced" if outside, else in part.

    Fewer than `MIN_SEEDS` seeds give no interval: the verdict is "not reproduced" if all seeds lie outside on one
    side, else in part. If `exact`, the value decides. Without a value or a limit, the claim is not testable.
    """
    if np.isnan(found.value) or not limits.testable:
        return UNTESTED
    few = np.isnan(found.low) and not exact
    low, high = (found.value,) * 2 if exact else found[-2:] if few else found[1:3]
    if high < limits.low or low > limits.high:
        return NOT
    return REPRODUCED if limits.low <= low and high <= limits.high and not few else IN_PART


def combined_verdict(verdicts: Sequence[str]) -> str:
    """Return the verdict shared by all testable ones, "reproduced in part" if they differ."""
    tested = {each for each in verdicts if each != UNTESTED}
    if not tested:
        return UNTESTED
    return tested.pop() if len(tested) == 1 else IN_PART
