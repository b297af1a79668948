"""Rank correlations of cosine and accuracy over pruning strategies, and gains over one-shot L1.

`rows` are rows of the table of `measure` with a column `strategy` (see `add_strategy_names`).
"""

import numpy as np
import pandas as pd

from studies.beyond_l1.schedules import STRATEGIES
from wmgp.experiments.statistics import collapse
from wmgp.experiments.statistics.intervals import mean_interval
from wmgp.experiments.statistics.rank_correlation import spearman

ONE_SHOT_L1 = STRATEGIES["l1", "one-shot"]
ALL_AMOUNTS, MEAN_OVER_AMOUNTS = "all amounts", "mean"
# Group -> condition on method and schedule.
STRATEGY_GROUPS = {
    "all strategies": lambda method, rule: True,
    "all but random": lambda method, rule: method != "random",
    "one-shot methods": lambda method, rule: rule == "one-shot",
    "L1 schedules": lambda method, rule: method == "l1",
}


def add_strategy_names(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with pruned weights, with a column `strategy`, sorted by strategy, amount and seed."""
    pruned = rows.loc[rows["amount"] > 0]
    keys, order = list(zip(pruned["method"], pruned["rule"], strict=True)), list(STRATEGIES)
    named = pruned.assign(strategy=[STRATEGIES[key] for key in keys], place=[order.index(key) for key in keys])
    return named.sort_values(by=["place", "amount", "seed"], ignore_index=True).drop(columns="place")


def select_strategies(rows: pd.DataFrame, group: str) -> pd.DataFrame:
    """Return the rows of a group of `STRATEGY_GROUPS`."""
    is_in_group = STRATEGY_GROUPS[group]
    return rows.loc[[is_in_group(*key) for key in zip(rows["method"], rows["rule"], strict=True)]]


def rank_correlations(rows: pd.DataFrame, x: str, y: str = "accuracy") -> dict[str, float]:
    """Return Spearman's rank correlations in [-1, 1] of `x` with `y` over the strategies' means over the seeds.

    Keys: each amount ("80%"); `MEAN_OVER_AMOUNTS`, the mean of these; `ALL_AMOUNTS`, over all strategies and amounts at
    once. nan if either is constant, or there is a single strategy.
    """
    correlations, means = {}, []
    for amount, part in rows.groupby("amount"):
        means.append(np.asarray(part.groupby("strategy")[[x, y]].mean(), dtype=float))  # [strategies, 2]
        correlations[f"{amount:.0%}"] = spearman(*means[-1].T)
    mean, overall = float(np.mean(list(correlations.values()))), spearman(*np.concatenate(means).T)
    return {**correlations, MEAN_OVER_AMOUNTS: mean, ALL_AMOUNTS: overall}


def unexplained_variance(rows: pd.DataFrame, y: str = "accuracy") -> dict[str, float]:
    """Return `collapse.unexplained_shares` of `y`, and "after": the share unexplained by the final cosine."""
    shares = collapse.unexplained_shares(rows.assign(method=rows["strategy"]), y)
    return {**shares, "after": collapse.unexplained(rows["cosine"].to_numpy(), rows[y].to_numpy())}


def mean_by_strategy(rows: pd.DataFrame, y: str = "accuracy") -> pd.DataFrame:
    """Return the mean of `y` over the seeds with its 95% interval: columns strategy, amount, mean, low, high."""
    means = [
        (part["strategy"].iloc[0], part["amount"].iloc[0], *mean_interval(part[y]))
        for _, part in rows.groupby(["strategy", "amount"], sort=False)
    ]
    return pd.DataFrame(means, columns=pd.Index(["strategy", "amount", "mean", "low", "high"]))


def gains_over_l1(rows: pd.DataFrame, y: str = "accuracy") -> pd.DataFrame:
    """Return `mean_by_strategy` of the difference of `y` from one-shot L1 at the same seed and amount."""
    baseline = rows.loc[rows["strategy"] == ONE_SHOT_L1].set_index(["seed", "amount"])[y]
    others = rows.loc[rows["strategy"] != ONE_SHOT_L1].set_index(["seed", "amount"])
    return mean_by_strategy(others.assign(**{y: others[y] - baseline.reindex(others.index)}).reset_index(), y)
