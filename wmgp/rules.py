"""Rules that choose the amount from the weights alone: the paper's two rules and others for comparison.

Three rules form a family: they keep the effective number of weights, (sum of scores)^2 / (sum of squared scores), the
inverse Simpson index of the scores |w|^s. s = 1/2 gives the bound of the PQ index with p = 1/2 and q = 1; s = 1 gives
Effective Model Pruning; s = 2 gives n / kurtosis about zero.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ._histogram.magnitudes import Magnitudes
from .pareto import CAREFUL_COSINE, Front, largest_amount

if TYPE_CHECKING:
    from .analysis import Analysis

CONSTANT_AMOUNT = 0.8  # the baseline: ignores the weights
ROUNDING_TOLERANCE = 1e-9  # added before floor: n equal weights must count as n despite rounding
SAP_LIMIT = 0.9  # beta of Sparsity-informed Adaptive Pruning: the largest amount of a single step


@dataclass(frozen=True)
class RuleInput:
    """Input of a rule: the pool's magnitudes, the front on its grid, the safe amount (None if undefined)."""

    magnitudes: Magnitudes
    front: Front
    safe: float | None
    unprunable_energy: float = 0.0  # sum of squares outside the pool


def utopia(inputs: RuleInput) -> float:
    """The amount of the front's point nearest to amount 1, cosine 1 (Mason-Williams & Dahlqvist 2024, Figure 7)."""
    return inputs.front.optimal.amount


def safe(inputs: RuleInput) -> float:
    """The optimal amount over the logarithm of the kurtosis of kurtoses (the authors' notebook)."""
    return float("nan") if inputs.safe is None else inputs.safe


def advised_cosine(inputs: RuleInput) -> float:
    """The largest amount whose cosine is at least 0.99 (Mason-Williams & Dahlqvist 2024, without fine-tuning)."""
    return largest_amount(inputs.magnitudes, CAREFUL_COSINE, inputs.unprunable_energy)


def effective_pruning(inputs: RuleInput) -> float:
    """Keep ⌊N_eff⌋ of the scores |w| (Wang et al. 2025, Effective Model Pruning, arXiv:2509.25606)."""
    return _amount_keeping(effective_number(inputs.magnitudes, 1), inputs.magnitudes.n)


def effective_energy(inputs: RuleInput) -> float:
    """Keep ⌊N_eff⌋ of the scores w²: the share 1 / K of the weights, K their kurtosis about zero (this project)."""
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
    """The front's point farthest from the line between its ends (Satopaa et al. 2011, 10.1109/ICDCSW.2011.20)."""
    return knee_amount(inputs.front.amount, inputs.front.cosine)


def otsu(inputs: RuleInput) -> float:
    """Prune below the threshold that best splits magnitudes into two classes (Otsu 1979, 10.1109/TSMC.1979.4310076).

    The threshold maximizes the between-class variance of the magnitudes below and above it.
    """
    levels = inputs.magnitudes
    value = level_rms(levels)
    share, mass = levels.n_below[1:-1] / levels.n, np.cumsum(levels.count * value)[:-1] / levels.n
    separable = np.diff(value) > 0  # no threshold lies between equal values
    if not separable.any():
        return 0.0
    mean = float((levels.count * value).sum()) / levels.n
    between_class_variance = (mean * share - mass) ** 2 / (share * (1 - share))
    return float(share[separable][np.argmax(between_class_variance[separable])])


def constant(inputs: RuleInput) -> float:
    """Always 80 percent: the baseline that a rule has to beat."""
    return CONSTANT_AMOUNT


RULES: dict[str, Callable[[RuleInput], float]] = {
    "utopia": utopia,
    "safe": safe,
    f"cosine {CAREFUL_COSINE}": advised_cosine,
    "effective pruning": effective_pruning,
    "PQ index": pq_index,
    "effective energy": effective_energy,
    "knee": knee,
    "Otsu": otsu,
    "constant": constant,
}


def recommendations(analysis: "Analysis") -> dict[str, float]:
    """Map the name of each rule in `RULES` to its amount in [0, 1]; nan if undefined.

    Example:
        >>> import numpy as np, wmgp
        >>> from wmgp.rules import recommendations
        >>> amounts = recommendations(wmgp.analyze({"a.weight": np.array([3.0, 1.0, 0.0, 0.0])}))
        >>> amounts["effective pruning"], amounts["PQ index"], amounts["constant"]
        (0.75, 0.5, 0.8)
    """
    safe = analysis.safe.amount if analysis.safe else None
    inputs = RuleInput(analysis.magnitudes, analysis.front, safe, analysis.unprunable_energy)
    return {name: rule(inputs) for name, rule in RULES.items()}


def knee_amount(amount: Float[np.ndarray, " grid"], cosine: Float[np.ndarray, " grid"]) -> float:
    """The amount farthest from the line between a front's ends, (0, 1) and (1, 0)."""
    return float(amount[np.argmax(amount + cosine)])


def effective_number(levels: Magnitudes, power: float) -> float:
    """(sum s)^2 / (sum s^2) of the scores s = |w|^power, in [1, n]: n for equal magnitudes, 1 for one nonzero weight.

    Exact to 1e-6, because each level's values are replaced by their root mean square. nan if all weights are zero.
    """
    score = level_rms(levels) ** power
    total = float((levels.count * score**2).sum())
    return min(float((levels.count * score).sum()) ** 2 / total, levels.n) if total else float("nan")


def level_rms(levels: Magnitudes) -> np.ndarray:
    """The root mean square of each level's magnitudes; a level is narrower than a thousandth of its values."""
    return np.sqrt(levels.energy / levels.count)


def _amount_keeping(number: float, n: int) -> float:
    """The amount that keeps floor(number) of n weights."""
    return 1 - float(np.floor(number + ROUNDING_TOLERANCE)) / n
