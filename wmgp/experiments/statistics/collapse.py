"""Do the rows of a sweep fall onto one curve? How much a single curve, whatever the method, leaves unexplained.

The curve is the best monotone one through all points (isotonic regression, Barlow et al. 1972), which has no setting
to choose: accuracy may only fall with the amount and only rise with the cosine. What it leaves is given as a share of
the variance. Rows without a cosine (everything pruned), or without the measured quantity, are left out throughout, so
that the same rows are compared.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...errors import InputError
from ..results.formatting import format_interval
from .intervals import MIN_SEEDS, mean_interval
from .rank_correlation import spearman

Interval = tuple[float, float, float]  # value, and both ends of its interval
BESIDE = 0.05  # how far the measured cosines on either side of one that is asked for may lie


def unexplained(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """The share in [0, 1] of y's variance that the best monotone curve over x, rising or falling, leaves.

    0 where all y lie on one such curve, 1 where none of it is explained; nan where y is constant.
    """
    from sklearn.isotonic import IsotonicRegression

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    spread = ((y - y.mean()) ** 2).sum()
    if not spread > 0:
        return float("nan")
    # Clipped, for it takes x closer than its own precision for one, and then some of them lie outside.
    fits = (
        IsotonicRegression(increasing=rising, out_of_bounds="clip").fit(x, y).predict(x) for rising in (True, False)
    )
    return float(min(((y - fit) ** 2).sum() for fit in fits) / spread)


def shares(rows: pd.DataFrame, y: str = "accuracy") -> dict[str, float]:
    """Unexplained share of `y` when drawn against the amount, against the cosine just after pruning, and at best.

    "amount" and "cosine" draw one curve through all methods; "own" draws one a method against its amount, which is
    what differences between seeds and the monotone shape leave in any case.
    """
    rows = rows.dropna(subset=["cosine_pruned", y])
    values = rows[y].to_numpy(dtype=float)
    spread = ((values - values.mean()) ** 2).sum()
    own = 0.0
    for _, part in rows.groupby("method"):
        mine = part[y].to_numpy(dtype=float)
        share = unexplained(part["amount"].to_numpy(), mine)
        own += 0.0 if np.isnan(share) else share * ((mine - mine.mean()) ** 2).sum()
    return {
        "amount": unexplained(rows["amount"].to_numpy(), values),
        "cosine": unexplained(rows["cosine_pruned"].to_numpy(), values),
        "own": float(own / spread) if spread > 0 else float("nan"),
    }


def rank_correlations(rows: pd.DataFrame, ys: Iterable[str]) -> dict[str, float]:
    """Spearman's rank correlation in [-1, 1] of the cosine just after pruning with each of `ys`; nan where constant."""
    found = {}
    for y in ys:
        defined = rows.dropna(subset=["cosine_pruned", y])  # linear CKA is not where all images get the same outputs
        found[y] = spearman(defined["cosine_pruned"].to_numpy(dtype=float), defined[y].to_numpy(dtype=float))
    return found


def jackknife(
    rows: pd.DataFrame,
    statistic: Callable[[pd.DataFrame], dict[str, float]],
    bounds: tuple[float, float] = (-np.inf, np.inf),
    level: float = 0.95,
) -> dict[str, Interval]:
    """A statistic of the rows with a jackknife interval, cut to `bounds`: each seed is left out once with all its rows.

    The value +- t s, where s^2 is (n - 1) / n times the sum of squares about their mean of the n values without a seed
    (Efron & Tibshirani 1993, chapter 11), and t Student's quantile of n - 1 degrees of freedom. Seeds drawn with
    replacement would not do: a curve fits rows that are there twice better. Ends are nan for fewer than `FEWEST` seeds.
    """
    from scipy.stats import t

    found, seeds = statistic(rows), rows["seed"].unique()
    n = len(seeds)
    if n < MIN_SEEDS:
        return {name: (value, float("nan"), float("nan")) for name, value in found.items()}
    without = pd.DataFrame([statistic(rows.loc[rows["seed"] != seed]) for seed in seeds])
    half = t.ppf((1 + level) / 2, n - 1) * (n - 1) ** 0.5 * without.std(ddof=0)
    ends = {name: np.clip([value - half[name], value + half[name]], *bounds).tolist() for name, value in found.items()}
    return {name: (value, *ends[name]) for name, value in found.items()}


def at_cosine(rows: pd.DataFrame, cosines: Sequence[float], y: str = "accuracy") -> pd.DataFrame:
    """`y` of every method and seed at these cosines, linear between the two rows beside: a row each.

    Columns method, seed, cosine and `y`; nan where a method's rows do not reach that cosine, or where either of the two
    lies farther from it than `BESIDE`: on a coarse grid the line between them errs by as much as is asked for.
    """
    if outside := [c for c in cosines if not -1 <= c <= 1]:
        raise InputError(f"cosine {outside[0]}: expected a number from -1 to 1")
    found = []
    ordered = rows.dropna(subset=["cosine_pruned"]).sort_values(by="cosine_pruned")
    for _, part in ordered.groupby(["method", "seed"]):
        measured = part["cosine_pruned"].to_numpy()
        values = np.interp(cosines, measured, part[y], left=np.nan, right=np.nan).tolist()
        method, seed = part["method"].iloc[0], part["seed"].iloc[0]
        found += [
            {"method": method, "seed": seed, "cosine": c, y: value if _beside(measured, c) else np.nan}
            for c, value in zip(cosines, values, strict=True)
        ]
    return pd.DataFrame(found)


def _beside(measured: np.ndarray, cosine: float) -> bool:
    """Whether there are measured cosines as near as `BESIDE` on both sides; one that is equal is on both."""
    off = measured - cosine
    limit = BESIDE + 1e-9  # 1 - 0.95 is more than 0.05 in float64
    return bool(((off >= 0) & (off <= limit)).any() and ((off <= 0) & (off >= -limit)).any())


def differences(
    rows: pd.DataFrame, cosine: float, y: str = "accuracy", methods: tuple[str, str] = ("l1", "random")
) -> Float[np.ndarray, " seeds"]:
    """`y` of the first method less that of the second at the same cosine: a value for each seed that has both."""
    there = at_cosine(rows, (cosine,), y).pivot_table(index="seed", columns="method", values=y)
    first, second = (there.reindex(columns=list(methods))[method] for method in methods)
    return (first - second).dropna().to_numpy()


def mean_difference(
    rows: pd.DataFrame,
    cosine: float,
    y: str = "accuracy",
    methods: tuple[str, str] = ("l1", "random"),
    unit: float = 1,
) -> Interval:
    """`unit` times the mean of the `differences`, nan where there are none; its t interval from `FEWEST` seeds on."""
    found = unit * differences(rows, cosine, y, methods)
    if found.size < MIN_SEEDS:
        return float(found.mean()) if found.size else float("nan"), float("nan"), float("nan")
    return mean_interval(found)


def format_mean_difference(
    rows: pd.DataFrame, cosine: float, form: str, y: str = "accuracy", methods: tuple[str, str] = ("l1", "random")
) -> str:
    """The `gap` in points as a table shows it, and on how many seeds it rests where that is not all of them."""
    n, of = len(differences(rows, cosine, y, methods)), rows["seed"].nunique()
    return format_interval(*mean_difference(rows, cosine, y, methods, unit=100), form) + (
        f", {n} of {of} seeds" if 0 < n < of else ""
    )
