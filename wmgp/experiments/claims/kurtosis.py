"""C5 and C6: kurtoses by what they may mean, what they order, and networks before training."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..display_names import NETWORK_NAMES
from ..statistics import accuracy_cost, rank_correlation
from ..statistics.kurtosis_definitions import DEFINITIONS, POOLED
from .parent_weights import families, parent_row
from .records import Recorded
from .sweeps import by_parent, sweep_row, tuned_once
from .verdicts import MIN_SEEDS, NOTHING, Estimate, Row

STEEP = 0.8  # the amount at which fronts before and after training are compared
WITHOUT_NORM = DEFINITIONS[1]
WORDS = {WITHOUT_NORM: "weights and biases without batch-norm, pooled"}  # recorded as "the same", after the first one


def readings(alike: list[dict[str, Any]]) -> dict[str, float]:
    """What "the kurtosis of a network" may mean, means over its parents; without what is undefined."""
    table = [record["trained"]["definitions"] for record in alike]
    return {
        name: float(np.mean([each[name] for each in table])) for name, first in table[0].items() if first is not None
    }


def nearest_reading(of: Recorded, network: str) -> str:
    """Which reading comes closest to a network's published figure, and what it gives for the other networks."""
    known = {alike[0]["network"]: readings(alike) for alike in families(of).values()}
    published = {name: of.published[key] for name in known if (key := f"kurtosis.{name}") in of.published}
    best = min(known[network], key=lambda reading: abs(known[network][reading] - published[network]))
    others = [
        f"{NETWORK_NAMES[name]} has {known[name][best]:.2f} (published: {figure:.2f})"
        for name, figure in published.items()
        if name != network
    ]
    return (
        "The paper does not say over what it is taken. "
        f"Closest of {len(known[network])} readings, picked with the figure known: {WORDS.get(best, best)}, "
        f"{known[network][best]:.2f}; by the same reading {' and '.join(others)}."
    )


def kurtoses(of: Recorded) -> Iterator[Row]:
    """C5's published kurtoses."""
    for alike in families(of).values():
        if (key := f"kurtosis.{alike[0]['network']}") in of.published:
            values = [record["trained"]["analysis"]["kurtosis"] for record in alike]
            claim, note = "Kurtosis of the pooled parameters", nearest_reading(of, alike[0]["network"])
            yield parent_row(of, alike, "C5", key, claim, values, ".2f", "03_kurtosis", note)


def before_training(of: Recorded) -> Iterator[Row]:
    """C6: kurtosis, front and optimal amount of networks before training, beside those after it."""
    for alike in families(of).values():
        pairs = [(record["trained"]["analysis"], record["initial"]["analysis"]) for record in alike]
        fall = [_cosine(before) - _cosine(after) for after, before in pairs]
        fresh = [before["optimal"]["amount"] for _, before in pairs]
        rows = [
            ("C6.kurtosis", "Kurtosis after training less that before it", risen(alike, POOLED), "+.2f"),
            ("C6.cosine", f"Cosine at {STEEP:.0%} pruned before training less that after it", fall, "+.3f"),
            ("C6.amount", "Optimal amount before training", fresh, ".2f"),
        ]
        if (bare := risen(alike, WITHOUT_NORM)) != risen(alike, POOLED):
            claim = "Kurtosis without batch-norm after training less that before it"
            rows.insert(1, ("C6.kurtosis.without_norm", claim, bare, "+.2f"))
        for key, claim, values, form in rows:
            yield parent_row(of, alike, "C6", key, claim, values, form, "08_optimal_amount")


def risen(alike: list[dict[str, Any]], reading: str) -> list[float]:
    """By how much each parent's kurtosis rose in training, by one of `DEFINITIONS`."""
    return [record["trained"]["definitions"][reading] - record["initial"]["definitions"][reading] for record in alike]


def _cosine(analysis: dict[str, Any]) -> float:
    """The front's cosine at the amount `STEEP`."""
    return float(np.interp(STEEP, analysis["front"]["amount"], analysis["front"]["cosine"]))


def kurtosis_orders(of: Recorded) -> Iterator[Row]:
    """C5: does kurtosis order what could be pruned, among parents that differ by their seed, and among networks?"""
    tails, most, files, claim = [], [], [], "Rank correlation of kurtosis and largest amount"
    missing = f"it takes {MIN_SEEDS} parents to tell an order."
    for name, rows in tuned_once(of):
        parents = by_parent(of, rows)
        mine = (
            [analysis["kurtosis"] for analysis, _ in parents],
            [accuracy_cost.largest_amount(part) for _, part in parents],
        )
        found, words = order(*mine), f"{claim}, among parents alike"
        yield sweep_row(of, name, rows, "C5", "C5.alike", words, found, "+.2f", "08_optimal_amount", missing=missing)
        tails.append(float(np.mean(mine[0])))
        most.append(float(np.mean(mine[1])))
        files.append(name)
    yield of.row(
        "C5", "C5.between", f"{claim}, among networks", (f"{len(files)} networks", "their data"), order(tails, most),
        "+.2f", "08_optimal_amount", "papermill notebooks/08_optimal_amount.ipynb out.ipynb",
        tuple(dict.fromkeys(files)), missing=f"it takes {MIN_SEEDS} networks to tell an order.",
        note="What is counted as seeds are networks here, each the mean of its parents.",
    )  # fmt: skip


def order(x: Sequence[float], y: Sequence[float]) -> Estimate:
    """The rank correlation of pairs (`optimum.rank_correlation`); nothing for fewer than `MIN_SEEDS`.

    A single pair has none, so the ends of its interval stand for the least and the largest.
    """
    if len(x) < MIN_SEEDS:
        return NOTHING
    value, low, high = rank_correlation.rank_correlation(x, y)
    return Estimate(value, low, high, len(x), low, high)


MEASURES = (kurtoses, kurtosis_orders, before_training)
