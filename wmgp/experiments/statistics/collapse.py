"""The share of a sweep's variance in accuracy that a single curve for all methods does not explain.

The curve is the best monotone one through all points (isotonic regression, Barlow et al. 1972), which has no setting
to choose: accuracy may only fall with the amount and only rise with the cosine. Rows without a cosine (everything
pruned) or without the measured quantity are omitted throughout, to compare the same rows.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from ...errors import InputError
from ..results.formatting import format_interval
from .intervals import MIN_SEEDS, mean_interval
from .rank_correlation import spearman

Interval = tuple[float, float, float]  # value, and the ends of its interval
MAX_COSINE_GAP = 0.05  # largest distance to the measured cosines on either side, for interpolation


def unexplained(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Return the share in [0, 1] of y's variance not explained by the best monotone curve over x, rising or falling.

    0 if all y lie on one such curve, 1 if nothing is explained, nan if y is constant.
    """
    from sklearn.isotonic import IsotonicRegression

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    spread = ((y - y.mean()) ** 2).sum()
    if not spread > 0:
        return float("nan")
    # Clipped, because the fit merges x closer than its precision, and some x then lie outside its range.
    fits = (
        IsotonicRegression(increasing=rising, out_of_bounds="clip").fit(x, y).predict(x) for rising in (True, False)
    )
    return float(min(((y - fit) ** 2).sum() for fit in fits) / spread)


def unexplained_shares(rows: pd.DataFrame, y: str = "accuracy") -> dict[str, float]:
    """Return the unexplained share of `y` by curve: "amount", "cosine" (just after pruning) and "own".

    "amount" and "cosine" fit one curve to all methods. "own" fits a separate curve over the amount for each method: its
    share is due to differences between seeds and to the monotone shape.
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
    """Return Spearman's correlation in [-1, 1] of the cosine just after pruning and each of `ys`; nan if constant."""
    found = {}
    for y in ys:
        defined = rows.dropna(subset=["cosine_pruned", y])  # linear CKA is undefined if all outputs are equal
        found[y] = spearman(defined["cosine_pruned"].to_numpy(dtype=float), defined[y].to_numpy(dtype=float))
    return found


def jackknife(
    rows: pd.DataFrame,
    statistic: Callable[[pd.DataFrame], dict[str, float]],
    bounds: tuple[float, float] = (-np.inf, np.inf),
    level: float = 0.95,
) -> dict[str, Interval]:
    """Return statistics of the rows with jackknife intervals, cut to `bounds`: leave out each seed once with its rows.

    The interval is the value +- t s: s^2 is (n - 1) / n times the sum of squares about their mean of the n values with
    one seed left out (Efron & Tibshirani 1993, chapter 11), and t is Student's quantile for n - 1 degrees of freedom. A
    bootstrap is unsuitable: a curve fits duplicate rows better. Ends are nan for fewer than `MIN_SEEDS` seeds.
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


def accuracy_at_cosine(rows: pd.DataFrame, cosines: Sequence[float], y: str = "accuracy") -> pd.DataFrame:
    """Return `y` at these cosines, interpolated linearly: a row per method, seed and cosine.

    Columns method, seed, cosine and `y`. `y` is nan if a method's rows do not reach the cosine, or if either neighbour
    is farther away than `BESIDE`: on a coarse grid interpolation errs by as much as the methods differ. Raises
    InputError for a cosine outside [-1, 1].
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
            {"method": method, "seed": seed, "cosine": c, y: value if _is_near(measured, c) else np.nan}
            for c, value in zip(cosines, values, strict=True)
        ]
    return pd.DataFrame(found)


def _is_near(measured: np.ndarray, cosine: float) -> bool:
    """Return True if measured cosines lie within `BESIDE` on both sides; an equal one counts for both."""
    off = measured - cosine
    limit = MAX_COSINE_GAP + 1e-9  # 1 - 0.95 is more than 0.05 in float64
    return bool(((off >= 0) & (off <= limit)).any() and ((off <= 0) & (off >= -limit)).any())


def differences(
    rows: pd.DataFrame, cosine: float, y: str = "accuracy", methods: tuple[str, str] = ("l1", "random")
) -> Float[np.ndarray, " seeds"]:
    """Return `y` of the first method minus that of the second at the same cosine, for each seed that has both."""
    there = accuracy_at_cosine(rows, (cosine,), y).pivot_table(index="seed", columns="method", values=y)
    first, second = (there.reindex(columns=list(methods))[method] for method in methods)
    return (first - second).dropna().to_numpy()


def mean_difference(
    rows: pd.DataFrame,
    cosine: float,
    y: str = "accuracy",
    methods: tuple[str, str] = ("l1", "random"),
    unit: float = 1,
) -> Interval:
    """Return `unit` times the mean of `differences` (nan without any), with its t interval from `MIN_SEEDS` seeds."""
    found = unit * differences(rows, cosine, y, methods)
    if found.size < MIN_SEEDS:
        return float(found.mean()) if found.size else float("nan"), float("nan"), float("nan")
    return mean_interval(found)


def format_mean_difference(
    rows: pd.DataFrame, cosine: float, form: str, y: str = "accuracy", methods: tuple[str, str] = ("l1", "random")
) -> str:
    """Return `mean_difference` in percentage points as text, with the number of seeds if some lack a difference."""
    n, of = len(differences(rows, cosine, y, methods)), rows["seed"].nunique()
    return format_interval(*mean_difference(rows, cosine, y, methods, unit=100), form) + (
        f", {n} of {of} seeds" if 0 < n < of else ""
    )
