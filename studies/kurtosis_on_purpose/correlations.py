"""Rank correlations of kurtosis and other statistics with the prunable amount, over parents of one architecture.

Parents of one variant are alike. Intervals therefore come from a cluster bootstrap: variants are drawn with
replacement, each with all its seeds (percentile interval; Davison & Hinkley 1997, section 3.8).
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from studies.kurtosis_on_purpose.measure import PARENT_COLUMNS
from studies.kurtosis_on_purpose.variants import BASE, VARIANTS
from wmgp.experiments.statistics.accuracy_cost import COST, largest_amount

# Column -> name in the book: statistics of the weights that may predict the targets.
PREDICTORS = {
    "kurtosis": "kurtosis",
    "kurtosis_about_zero": "kurtosis about zero",
    "kurtosis_of_layers": "mean kurtosis of the layers",
    "k2": "kurtosis of kurtoses",
    "optimal": "optimal amount",
    "safe": "safe amount",
    "cosine_99": "amount at cosine 0.99",
    "effective": "effective number, |w|",
    "effective_half": "effective number, root of |w|",
    "near_zero": "share near zero",
}
CONFOUNDERS = {
    "accuracy_parent": "accuracy of the parent",
    "norm": "norm of the weights",
    "parent_epochs": "epochs of training",
    "layer_spread": "spread of the layers' scales",
}
# Column -> name in the book: the largest amount at the allowed cost.
TARGETS = {
    "most": "after an epoch",
    "most_held": "after an epoch, from the tuned parent",
    "most_untuned": "just after pruning",
}
MIN_EXTRA_PAIRS = 4  # with fewer, the residuals of a fit always seem to correlate
ROUNDING = 1e-9  # size of residuals that are zero but for rounding
Interval = tuple[float, float, float]  # value, and both ends of its 95% interval


def parent_table(rows: pd.DataFrame, cost: float = COST) -> pd.DataFrame:
    """Return one row per parent, from rows of `kurtosis_on_purpose`: its statistics and largest amounts (`TARGETS`).

    At the largest amount, accuracy is `cost` below the parent's. For `most_held` it is `cost` below the accuracy of the
    unpruned parent after the same fine-tuning. Parents are in the order of `VARIANTS` and seeds.
    """
    found, places = [], {variant.name: i for i, variant in enumerate(VARIANTS)}
    for _, part in rows.groupby("run", sort=False):
        tuned = part.loc[part["epochs"] > 0]
        unpruned = tuned.loc[tuned["amount"] == 0, "accuracy"].mean()
        found.append(
            {
                **part.iloc[0][["seed", "accuracy_parent", *PARENT_COLUMNS]].to_dict(),
                "most": largest_amount(tuned, cost),
                "most_held": largest_amount(tuned.assign(accuracy_parent=unpruned), cost),
                "most_untuned": largest_amount(part, cost, "accuracy_pruned"),
            }
        )
    found.sort(key=lambda parent: (places.get(parent["variant"], len(places)), parent["seed"]))
    return pd.DataFrame(found)


def correlation(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], given: Sequence[Float[np.ndarray, " n"]] = ()
) -> float:
    """Return Spearman's rank correlation in [-1, 1]; with `given`, the partial one (residuals of linear fits of ranks).

    nan if the residuals of x or y are zero, or if there are fewer than `MIN_EXTRA_PAIRS` pairs beyond the fitted ones.
    """
    from scipy.stats import rankdata

    ranks = np.asarray(rankdata(np.stack([x, y, *given]), axis=1))  # [2 + given, n]
    left = ranks - ranks.mean(axis=1, keepdims=True)
    if given and len(x) < len(given) + MIN_EXTRA_PAIRS:
        return float("nan")
    if given:
        left[:2] -= (left[2:].T @ np.linalg.lstsq(left[2:].T, left[:2].T, rcond=None)[0]).T
    a, b = left[:2]
    size = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    return float(np.clip(a @ b / (size[0] * size[1]), -1, 1)) if min(size) > ROUNDING * len(a) else float("nan")


def predictor_correlations(parents: pd.DataFrame, target: str) -> dict[str, float]:
    """Return the correlation of each of `PREDICTORS` with the target."""
    y = parents[target].to_numpy(dtype=float)
    return {name: correlation(parents[name].to_numpy(dtype=float), y) for name in PREDICTORS}


def gains_over_kurtosis(parents: pd.DataFrame, target: str) -> dict[str, float]:
    """Return the correlation of each other predictor with the target minus the correlation of kurtosis."""
    found = predictor_correlations(parents, target)
    return {name: value - found["kurtosis"] for name, value in found.items() if name != "kurtosis"}


def partial_correlations(parents: pd.DataFrame, target: str) -> dict[str, float]:
    """Return the correlation of kurtosis with the target given nothing, each of `CONFOUNDERS`, and all of them."""
    x, y = (parents[name].to_numpy(dtype=float) for name in ("kurtosis", target))
    columns = {name: parents[name].to_numpy(dtype=float) for name in CONFOUNDERS}
    given = {"nothing": [], **{name: [column] for name, column in columns.items()}, "all": list(columns.values())}
    return {name: correlation(x, y, each) for name, each in given.items()}


def within_seed_correlation(parents: pd.DataFrame, target: str) -> dict[str, float]:
    """Return the mean over the seeds of the correlation of kurtosis with the target over the variants of one seed."""
    parts = [part[["kurtosis", target]].to_numpy(dtype=float).T for _, part in parents.groupby("seed")]
    found = [correlation(*part) for part in parts]
    return {"kurtosis": float(np.mean(found))}


def changes_from_base(parents: pd.DataFrame) -> pd.DataFrame:
    """Return the change of each parent from the base variant of its seed; the base variants are left out.

    Columns variant, moved, seed, `kurtosis` (ratio to the base) and each target (difference of amounts).
    """
    base = parents.loc[parents["moved"] == BASE, ["seed", "kurtosis", *TARGETS]]
    others = parents.loc[parents["moved"] != BASE, ["variant", "moved", "seed", "kurtosis", *TARGETS]]
    both = others.merge(base, on="seed", suffixes=("", "_base"))
    changes = {name: both[name] - both[f"{name}_base"] for name in TARGETS}
    return both[["variant", "moved", "seed"]].assign(kurtosis=both["kurtosis"] / both["kurtosis_base"], **changes)


def sign_agreement(moved: pd.DataFrame, target: str) -> dict[str, float]:
    """Return the share in [0, 1] of rows of `changes_from_base` in which target and kurtosis change the same way."""
    signs = np.sign(np.log(moved["kurtosis"].to_numpy())) * np.sign(moved[target].to_numpy())
    return {"share": float((signs > 0).mean()) if len(signs) else float("nan")}


def bootstrap_variants(
    parents: pd.DataFrame, statistic: Callable[[pd.DataFrame], dict[str, float]], seed: int = 0, draws: int = 1000
) -> dict[str, Interval]:
    """Return a statistic of the parents with its 95% interval, from a bootstrap over variants with all their seeds.

    `parents`: from `parent_table` or `changes_from_base`. Draws in which the statistic is undefined are left out. The
    ends are nan if there are fewer than 5 variants.
    """
    names = parents["variant"].to_numpy()
    places = [np.flatnonzero(names == name) for name in dict.fromkeys(names)]
    found = statistic(parents)
    if len(places) < 5:
        return {name: (value, float("nan"), float("nan")) for name, value in found.items()}
    rng = np.random.default_rng(seed)
    picks = [np.concatenate([places[i] for i in rng.integers(len(places), size=len(places))]) for _ in range(draws)]
    drawn = [statistic(parents.iloc[pick]) for pick in picks]
    return {name: (value, *_percentile_interval([each[name] for each in drawn])) for name, value in found.items()}


def _percentile_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 2.5th and 97.5th percentile of the finite values; nan without finite values."""
    known = np.asarray(values)[np.isfinite(values)]
    low, high = np.quantile(known, [0.025, 0.975]).tolist() if known.size else (float("nan"), float("nan"))
    return low, high
