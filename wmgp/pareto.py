"""The Pareto front of L1 pruning (cosine against amount), its point nearest to utopia, and the safe amount.

Pruning the smallest magnitudes leaves cosine = sqrt(kept energy / energy), with energy = the sum of squares of all
parameters. The sorted magnitudes therefore determine the whole front.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ._histogram.magnitudes import Magnitudes
from ._histogram.measurement import measure
from .errors import InputError
from .parameters import Pool, collect

CAREFUL_COSINE = 0.99  # the paper's advice for pruning without fine-tuning
MAX_UNDEFINED_K2 = 1 + 1e-12  # at and below this kurtosis of kurtoses, log(k2) cannot be divided by


@dataclass(frozen=True)
class Point:
    """One prune: amount and cosine in [0, 1], largest pruned magnitude (nan if none), count, distance to utopia.

    `cosine` counts all parameters; `pool_cosine` counts the pool alone, and is nan if the pool is all zero.
    """

    amount: float
    cosine: float
    pool_cosine: float
    threshold: float
    n_pruned: int
    distance: float


@dataclass(frozen=True)
class Front:
    """The prunes of a grid of amounts; `distance` is the Euclidean distance to utopia, (amount, cosine) = (1, 1)."""

    amount: Float[np.ndarray, " grid"]
    cosine: Float[np.ndarray, " grid"]
    pool_cosine: Float[np.ndarray, " grid"]
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
            float(self.pool_cosine[i]),
            float(self.threshold[i]),
            int(self.n_pruned[i]),
            float(self.distance[i]),
        )

    @property
    def optimal(self) -> Point:
        """The point nearest to utopia; of equally near points, the smallest amount."""
        return self.point(int(np.argmin(self.distance)))


def amount_grid(amounts: int | Iterable[float]) -> Float[np.ndarray, " grid"]:
    """`amounts` equally spaced amounts on [0, 1], or the given amounts, sorted. `InputError` outside [0, 1]."""
    if isinstance(amounts, int | np.integer) and not isinstance(amounts, bool):
        if amounts < 2:
            raise InputError(f"amounts {amounts}: expected at least 2 grid points")
        return np.arange(amounts) / (amounts - 1)
    try:
        listed = list(amounts) if isinstance(amounts, Iterable) and not isinstance(amounts, str) else [amounts]
        values = np.sort(np.asarray(listed, dtype=np.float64).ravel())
    except (TypeError, ValueError) as error:
        raise InputError(f"amounts {amounts!r}: expected a number of grid points, or amounts in [0, 1]") from error
    if values.size == 0:
        raise InputError("amounts: expected at least one amount in [0, 1], found none")
    for value in values:
        check_amount(value)
    return values


def check_amount(amount: float) -> float:
    """The amount as a float. Raises `InputError` outside [0, 1]."""
    try:
        number = math.nan if isinstance(amount, bool | str) else float(amount)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise InputError(f"amount {amount}: expected a share in [0, 1]")
    return number


def n_to_prune(amount: Float[np.ndarray, "*k"] | float, n: int) -> Int[np.ndarray, "*k"]:
    """The number of pruned values: round(amount * n), halves to even."""
    return np.asarray(np.rint(np.asarray(amount, dtype=np.float64) * n), dtype=np.int64)


def compute_front(magnitudes: Magnitudes, amounts: Float[np.ndarray, " grid"], unprunable_energy: float = 0.0) -> Front:
    """Return the front of a pool; `unprunable_energy` lies outside the pool. nan if all weights are zero."""
    n_pruned = n_to_prune(amounts, magnitudes.n)
    kept, energy = magnitudes.kept_energy(n_pruned), magnitudes.energy_above[0]
    with np.errstate(invalid="ignore"):
        cosine = np.minimum(np.sqrt((kept + unprunable_energy) / (energy + unprunable_energy)), 1.0)
        pool_cosine = np.minimum(np.sqrt(kept / energy), 1.0)
    distance = np.hypot(1 - amounts, 1 - cosine)
    return Front(amounts, cosine, pool_cosine, magnitudes.threshold(n_pruned), n_pruned, distance)


def largest_amount(magnitudes: Magnitudes, cosine: float, unprunable_energy: float = 0.0) -> float:
    """The largest amount (a multiple of 1/n) with at least this cosine, in [0, 1]."""
    if not 0 <= cosine <= 1:
        raise InputError(f"cosine {cosine}: expected a value in [0, 1]")
    energy = magnitudes.energy_above[0] + unprunable_energy
    # Rounding must not take the energy to keep out of its range.
    min_kept = min(max(cosine**2 * energy - unprunable_energy, 0.0), float(magnitudes.energy_above[0]))
    return magnitudes.max_pruned(min_kept) / magnitudes.n


def careful_amount(magnitudes: Magnitudes, front: Front, modifier: float | None) -> float:
    """The smaller of the safe amount and the amount of cosine 0.99, both by the cosine over the pool alone.

    `modifier`: the safe amount's factor on the optimal amount; None if undefined.
    """
    at_cosine = largest_amount(magnitudes, CAREFUL_COSINE)
    if modifier is None or magnitudes.energy_above[0] == 0:
        return at_cosine
    nearest = int(np.argmin(np.hypot(1 - front.amount, 1 - front.pool_cosine)))
    return min(at_cosine, float(front.amount[nearest]) * modifier)


def pareto_front(
    source: Any,
    amounts: int | Iterable[float] = 101,
    pool: Pool = "weight_bias",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Front:
    """The Pareto front of L1 pruning on a grid of amounts; cosines are exact to 1e-9.

    The arguments are those of `wmgp.analyze`. The result's arrays are float64 (`n_pruned` int64), one
    entry per amount. The paper (section 3) prunes the network once per amount instead, with the same result.

    Example:
        >>> import numpy as np, wmgp
        >>> front = wmgp.pareto_front({"a.weight": np.array([3.0, -4.0])}, amounts=[0, 0.5, 1])
        >>> front.cosine.tolist()
        [1.0, 0.8, 0.0]
    """
    amounts = amount_grid(amounts)
    measurement = measure(collect(source, pool, None, include, exclude))
    if measurement.pool_moments.n.size == 0:
        raise InputError(f"pool {pool!r}: no prunable tensor")
    levels = measurement.levels(n_to_prune(amounts, int(measurement.pool_moments.n[0])))
    return compute_front(levels, amounts, measurement.unprunable_energy)


def optimal_amount(front: Front) -> float:
    """The amount of the front's point nearest to utopia (amount 1, cosine 1): the paper's maximal prune, in [0, 1].

    Example:
        >>> import numpy as np, wmgp
        >>> front = wmgp.pareto_front({"a.weight": np.linspace(-1, 1, 1001)})  # close to the uniform distribution
        >>> wmgp.optimal_amount(front)
        0.75
    """
    return front.optimal.amount


def safe_modifier(k2: float) -> float:
    """The authors' factor on the optimal amount: 1/ln(k2) if k2 >= e, else 1/log2(k2); nan if k2 <= 1 or undefined.

    As published it jumps from 0.69 to 1 at e and exceeds 1 below 2; `safe_amount` limits it to 1.

    Example:
        >>> from wmgp.pareto import safe_modifier
        >>> round(safe_modifier(67.4), 4), safe_modifier(2.0)
        (0.2375, 1.0)
    """
    if not k2 > MAX_UNDEFINED_K2:
        return math.nan
    return 1 / math.log(k2) if k2 >= math.e else 1 / math.log2(k2)


def safe_amount(amount: float, k2: float | None) -> float | None:
    """The safe amount in [0, 1]: `amount * min(1, modifier)`; None if the kurtosis of kurtoses `k2` is undefined.

    `amount` is the optimal amount, in [0, 1]; `modifier` is `wmgp.pareto.safe_modifier(k2)`.

    Example:
        >>> import wmgp
        >>> round(wmgp.safe_amount(0.86, k2=67.4), 4)
        0.2042
    """
    modifier = safe_modifier(math.nan if k2 is None else k2)
    return None if math.isnan(modifier) else check_amount(amount) * min(1.0, modifier)
