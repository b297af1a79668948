"""How much to prune, by rules that look at nothing but the weights: the paper's two, and others beside them.

Three of them are one family. With scores |w|^s the effective number of weights is (sum of scores)^2 / (sum of their
squares), the inverse Simpson index; a rule keeps so many and prunes the rest. s = 1/2 is the bound of the PQ index with
p = 1/2 and q = 1, s = 1 is Effective Model Pruning, and s = 2 is what kurtosis about zero says.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ._histogram.magnitudes import Magnitudes
from .pareto import CAREFUL_COSINE, Front, largest_amount

if TYPE_CHECKING:
    from .analysis import Analysis

CONSTANT_AMOUNT = 0.8  # what anybody might say without looking
ROUNDING_TOLERANCE = 1e-9  # of a number of weights: n equal ones count as n
SAP_LIMIT = 0.9  # of a single step of Sparsity-informed Adaptive Pruning (its beta)


@dataclass(frozen=True)
class RuleInput:
    """What a rule may look at: the pool's magnitudes, the front on its grid, the safe amount (None where undefined)."""

    magnitudes: Magnitudes
    front: Front
    safe: float | None
    unprunable_energy: float = 0.0


def utopia(inputs: RuleInput) -> float:
    """The amount of the front's point nearest to amount 1 and cosine 1 (Mason-Williams & Dahlqvist 2024, Figure 7)."""
    return inputs.front.optimal.amount


def safe(inputs: RuleInput) -> float:
    """The optimal amount over the logarithm of the kurtosis of kurtoses (their notebook), where that is defined."""
    return float("nan") if inputs.safe is None else inputs.safe


def advised_cosine(inputs: RuleInput) -> float:
    """The largest amount whose cosine is at least 0.99 (Mason-Williams & Dahlqvist 2024, without fine-tuning)."""
    return largest_amount(inputs.magnitudes, CAREFUL_COSINE, inputs.unprunable_energy)


def effective_pruning(inputs: RuleInput) -> float:
    """Keep ⌊N_eff⌋ of the scores |w| (Wang et al. 2025, Effective Model Pruning, arXiv:2509.25606)."""
    return _amount_keeping(effective_number(inputs.magnitudes, 1), inputs.magnitudes.n)


def effective_energy(inputs: RuleInput) -> float:
    """Keep ⌊N_eff⌋ of the scores w²: the share 1 / K of the weights, K their kurtosis about zero (here)."""
    return _amount_keeping(effective_number(inputs.magnitudes, 2), inputs.magnitudes.n)


def pq_index(inputs: RuleInput) -> float:
    """A step of Sparsity-informed Adaptive Pruning, p = 1/2, q = 1, eta = 0, gamma = 1 (Diao et al. 2023).

    Their bound keeps r = d (1 - I)^(pq / (q - p)) of d weights, where the PQ index is
    I = 1 - d^(1/q - 1/p) |w|_p / |w|_q; the step prunes floor(d min(1 - r / d, 0.9)) (arXiv:2302.05601, Algorithm 1).
    """
    n = inputs.magnitudes.n
    pruned = n * min(1 - effective_number(inputs.magnitudes, 0.5) / n, SAP_LIMIT)
    return float(np.floor(pruned + ROUNDING_TOLERANCE)) / n


def knee(inputs: RuleInput) -> float:
    """The front's point farthest from the chord between its ends (Satopaa et al. 2011, 10.1109/ICDCSW.2011.20)."""
    return float(inputs.front.amount[np.argmax(inputs.front.amount + inputs.front.cosine)])


def otsu(inputs: RuleInput) -> float:
    """Prune below the threshold that parts the magnitudes best (Otsu 1979, 10.1109/TSMC.1979.4310076).

    That is the one with the largest variance between what lies below it and what lies above.
    """
    levels = inputs.magnitudes
    value = level_rms(levels)
    share, mass = levels.below[1:-1] / levels.n, np.cumsum(levels.count * value)[:-1] / levels.n
    apart = np.diff(value) > 0  # equal values are not parted
    if not apart.any():
        return 0.0
    whole = float((levels.count * value).sum()) / levels.n
    between = (whole * share - mass) ** 2 / (share * (1 - share))
    return float(share[apart][np.argmax(between[apart])])


def constant(inputs: RuleInput) -> float:
    """80 percent, whatever the weights: what a rule has to beat."""
    return CONSTANT_AMOUNT


RULES: dict[str, Callable[[RuleInput], float]] = {
    "utopia": utopia,
    "safe": safe,
    "cosine 0.99": advised_cosine,
    "effective pruning": effective_pruning,
    "PQ index": pq_index,
    "effective energy": effective_energy,
    "knee": knee,
    "Otsu": otsu,
    "constant": constant,
}


def recommendations(analysis: "Analysis") -> dict[str, float]:
    """The amount in [0, 1] that each of `RULES` would prune, by the rule's name; nan where it is undefined."""
    safe = analysis.safe.amount if analysis.safe else None
    inputs = RuleInput(analysis.magnitudes, analysis.front, safe, analysis.unprunable_energy)
    return {name: rule(inputs) for name, rule in RULES.items()}


def effective_number(levels: Magnitudes, power: float) -> float:
    """(sum s)^2 / (sum s^2) of the scores s = |w|^power, at most n: n for equal magnitudes, 1 where one is not zero.

    Exact to 1e-6, as a level's values are taken for their root mean square. nan where all are zero.
    """
    score = level_rms(levels) ** power
    total = float((levels.count * score**2).sum())
    return min(float((levels.count * score).sum()) ** 2 / total, levels.n) if total else float("nan")


def level_rms(levels: Magnitudes) -> np.ndarray:
    """One magnitude for each level, its root mean square: levels are narrower than a thousandth of their values."""
    return np.sqrt(levels.energy / levels.count)


def _amount_keeping(number: float, n: int) -> float:
    """The amount that is pruned when floor(number) of n are kept."""
    return 1 - float(np.floor(number + ROUNDING_TOLERANCE)) / n
