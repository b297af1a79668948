"""Distributions of weights whose L1 front is known without a network: the yardsticks beside which real ones are read.

A distribution is given by the quantile function of its magnitudes, in units of their root mean square, and by the share
of the energy (sum of squares) that lies below each quantile. Pruning the share p of smallest magnitudes then leaves the
cosine sqrt(1 - lost(p)). Derivations: book/theorem.md. SciPy is imported where it is used.
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
MAX_SEARCHED_AMOUNT = 1 - 1e-12  # the amount at which searches end: beyond it quantiles lose their digits


@dataclass(frozen=True)
class Distribution:
    """A distribution of weights, symmetric about zero and of mean square 1.

    `magnitude`: share p in [0, 1) -> the magnitude below which that share lies. `lost`: share p in [0, 1] -> the share
    of the energy below that magnitude; its slope is `magnitude(p)**2`. `kurtosis`: Pearson's, inf where there is none.
    """

    name: str
    kurtosis: float
    magnitude: Callable[[Shares], Shares]
    lost: Callable[[Shares], Shares]

    def cosine(self, amount: ArrayLike) -> Float[np.ndarray, "..."]:
        """The front: the cosine in [0, 1] left by L1-pruning these amounts in [0, 1], of the same shape."""
        amounts = np.asarray(amount, dtype=np.float64)
        lost = self.lost(amounts.reshape(-1)).reshape(amounts.shape)
        return np.asarray(np.sqrt(np.clip(1 - lost, 0, 1)))

    def distance(self, amount: ArrayLike) -> Float[np.ndarray, "..."]:
        """The distance of the front at these amounts from utopia, (amount, cosine) = (1, 1), of the same shape."""
        return np.asarray(np.hypot(1 - np.asarray(amount, dtype=np.float64), 1 - self.cosine(amount)))

    @property
    def optimal(self) -> Point:
        """The point nearest to utopia, in the continuum (threshold in units of the root mean square; count 0).

        The root of half the slope of the squared distance: magnitude^2 (1 / cosine - 1) / 2 = 1 - amount.
        """
        from scipy.optimize import root_scalar

        def threshold(p: float) -> float:
            return float(self.magnitude(np.array([p]))[0])

        def slope(p: float) -> float:
            return float(threshold(p) ** 2 * (1 / self.cosine(p) - 1) / 2 - (1 - p))

        amount = float(root_scalar(slope, bracket=(0, MAX_SEARCHED_AMOUNT), xtol=1e-14).root)
        return Point(amount, float(self.cosine(amount)), threshold(amount), 0, float(self.distance(amount)))

    def amount_at(self, cosine: float) -> float:
        """The largest amount whose cosine is at least this one, in [0, 1]."""
        from scipy.optimize import root_scalar

        if not 0 <= cosine <= 1:
            raise InputError(f"cosine {cosine}: expected a value in [0, 1]")
        if cosine == 0 or cosine == 1:
            return 1.0 - cosine
        return float(root_scalar(lambda p: float(self.cosine(p)) - cosine, bracket=(0, 1), xtol=1e-14).root)

    def weights(self, n: int) -> Float[np.ndarray, " n"]:
        """n weights that follow the distribution without chance: the magnitudes' mid-quantiles, signs in turn."""
        magnitude = self.magnitude((np.arange(n) + 0.5) / n)
        return magnitude * np.where(np.arange(n) % 2, -1.0, 1.0)


def equal() -> Distribution:
    """All magnitudes the same. Its front sqrt(1 - p) is also that of random pruning, of any network, on the mean."""
    return Distribution("equal magnitudes", 1.0, np.ones_like, lambda p: p)


def uniform() -> Distribution:
    """Uniform on an interval about zero: lost = p^3."""
    return Distribution("uniform", 9 / 5, lambda p: math.sqrt(3) * p, lambda p: p**3)


def normal() -> Distribution:
    """Normal with mean zero: p = erf(t / sqrt 2), lost = p - t sqrt(2 / pi) exp(-t^2 / 2)."""

    def magnitude(p: Shares) -> Shares:
        from scipy.special import erfinv

        return math.sqrt(2) * erfinv(p)

    def lost(p: Shares) -> Shares:
        t = np.minimum(magnitude(p), 40.0)  # at p = 1, where nothing is left of the second term
        return p - t * math.sqrt(2 / math.pi) * np.exp(-(t**2) / 2)

    return Distribution("normal", 3.0, magnitude, lost)


def laplace() -> Distribution:
    """Laplace with mean zero: p = 1 - e^-t, lost = 1 - e^-t (1 + t + t^2 / 2), in units of the scale."""

    def lost(p: Shares) -> Shares:
        t = -np.log1p(-np.minimum(p, 1 - 1e-16))
        return np.where(p < 1, 1 - (1 - p) * (1 + t + t**2 / 2), 1.0)

    return Distribution("Laplace", 6.0, lambda p: -np.log1p(-p) / math.sqrt(2), lost)


def student_t(df: float) -> Distribution:
    """Student's t with df > 2 degrees of freedom; its kurtosis 3 + 6 / (df - 4) is infinite up to df = 4.

    u = t^2 / (df + t^2) follows a Beta(1/2, df/2) law, and weighted by t^2 a Beta(3/2, df/2 - 1) law.
    """
    if not 2 < df < math.inf:
        raise InputError(f"df {df}: expected a finite number above 2, where Student's t has a variance")

    def ratio(p: Shares) -> Shares:
        from scipy.special import betaincinv

        return betaincinv(1 / 2, df / 2, p)

    def magnitude(p: Shares) -> Shares:
        return np.sqrt((df - 2) * ratio(p) / (1 - ratio(p)))

    def lost(p: Shares) -> Shares:
        from scipy.special import betainc

        return betainc(3 / 2, df / 2 - 1, ratio(p))

    return Distribution(f"Student-t({df:g})", 3 + 6 / (df - 4) if df > 4 else math.inf, magnitude, lost)


def generalised_normal(shape: float) -> Distribution:
    """Density ~ exp(-|x|^shape): Laplace at 1, normal at 2, towards uniform as the shape grows.

    g = |x|^shape follows a Gamma(1/shape) law, and weighted by x^2 a Gamma(3/shape) law.
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
    """Two normals about zero: this share in (0, 1) of the weights is drawn from one `ratio` >= 1 times as wide.

    Each part gives its share of p and of lost as a normal does; the quantile is found by halving.
    """
    _check_mixture(share, ratio)
    width = np.array([1.0, ratio]) / math.sqrt(1 - share + share * ratio**2)  # standard deviations
    part = np.array([1 - share, share])

    def magnitude(p: Shares) -> Shares:
        from scipy.special import erf

        low, high = width[0] * normal().magnitude(p), width[1] * normal().magnitude(p)
        for _ in range(60):
            middle = (low + high) / 2
            enough = erf(middle[..., None] / width / math.sqrt(2)) @ part >= p
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high

    def lost(p: Shares) -> Shares:
        from scipy.special import erf

        t = np.minimum(magnitude(p)[..., None] / width, 40.0)
        return (erf(t / math.sqrt(2)) - t * math.sqrt(2 / math.pi) * np.exp(-(t**2) / 2)) @ (part * width**2)

    return Distribution(f"two normals({share:g}, {ratio:g})", 3 * float(part @ width**4), magnitude, lost)


def two_levels(share: float, ratio: float) -> Distribution:
    """Two magnitudes: this share in (0, 1) of the weights is `ratio` >= 1 times as large as the others.

    The worst case for kurtosis as a guide: a handful of outliers raises it at will, while the front hardly moves.
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
    """The least the utopia rule can answer for any network, in the continuum: amount 1 - x^2, where 2x^3 + x - 1 = 0.

    Attained by equal magnitudes, at the cosine x (book/theorem.md, "The floor").
    """
    return equal().optimal
