"""C5 and C6: definitions of kurtosis, its rank correlation with the largest amount, networks before training."""

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

STEEP = 0.8  # amount at which fronts before and after training are compared
WITHOUT_NORM = DEFINITIONS[1]
WORDS = {WITHOUT_NORM: "weights and biases without batch-norm, pooled"}  # the recorded name is "the same ..."


def readings(alike: list[dict[str, Any]]) -> dict[str, float]:
    """Return the mean kurtosis of a network's parents by each definition, without undefined ones."""
    table = [record["trained"]["definitions"] for record in alike]
    return {
        name: float(np.mean([each[name] for each in table])) for name, first in table[0].items() if first is not None
    }


def nearest_reading(of: Recorded, network: str) -> str:
    """Return a note: the definition closest to a network's published kurtosis, and its values for other networks."""
    known = {alike[0]["network"]: readings(alike) for alike in families(of).values()}
    published = {name: of.published[key] for name in known if (key := f"kurtosis.{name}") in of.published}
    best = min(known[network], key=lambda reading: abs(known[network][reading] - published[network]))
    others = [
        f"{NETWORK_NAMES[name]} has {known[name][best]:.2f} (published: {value:.2f})"
        for name, value in published.items()
        if name != network
    ]
    return (
        "The paper does not say over what it is taken. "
        f"Closest of {len(known[network])} readings, chosen after seeing the published value: {WORDS.get(best, best)}, "
        f"{known[network][best]:.2f}; by the same reading {' and '.join(others)}."
    )


def kurtoses(of: Recorded) -> Iterator[Row]:
    """Yield C5's rows of published kurtoses."""
    for alike in families(of).values():
        if (key := f"kurtosis.{alike[0]['network']}") in of.published:
            values = [record["trained"]["analysis"]["kurtosis"] for record in alike]
            claim, note = "Kurtosis of the pooled parameters", nearest_reading(of, alike[0]["network"])
            yield parent_row(of, alike, "C5", key, claim, values, ".2f", "03_kurtosis", note)


def before_training(of: Recorded) -> Iterator[Row]:
    """Yield C6's rows: kurtosis and cosine before and after training, and the optimal amount before it."""
    for alike in families(of).values():
        pairs = [(record["trained"]["analysis"], record["initial"]["analysis"]) for record in alike]
        fall = [_cosine(before) - _cosine(after) for after, before in pairs]
        fresh = [before["optimal"]["amount"] for _, before in pairs]
        rows = [
            ("C6.kurtosis", "Kurtosis after training minus before it", risen(alike, POOLED), "+.2f"),
            ("C6.cosine", f"Cosine at {STEEP:.0%} pruned before training minus after it", fall, "+.3f"),
            ("C6.amount", "Optimal amount before training", fresh, ".2f"),
        ]
        if (bare := risen(alike, WITHOUT_NORM)) != risen(alike, POOLED):
            claim = "Kurtosis without batch-norm after training minus before it"
            rows.insert(1, ("C6.kurtosis.without_norm", claim, bare, "+.2f"))
        for key, claim, values, form in rows:
            yield parent_row(of, alike, "C6", key, claim, values, form, "08_optimal_amount")


def risen(alike: list[dict[str, Any]], reading: str) -> list[float]:
    """Return each parent's kurtosis after training minus that before it, by one of `DEFINITIONS`."""
    return [record["trained"]["definitions"][reading] - record["initial"]["definitions"][reading] for record in alike]


def _cosine(analysis: dict[str, Any]) -> float:
    """Return the front's cosine at the amount `STEEP`."""
    return float(np.interp(STEEP, analysis["front"]["amount"], analysis["front"]["cosine"]))


def kurtosis_orders(of: Recorded) -> Iterator[Row]:
    """Yield C5's rank correlations of kurtosis and largest amount: among seeds of a network, and among networks."""
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
    """Return the rank correlation of pairs (`rank_correlation.rank_correlation`), `NOTHING` for under `MIN_SEEDS`.

    A single pair has no rank correlation: the ends of the interval replace the least and largest value.
    """
    if len(x) < MIN_SEEDS:
        return NOTHING
    value, low, high = rank_correlation.rank_correlation(x, y)
    return Estimate(value, low, high, len(x), low, high)


MEASURES = (kurtoses, kurtosis_orders, before_training)
