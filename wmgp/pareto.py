"""The magnitude distribution -> the L1 Pareto front of amount and cosine, its utopia optimum, and the safe amount.

Pruning the smallest magnitudes leaves cos = sqrt(kept energy / energy), energy being the sum of squares over all
parameters: so one ordering of the magnitudes is the whole front.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ._histogram.magnitudes import Magnitudes
from ._histogram.measurement import measure
from .errors import InputError
from .moments import UNDEFINED_K2
from .parameters import Pool, collect

CAREFUL_COSINE = 0.99  # what the paper advises where no fine-tuning follows


@dataclass(frozen=True)
class Point:
    """One prune: amount in [0, 1], cosine in [0, 1], largest magnitude pruned (nan: none is), count, distance."""

    amount: float
    cosine: float
    threshold: float
    n_pruned: int
    distance: float


@dataclass(frozen=True)
class Front:
    """The prunes of a grid of amounts; `distance` is the Euclidean one to utopia, (amount, cosine) = (1, 1)."""

    amount: Float[np.ndarray, " grid"]
    cosine: Float[np.ndarray, " grid"]
    threshold: Float[np.ndarray, " grid"]
    n_pruned: Int[np.ndarray, " grid"]
    distance: Float[np.ndarray, " grid"]

    def __len__(self) -> int:
        return self.amount.size

    def point(self, i: int) -> Point:
        """The i-th point of the grid."""
        return Point(
            float(self.amount[i]),
            float(self.cosine[i]),
            float(self.threshold[i]),
            int(self.n_pruned[i]),
            float(self.distance[i]),
        )

    @property
    def optimal(self) -> Point:
        """The point nearest to utopia; of equals the smallest amount."""
        return self.point(int(np.argmin(self.distance)))


def amount_grid(amounts: int | Iterable[float]) -> Float[np.ndarray, " grid"]:
    """That many equally spaced amounts on [0, 1], or the given ones, checked and sorted."""
    if isinstance(amounts, int | np.integer) and not isinstance(amounts, bool):
        if amounts < 2:
            raise InputError(f"amounts {amounts}: expected at least 2 grid points")
        return np.arange(amounts) / (amounts - 1)
    try:
        some = list(amounts) if isinstance(amounts, Iterable) and not isinstance(amounts, str) else [amounts]
        values = np.sort(np.asarray(some, dtype=np.float64).ravel())
    except (TypeError, ValueError) as error:
        raise InputError(f"amounts {amounts!r}: expected a number of grid points, or amounts in [0, 1]") from error
    if values.size == 0:
        raise InputError("amounts: expected at least one amount in [0, 1], found none")
    for value in values:
        check_amount(value)
    return values


def check_amount(amount: float) -> float:
    """The amount as a float, or an `InputError` where it is not in [0, 1]."""
    try:
        number = math.nan if isinstance(amount, bool | str) else float(amount)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise InputError(f"amount {amount}: expected a share in [0, 1]")
    return number


def n_to_prune(amount: Float[np.ndarray, "*k"] | float, n: int) -> Int[np.ndarray, "*k"]:
    """round(amount * n), halves to even: the number of values that an amount prunes."""
    return np.asarray(np.rint(np.asarray(amount, dtype=np.float64) * n), dtype=np.int64)


def compute_front(magnitudes: Magnitudes, amounts: Float[np.ndarray, " grid"], unprunable_energy: float = 0.0) -> Front:
    """Return the front of a pool; `unprunable_energy` lies outside the pool. nan if all weights are zero."""
    n_pruned = n_to_prune(amounts, magnitudes.n)
    with np.errstate(invalid="ignore"):
        cosine = np.sqrt(
            (magnitudes.kept_energy(n_pruned) + unprunable_energy) / (magnitudes.above[0] + unprunable_energy)
        )
    cosine = np.minimum(cosine, 1.0)
    distance = np.hypot(1 - amounts, 1 - cosine)
    return Front(amounts, cosine, magnitudes.threshold(n_pruned), n_pruned, distance)


def largest_amount(magnitudes: Magnitudes, cosine: float, unprunable_energy: float = 0.0) -> float:
    """The largest amount whose cosine is at least this one, as a multiple of 1/n."""
    if not 0 <= cosine <= 1:
        raise InputError(f"cosine {cosine}: expected a value in [0, 1]")
    energy = magnitudes.above[0] + unprunable_energy
    kept = min(max(cosine**2 * energy - unprunable_energy, 0.0), float(magnitudes.above[0]))  # despite rounding
    return magnitudes.most_pruned(kept) / magnitudes.n


def pareto_front(source: Any, amounts: int | Iterable[float] = 101, pool: Pool = "weight_bias") -> Front:
    """The L1 Pareto front of a source on a grid of amounts (see `wmgp.analyze`): cosine exact to 1e-9.

    The authors' method computes the same from a prune for each amount (paper, section 3).
    """
    amounts = amount_grid(amounts)
    measurement = measure(collect(source, pool))
    if measurement.pooled.n.size == 0:
        raise InputError(f"pool {pool!r}: no prunable tensor")
    levels = measurement.levels(n_to_prune(amounts, int(measurement.pooled.n[0])))
    return compute_front(levels, amounts, measurement.unprunable_energy)


def optimal_amount(front: Front) -> float:
    """The amount of the front's point nearest to utopia (amount 1, cosine 1), the paper's maximal prune."""
    return front.optimal.amount


def safe_modifier(k2: float) -> float:
    """The authors' factor on the optimal amount: 1/ln(k2), and 1/log2(k2) where k2 < e. nan where k2 <= 1 or undefined.

    As published it jumps from 0.69 to 1 at e and exceeds 1 below 2; `safe_amount` limits it to 1.
    """
    if not k2 > UNDEFINED_K2:
        return math.nan
    return 1 / math.log(k2) if k2 >= math.e else 1 / math.log2(k2)


def safe_amount(amount: float, k2: float | None) -> float | None:
    """The safe prune's amount: `amount * min(1, modifier)`; None where the kurtosis of kurtoses k2 is undefined."""
    modifier = safe_modifier(math.nan if k2 is None else k2)
    return None if math.isnan(modifier) else check_amount(amount) * min(1.0, modifier)
