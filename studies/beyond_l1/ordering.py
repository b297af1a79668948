"""Does the cosine to the parent order ways to prune? Rank correlations, and gains over one-shot L1.

Rows are those of `beyond_l1`, with a further column `way` (`named`).
"""

import numpy as np
import pandas as pd

from studies.beyond_l1.schedules import WAYS
from wmgp.experiments.statistics import collapse
from wmgp.experiments.statistics.intervals import mean_interval
from wmgp.experiments.statistics.rank_correlation import spearman

PLAIN = WAYS["l1", "one-shot"]
OVERALL, EACH = "all amounts", "mean"
# Which ways are compared, by name: those whose method and rule pass.
AMONG = {
    "all ways": lambda method, rule: True,
    "all but random": lambda method, rule: method != "random",
    "who chooses": lambda method, rule: rule == "one-shot",
    "schedules of L1": lambda method, rule: method == "l1",
}


def named(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows by way, amount and seed, what the book calls their way in the column `way`; without the controls.

    Controls are the rows in which nothing was pruned.
    """
    pruned = rows.loc[rows["amount"] > 0]
    keys, order = list(zip(pruned["method"], pruned["rule"], strict=True)), list(WAYS)
    found = pruned.assign(way=[WAYS[key] for key in keys], place=[order.index(key) for key in keys])
    return found.sort_values(by=["place", "amount", "seed"], ignore_index=True).drop(columns="place")


def among(rows: pd.DataFrame, which: str) -> pd.DataFrame:
    """The rows of the ways that a name of `AMONG` stands for."""
    passes = AMONG[which]
    return rows.loc[[passes(*way) for way in zip(rows["method"], rows["rule"], strict=True)]]


def ranks(rows: pd.DataFrame, x: str, y: str = "accuracy") -> dict[str, float]:
    """Spearman's rank correlation in [-1, 1] of `x` with `y` over the ways, each its mean over the seeds.

    By amount ("80%"); `EACH`, the mean of these; and `OVERALL`, over all ways and amounts at once, where the amount
    moves both. nan where either is constant, or a single way is left.
    """
    found, every = {}, []
    for amount, part in rows.groupby("amount"):
        every.append(np.asarray(part.groupby("way")[[x, y]].mean(), dtype=float))  # [ways, 2]
        found[f"{amount:.0%}"] = spearman(*every[-1].T)
    return {**found, EACH: float(np.mean(list(found.values()))), OVERALL: spearman(*np.concatenate(every).T)}


def left(rows: pd.DataFrame, y: str = "accuracy") -> dict[str, float]:
    """Unexplained shares of the variance of `y` (`collapse.shares`); "after" is over the cosine after training."""
    found = collapse.shares(rows.assign(method=rows["way"]), y)
    return {**found, "after": collapse.unexplained(rows["cosine"].to_numpy(), rows[y].to_numpy())}


def means(rows: pd.DataFrame, y: str = "accuracy") -> pd.DataFrame:
    """By way and amount: mean of `y` over the seeds with its 95% interval, columns way, amount, mean, low, high."""
    found = [
        (part["way"].iloc[0], part["amount"].iloc[0], *mean_interval(part[y]))
        for _, part in rows.groupby(["way", "amount"], sort=False)
    ]
    return pd.DataFrame(found, columns=pd.Index(["way", "amount", "mean", "low", "high"]))


def gains(rows: pd.DataFrame, y: str = "accuracy") -> pd.DataFrame:
    """The same of `y` less that of one-shot L1 of the same seed and amount."""
    plain = rows.loc[rows["way"] == PLAIN].set_index(["seed", "amount"])[y]
    others = rows.loc[rows["way"] != PLAIN].set_index(["seed", "amount"])
    return means(others.assign(**{y: others[y] - plain.reindex(others.index)}).reset_index(), y)
