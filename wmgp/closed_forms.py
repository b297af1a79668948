"""Weight distributions whose Pareto front has a closed form: references to compare networks with.

A distribution is given by the quantile function of its magnitudes, in units of their root mean square, and by the share
of the energy (sum of squares) below each quantile. Pruning the share p of smallest magnitudes leaves the cosine
sqrt(1 - pruned_energy(p)). Derivations: book/theorem.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .errors import InputError
from .pareto import Point

Shares = Float[np.ndarray, " n"]
MAX_SEARCHED_AMOUNT = 1 - 1e-12  # beyond it, quantiles lose their digits


@dataclass(frozen=True)
class Distribution:
    """A distribution of weights, symmetric about zero and of mean square 1.

    `magnitude`: the quantile function of the magnitudes, of the share p in [0, 1). `pruned_energy`: the share of the
    energy in the share p in [0, 1] of smallest magnitudes; its slope is `magnitude(p)**2`. `kurtosis`: Pearson's, or
    inf.

    Example:
        >>> from wmgp.closed_forms import laplace
        >>> round(laplace().optimal.amount, 7), round(laplace().amount_at(0.99), 4)
        (0.8435333, 0.4323)
    """

    name: str
    kurtosis: float
    magnitude: Callable[[Shares], Shares]
    pruned_energy: Callable[[Shares], Shares]

    def cosine(self, amount: ArrayLike) -> Float[np.ndarray, "..."]:
        """The cosine in [0, 1] after L1 pruning by each amount in [0, 1]; same shape."""
        amounts = np.asarray(amount, dtype=np.float64)
        pruned = self.pruned_energy(amounts.reshape(-1)).reshape(amounts.shape)
        return np.asarray(np.sqrt(np.clip(1 - pruned, 0, 1)))

    def distance(self, amount: ArrayLike) -> Float[np.ndarray, "..."]:
        """The distance from the front at each amount to utopia, (amount, cosine) = (1, 1); same shape."""
        return np.asarray(np.hypot(1 - np.asarray(amount, dtype=np.float64), 1 - self.cosine(amount)))

    @property
    def optimal(self) -> Point:
        """The point nearest to utopia, without a grid (threshold in units of the root mean square; n_pruned 0).

        Solves for a zero slope of the squared distance: magnitude^2 (1 / cosine - 1) / 2 = 1 - amount.
        """
        from scipy.optimize import root_scalar

        def threshold(p: float) -> float:
            return float(self.magnitude(np.array([p]))[0])

        def slope(p: float) -> float:
            return float(threshold(p) ** 2 * (1 / self.cosine(p) - 1) / 2 - (1 - p))

        amount = float(root_scalar(slope, bracket=(0, MAX_SEARCHED_AMOUNT), xtol=1e-14).root)
        cosine = float(self.cosine(amount))
        return Point(amount, cosine, cosine, threshold(amount), 0, float(self.distance(amount)))

    def amount_at(self, cosine: float) -> float:
        """The largest amount in [0, 1] with at least this cosine, in [0, 1]."""
        from scipy.optimize import root_scalar

        if not 0 <= cosine <= 1:
            raise InputError(f"cosine {cosine}: expected a value in [0, 1]")
        if cosine == 0 or cosine == 1:
            return 1.0 - cosine
        return float(root_scalar(lambda p: float(self.cosine(p)) - cosine, bracket=(0, 1), xtol=1e-14).root)

    def weights(self, n: int) -> Float[np.ndarray, " n"]:
        """n weights at the distribution's quantiles, not random: magnitudes at (i + 1/2) / n, alternating signs."""
        magnitude = self.magnitude((np.arange(n) + 0.5) / n)
        return magnitude * np.where(np.arange(n) % 2, -1.0, 1.0)


def equal() -> Distribution:
    """All magnitudes equal. The front sqrt(1 - p) is also the expected front of random pruning for any network."""
    return Distribution("equal magnitudes", 1.0, np.ones_like, lambda p: p)


def uniform() -> Distribution:
    """Uniform on an interval about zero: pruned energy p^3."""
    return Distribution("uniform", 9 / 5, lambda p: math.sqrt(3) * p, lambda p: p**3)


def normal() -> Distribution:
    """Normal with mean zero: p = erf(t / sqrt 2), pruned energy p - t sqrt(2 / pi) exp(-t^2 / 2)."""

    def magnitude(p: Shares) -> Shares:
        from scipy.special import erfinv

        return math.sqrt(2) * erfinv(p)

    def pruned_energy(p: Shares) -> Shares:
        t = np.minimum(magnitude(p), 40.0)  # infinite at p = 1; the second term is 0 from 40 on
        return p - t * math.sqrt(2 / math.pi) * np.exp(-(t**2) / 2)

    return Distribution("normal", 3.0, magnitude, pruned_energy)


def laplace() -> Distribution:
    """Laplace with mean zero: p = 1 - e^-t, pruned energy 1 - e^-t (1 + t + t^2 / 2), t in units of the scale."""

    def pruned_energy(p: Shares) -> Shares:
        t = -np.log1p(-np.minimum(p, 1 - 1e-16))
        return np.where(p < 1, 1 - (1 - p) * (1 + t + t**2 / 2), 1.0)

    return Distribution("Laplace", 6.0, lambda p: -np.log1p(-p) / math.sqrt(2), pruned_energy)


def student_t(df: float) -> Distribution:
    """Student's t with df > 2 degrees of freedom; the kurtosis is 3 + 6 / (df - 4), infinite for df <= 4.

    t^2 / (df + t^2) follows a Beta(1/2, df/2) distribution; weighted by t^2, a Beta(3/2, df/2 - 1) distribution.
    """
    if not 2 < df < math.inf:
        raise InputError(f"df {df}: expected a finite number above 2, where Student's t has a variance")

    def ratio(p: Shares) -> Shares:
        from scipy.special import betaincinv

        return betaincinv(1 / 2, df / 2, p)

    def magnitude(p: Shares) -> Shares:
        return np.sqrt((df - 2) * ratio(p) / (1 - ratio(p)))

    def pruned_energy(p: Shares) -> Shares:
        from scipy.special import betainc

        return betainc(3 / 2, df / 2 - 1, ratio(p))

    return Distribution(f"Student-t({df:g})", 3 + 6 / (df - 4) if df > 4 else math.inf, magnitude, pruned_energy)


def generalised_normal(shape: float) -> Distribution:
    """Density ~ exp(-|x|^shape): Laplace for shape 1, normal for 2, tending to uniform as the shape grows.

    |x|^shape follows a Gamma(1/shape) distribution; weighted by x^2, a Gamma(3/shape) distribution.
    """
    if not 0 < shape < math.inf:
        raise InputError(f"shape {shape}: expected a finite number above 0")
    from scipy.special import gammainc, gammaincinv, gammaln

    log_g = gammaln([1 / shape, 3 / shape, 5 / shape])
    scale = math.exp((log_g[0] - log_g[1]) / 2)
    return Distribution(
        f"generalised normal({shape:g})",
        math.exp(log_g[2] + log_g[0] - 2 * log_g[1]),
        lambda p: scale * gammaincinv(1 / shape, p) ** (1 / shape),
        lambda p: gammainc(3 / shape, gammaincinv(1 / shape, p)),
    )


def normal_mixture(share: float, ratio: float) -> Distribution:
    """Two normals about zero: `share` in (0, 1) of the weights has `ratio` >= 1 times the others' deviation.

    p and the pruned energy are the weighted sums of those of the two normals; the quantile is computed by bisection.
    """
    _check_mixture(share, ratio)
    std = np.array([1.0, ratio]) / math.sqrt(1 - share + share * ratio**2)
    shares = np.array([1 - share, share])

    def magnitude(p: Shares) -> Shares:
        from scipy.special import erf

        low, high = std[0] * normal().magnitude(p), std[1] * normal().magnitude(p)
        for _ in range(60):
            middle = (low + high) / 2
            above = erf(middle[..., None] / std / math.sqrt(2)) @ shares >= p
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return high

    def pruned_energy(p: Shares) -> Shares:
        from scipy.special import erf

        t = np.minimum(magnitude(p)[..., None] / std, 40.0)
        return (erf(t / math.sqrt(2)) - t * math.sqrt(2 / math.pi) * np.exp(-(t**2) / 2)) @ (shares * std**2)

    return Distribution(f"two normals({share:g}, {ratio:g})", 3 * float(shares @ std**4), magnitude, pruned_energy)


def two_levels(share: float, ratio: float) -> Distribution:
    """Two magnitudes: `share` in (0, 1) of the weights is `ratio` >= 1 times as large as the others.

    A few outliers can raise the kurtosis without limit while the front hardly changes.
    """
    _check_mixture(share, ratio)
    energy = 1 - share + share * ratio**2
    low, high = 1 / energy, ratio**2 / energy  # squared magnitudes
    return Distribution(
        f"outliers({share:g}, {ratio:g})",
        (1 - share) * low**2 + share * high**2,
        lambda p: np.sqrt(np.where(p <= 1 - share, low, high)),
        lambda p: low * p + (high - low) * np.maximum(p - (1 - share), 0),
    )


def _check_mixture(share: float, ratio: float) -> None:
    if not 0 < share < 1 or not 1 <= ratio < math.inf:
        raise InputError(f"share {share}, ratio {ratio}: expected a share between 0 and 1 and a ratio of at least 1")


def smallest_optimum() -> Point:
    """The point with the smallest optimal amount that any weights can have, without a grid (n_pruned 0).

    Pruning the smallest share p removes at most the share p of the energy, so cosine >= sqrt(1 - p), with equality for
    equal magnitudes. On that curve the point nearest to utopia has the cosine x with 2x^3 + x - 1 = 0 and the amount
    1 - x^2 (book/theorem.md, "The floor"); Cardano's formula gives x.

    Example:
        >>> from wmgp.closed_forms import smallest_optimum
        >>> round(smallest_optimum().amount, 7), round(smallest_optimum().cosine, 7)
        (0.6521896, 0.5897545)
    """
    root = math.sqrt(1 / 16 + 1 / 216)
    x = math.cbrt(1 / 4 + root) + math.cbrt(1 / 4 - root)
    return Point(1 - x**2, x, x, 1.0, 0, math.hypot(x**2, 1 - x))
