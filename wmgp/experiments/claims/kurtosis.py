"""C5 and C6: definitions of kurtosis, its rank correlation with the largest amount, networks before training."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..display_names import NETWORK_NAMES
from ..statistics import accuracy_cost, rank_correlation
from ..statistics.kurtosis_definitions import DEFINITIONS, POOLED
from .parent_weights import parent_row, parents_by_network
from .records import Recorded
from .sweeps import by_parent, one_epoch_sweeps, sweep_row
from .verdicts import MIN_SEEDS, NO_ESTIMATE, Estimate, Row

COMPARED_AMOUNT = 0.8  # amount at which fronts before and after training are compared
WITHOUT_NORM = DEFINITIONS[1]
# The recorded name is "the same ...".
DEFINITION_LABELS = {WITHOUT_NORM: "weights and biases without batch-norm, pooled"}


def mean_kurtoses(parents: list[dict[str, Any]]) -> dict[str, float]:
    """Return the mean kurtosis of a network's parents by each definition, without undefined ones."""
    table = [record["trained"]["definitions"] for record in parents]
    return {
        name: float(np.mean([each[name] for each in table])) for name, first in table[0].items() if first is not None
    }


def closest_definition(of: Recorded, network: str) -> str:
    """Return a note: the definition closest to a network's published kurtosis, and its values for other networks."""
    known = {parents[0]["network"]: mean_kurtoses(parents) for parents in parents_by_network(of).values()}
    published = {name: of.published[key] for name in known if (key := f"kurtosis.{name}") in of.published}
    best = min(known[network], key=lambda definition: abs(known[network][definition] - published[network]))
    others = [
        f"{NETWORK_NAMES[name]} has {known[name][best]:.2f} (published: {value:.2f})"
        for name, value in published.items()
        if name != network
    ]
    return (
        "The paper does not say which parameters it covers. "
        f"Closest of {len(known[network])} definitions, chosen after seeing the published value: "
        f"{DEFINITION_LABELS.get(best, best)}, {known[network][best]:.2f}; "
        f"by the same definition {' and '.join(others)}."
    )


def published_kurtoses(of: Recorded) -> Iterator[Row]:
    """Yield C5's rows of published kurtoses."""
    for parents in parents_by_network(of).values():
        if (key := f"kurtosis.{parents[0]['network']}") in of.published:
            values = [record["trained"]["analysis"]["kurtosis"] for record in parents]
            claim, note = "Kurtosis of the pooled parameters", closest_definition(of, parents[0]["network"])
            yield parent_row(of, parents, "C5", key, claim, values, ".2f", "03_kurtosis", note)


def before_training(of: Recorded) -> Iterator[Row]:
    """Yield C6's rows: kurtosis and cosine before and after training, and the optimal amount before it."""
    for parents in parents_by_network(of).values():
        pairs = [(record["trained"]["analysis"], record["initial"]["analysis"]) for record in parents]
        fall = [_cosine(before) - _cosine(after) for after, before in pairs]
        fresh = [before["optimal"]["amount"] for _, before in pairs]
        rows = [
            ("C6.kurtosis", "Kurtosis after training minus before it", kurtosis_changes(parents, POOLED), "+.2f"),
            ("C6.cosine", f"Cosine at {COMPARED_AMOUNT:.0%} pruned before training minus after it", fall, "+.3f"),
            ("C6.amount", "Optimal amount before training", fresh, ".2f"),
        ]
        if (bare := kurtosis_changes(parents, WITHOUT_NORM)) != kurtosis_changes(parents, POOLED):
            claim = "Kurtosis without batch-norm after training minus before it"
            rows.insert(1, ("C6.kurtosis.without_norm", claim, bare, "+.2f"))
        for key, claim, values, form in rows:
            yield parent_row(of, parents, "C6", key, claim, values, form, "08_optimal_amount")


def kurtosis_changes(parents: list[dict[str, Any]], definition: str) -> list[float]:
    """Return each parent's kurtosis after training minus that before it, by one of `DEFINITIONS`."""
    return [
        record["trained"]["definitions"][definition] - record["initial"]["definitions"][definition]
        for record in parents
    ]


def _cosine(analysis: dict[str, Any]) -> float:
    """Return the front's cosine at the amount `STEEP`."""
    return float(np.interp(COMPARED_AMOUNT, analysis["front"]["amount"], analysis["front"]["cosine"]))


def kurtosis_correlations(of: Recorded) -> Iterator[Row]:
    """Yield C5's rank correlations of kurtosis and largest amount: among seeds of a network, and among networks."""
    kurtoses, amounts, files, claim = [], [], [], "Rank correlation of kurtosis and largest amount"
    missing = f"it takes {MIN_SEEDS} parents to tell an order."
    for name, rows in one_epoch_sweeps(of):
        parents = by_parent(of, rows)
        mine = (
            [analysis["kurtosis"] for analysis, _ in parents],
            [accuracy_cost.largest_amount(part) for _, part in parents],
        )
        found, words = correlation_estimate(*mine), f"{claim}, among parents of one network"
        yield sweep_row(of, name, rows, "C5", "C5.alike", words, found, "+.2f", "08_optimal_amount", missing=missing)
        kurtoses.append(float(np.mean(mine[0])))
        amounts.append(float(np.mean(mine[1])))
        files.append(name)
    yield of.row(
        "C5", "C5.between", f"{claim}, among networks", (f"{len(files)} networks", "their data"),
        correlation_estimate(kurtoses, amounts), "+.2f", "08_optimal_amount",
        "papermill notebooks/08_optimal_amount.ipynb out.ipynb", tuple(dict.fromkeys(files)),
        missing=f"it takes {MIN_SEEDS} networks to tell an order.",
        note="Each network counts as one seed: the mean over its parents.",
    )  # fmt: skip


def correlation_estimate(x: Sequence[float], y: Sequence[float]) -> Estimate:
    """Return the rank correlation of pairs (`rank_correlation.rank_correlation`), `NOTHING` for under `MIN_SEEDS`.

    A single pair has no rank correlation: the ends of the interval replace the least and largest value.
    """
    if len(x) < MIN_SEEDS:
        return NO_ESTIMATE
    value, low, high = rank_correlation.rank_correlation(x, y)
    return Estimate(value, low, high, len(x), low, high)


MEASURES = (published_kurtoses, kurtosis_correlations, before_training)
