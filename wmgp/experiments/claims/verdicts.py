"""From a measured number with its interval, and the limits set for it, to a verdict and a sentence."""

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
    """A measured number, both ends of its 95% interval, and of the single seeds their number, least and largest value.

    Only seeds whose value is known count. Ends are nan for fewer than `MIN_SEEDS` of them, all is nan for none.
    """

    value: float
    low: float
    high: float
    n: int
    least: float
    largest: float


NOTHING = Estimate(np.nan, np.nan, np.nan, 0, np.nan, np.nan)


def mean(values: Iterable[float]) -> Estimate:
    """The mean of a value a seed, with Student's t interval (`results.mean_interval`); nan and infinity are unknown."""
    known = np.asarray(list(values), dtype=float)
    known = known[np.isfinite(known)]
    if not known.size:
        return NOTHING
    value, low, high = mean_interval(known)
    if known.size < MIN_SEEDS:
        low = high = np.nan
    return Estimate(value, low, high, known.size, float(known.min()), float(known.max()))


def geometric(values: Iterable[float]) -> Estimate:
    """The geometric mean of a positive value a seed: `mean` of the logarithms, taken back."""
    value, low, high, n, least, largest = mean(np.log(list(values)))
    value, low, high, least, largest = np.exp([value, low, high, least, largest]).tolist()
    return Estimate(value, low, high, n, least, largest)


def single(value: float) -> Estimate:
    """A number that no seed trained here has a part in."""
    return Estimate(value, np.nan, np.nan, 0, value, value)


@dataclass(frozen=True)
class Limits:
    """What a measured number has to lie in, ends included, and why; both ends infinite where nothing can be said."""

    low: float
    high: float
    reason: str

    @property
    def testable(self) -> bool:
        """Whether there is a limit at all."""
        return bool(np.isfinite([self.low, self.high]).any())

    def words(self, form: str) -> str:
        """Such as "0.81 to 0.85" or "at least 0.9"; nothing where there is none."""
        low, high = f"{self.low:{form}}", f"{self.high:{form}}"
        if np.isfinite(self.low) and np.isfinite(self.high):
            return f"{low} to {high}" if self.low < self.high else low
        return f"at least {low}" if np.isfinite(self.low) else f"at most {high}" if self.testable else ""


@dataclass(frozen=True)
class Row:
    """A measured number beside the published one.

    `published` is None where the paper gives no figure; numbers are in the unit that `claim` names. `exact`: nothing is
    left to chance, so that the number of seeds does not matter. `missing` says why there is no number, where there is
    none. `sources` are files of `results/`, and `commits` those that measured.
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
        """One of `VERDICTS`."""
        return verdict(self.found, self.limits, self.exact)

    @property
    def ours(self) -> str:
        """The number with its interval, as a table shows it."""
        return format_interval(*self.found[:3], self.form)

    @property
    def sentence(self) -> str:
        """The verdict in plain words, and what it rests on."""
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
    """Reproduced where all of the interval lies within the limits, not reproduced where none of it does.

    Fewer than `MIN_SEEDS` seeds give no interval: not reproduced where all of them lie outside on one side, and else in
    part. Where it is `exact` the value decides. Not testable where there is no value, or no limit.
    """
    if np.isnan(found.value) or not limits.testable:
        return UNTESTED
    few = np.isnan(found.low) and not exact
    low, high = (found.value,) * 2 if exact else found[-2:] if few else found[1:3]
    if high < limits.low or low > limits.high:
        return NOT
    return REPRODUCED if limits.low <= low and high <= limits.high and not few else IN_PART


def combined_verdict(verdicts: Sequence[str]) -> str:
    """Of several: what all that could be tested say alike, and otherwise in part."""
    tested = {each for each in verdicts if each != UNTESTED}
    if not tested:
        return UNTESTED
    return tested.pop() if len(tested) == 1 else IN_PART
