"""From a measured number with its interval, and the limits set for it, to a verdict and a sentence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..collapse import Interval
from ..results import worded

REPRODUCED, IN_PART, NOT, UNTESTED = VERDICTS = (
    "reproduced", "reproduced in part", "not reproduced", "not testable here",
)  # fmt: skip
FEWEST = 5  # seeds for an interval
DRAWS = 2000


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

    `published` is None where the paper gives no figure; numbers are in the unit that `claim` names. `n_seeds` is 0 for
    weights that were not trained here. `exact`: nothing is left to chance, so that the number of seeds does not matter.
    `sources` are files of `results/`, and `commits` those that measured.
    """

    id: str
    key: str
    claim: str
    subject: str
    published: float | None
    measured: float
    low: float
    high: float
    n_seeds: int
    form: str
    limits: Limits
    data: str
    notebook: str
    command: str
    sources: tuple[str, ...]
    commits: tuple[str, ...]
    note: str = ""
    exact: bool = False

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        return verdict((self.measured, self.low, self.high), self.n_seeds, self.limits, self.exact)

    @property
    def ours(self) -> str:
        """The number with its interval, as a table shows it."""
        return worded(self.measured, self.low, self.high, self.form)

    @property
    def sentence(self) -> str:
        """The verdict in plain words, and what it rests on."""
        return f"{self.verdict.capitalize()}: {self._why()} {self.note}".strip()

    def _why(self) -> str:
        if self.verdict == UNTESTED:
            return "not measured yet." if self.limits.testable else self.limits.reason
        expected = f"expected {self.limits.words(self.form)}"
        if self.verdict != IN_PART:
            return f"{self.ours}, {expected}."
        if self.n_seeds < FEWEST:
            many = "one seed gives" if self.n_seeds == 1 else f"{self.n_seeds} seeds give"
            return f"{self.ours}, {expected}; {many} no interval."
        return f"{self.ours}, {expected}; the interval reaches beyond."


def verdict(found: Interval, n_seeds: int, limits: Limits, exact: bool = False) -> str:
    """Reproduced where all of the interval lies within the limits, not reproduced where none of it does.

    Fewer than `FEWEST` seeds give no interval: outside is not reproduced, inside only in part. Where it is `exact` the
    value decides. Not testable where there is no value, or no limit.
    """
    value, low, high = found
    if np.isnan(value) or not limits.testable:
        return UNTESTED
    if exact or np.isnan(low):
        inside = limits.low <= value <= limits.high
        return NOT if not inside else REPRODUCED if exact or n_seeds >= FEWEST else IN_PART
    if low >= limits.low and high <= limits.high:
        return REPRODUCED
    return NOT if high < limits.low or low > limits.high else IN_PART


def together(verdicts: Sequence[str]) -> str:
    """Of several: what all that could be tested say alike, and otherwise in part."""
    tested = {each for each in verdicts if each != UNTESTED}
    if not tested:
        return UNTESTED
    return tested.pop() if len(tested) == 1 else IN_PART


def mean(values: Iterable[float], seed: int = 0) -> Interval:
    """The mean of a value a seed, with a 95% percentile bootstrap interval over the seeds.

    (Efron & Tibshirani 1993, section 13.3.) Ends are nan for fewer than `FEWEST` seeds; all is nan for none.
    """
    known = np.asarray(list(values), dtype=float)
    known = known[np.isfinite(known)]
    if not known.size:
        return float("nan"), float("nan"), float("nan")
    if known.size < FEWEST:
        return float(known.mean()), float("nan"), float("nan")
    drawn = np.random.default_rng(seed).choice(known, (DRAWS, known.size)).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return float(known.mean()), low, high
