"""What pruned networks did: C1 to C3, C7 and C9 in every sweep."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..results.coverage import paper_grid_share
from ..statistics import accuracy_cost, collapse
from .records import Recorded
from .verdicts import MIN_SEEDS, Estimate, Row, mean

PAIR = ("l1", "random")
CLOSE = 0.9  # the cosine above which a practitioner would stay
COSINES = np.round(np.arange(0.05, 1, 0.05), 2).tolist()  # where methods are compared that do not both reach that one
BACK = 0.95  # the cosine from which one epoch should lead back
SMALL, LARGE = 0.2, 0.98  # amounts of a small and of a large prune
TEN = 10  # epochs
EXCEPTION = "mobilenet_v2"  # where the paper itself expects the optimal amount to fail
ROUNDING = 1e-12  # of a cosine, which is a sum in float64
POINTS = 100


def about(rows: pd.DataFrame) -> tuple[str, ...]:
    """Network, data and start of a sweep."""
    first = rows.iloc[0]
    return first["network"], first["data"], first["start"]


def tuned_once(of: Recorded) -> Iterator[tuple[str, pd.DataFrame]]:
    """The sweeps of both L1 and random pruning with an epoch of fine-tuning: table, and those rows."""
    for name, rows in of.sweeps:
        if rows["epochs"].iloc[0] == 1 and set(PAIR) <= set(rows["method"]):
            yield name, rows.loc[rows["method"].isin(list(PAIR))]


def by_seed(rows: pd.DataFrame, statistic: Callable[[pd.DataFrame], float]) -> Estimate:
    """The mean of a statistic of each seed's rows."""
    return mean(statistic(part) for _, part in rows.groupby("seed"))


def sweep_row(
    of: Recorded, name: str, rows: pd.DataFrame, id: str, key: str, claim: str, found: Estimate, form: str,
    notebook: str, note: str = "", **more: Any,
) -> Row:  # fmt: skip
    """A row about one sweep, which says how much of the paper's grid there is."""
    done = paper_grid_share(rows)
    grid = "" if done is None or done >= 1 else f"Rests on {done:.0%} of the paper's grid."
    command, note = of.commands(name, rows), f"{note} {grid}".strip()
    return of.row(
        id, key, claim, about(rows), found, form, notebook, command, (name,), note=note, **more,
    )  # fmt: skip


def l1_is_best(of: Recorded) -> Iterator[Row]:
    """C1: at every amount, no method of a sweep keeps a higher cosine than L1."""
    for name, rows in of.sweeps:
        if rows["epochs"].iloc[0] > 1 or not {"l1"} < set(rows["method"]):
            continue  # fine-tuning has no part in it: with more of it these are the same prunes
        shares = [_l1_wins(part) for _, part in rows.groupby("parent_sha256")]
        claim = "Share of the prunes in which no method keeps a higher cosine than L1"
        yield sweep_row(of, name, rows, "C1", "C1.share", claim, mean(shares), ".3f", "01_l1_is_optimal", exact=True)


def _l1_wins(rows: pd.DataFrame) -> float:
    """The share of another method's prunes of a parent whose cosine is not above that of L1 at the same amount."""
    best = rows.loc[rows["method"] == "l1"].set_index("amount")["cosine_pruned"].to_dict()
    others = rows.loc[(rows["method"] != "l1") & rows["cosine_pruned"].notna()]
    pairs = zip(others["amount"], others["cosine_pruned"], strict=True)
    return float(np.mean([cosine <= best[amount] + ROUNDING for amount, cosine in pairs]))


def one_curve(of: Recorded) -> Iterator[Row]:
    """C2: what one curve over either leaves of the accuracy's variance, and what lies between the methods."""
    for name, rows in tuned_once(of):
        cosine = in_common(rows)
        nearest = "" if cosine == CLOSE else f", the nearest to {CLOSE} that both reach"
        gap = f"Accuracy of L1 less random at cosine {cosine:g}{nearest} (points)"
        for key, claim, found, form in (
            ("C2.amount", "Variance of the accuracy that one curve over the amount leaves",
             by_seed(rows, lambda part: collapse.shares(part)["amount"]), ".3f"),
            ("C2.cosine", "Variance of the accuracy that one curve over the cosine leaves",
             by_seed(rows, lambda part: collapse.shares(part)["cosine"]), ".3f"),
            ("C2.reached" if nearest else "C2.gap", gap, mean(POINTS * collapse.differences(rows, cosine)), "+.2f"),
        ):  # fmt: skip
            yield sweep_row(
                of, name, rows, "C2", key, claim, found, form, "05_cosine_not_percentage",
                missing="no two prunes by both methods are near enough to a cosine.",
            )  # fmt: skip


def in_common(rows: pd.DataFrame) -> float:
    """The cosine, of `COSINES`, nearest to `CLOSE` that every seed has prunes near to by both methods; else `CLOSE`."""
    seeds = rows["seed"].nunique()
    there = [cosine for cosine in COSINES if collapse.differences(rows, cosine).size == seeds]
    return min(there, key=lambda cosine: abs(cosine - CLOSE), default=CLOSE)


def function(of: Recorded) -> Iterator[Row]:
    """C3: how well the cosine orders agreement with the parent, and whether one epoch leads back."""
    few = f"it takes {MIN_SEEDS} prunes of a seed to tell an order."
    for name, rows in tuned_once(of):
        for key, claim, found, form, missing in (
            ("C3.agreement", "Rank correlation of cosine and agreement with the parent", by_seed(rows, ordered), "+.3f",
             few),
            ("C3.near", f"The same among prunes of cosine {CLOSE} and more",
             by_seed(rows.loc[rows["cosine_pruned"] >= CLOSE], ordered), "+.3f", few),
            ("C3.back", f"Agreement after an epoch, L1 at cosine {BACK} less unpruned (points)", back(rows), "+.2f",
             "not measured yet."),
        ):  # fmt: skip
            yield sweep_row(of, name, rows, "C3", key, claim, found, form, "06_function_space", missing=missing)


def ordered(rows: pd.DataFrame) -> float:
    """Rank correlation of cosine and agreement; nan for fewer than `MIN_SEEDS` prunes: two are always in order."""
    return collapse.rank_correlations(rows, ["agreement"])["agreement"] if len(rows) >= MIN_SEEDS else float("nan")


def back(rows: pd.DataFrame) -> Estimate:
    """Points of agreement with the parent after the epoch: L1 at the cosine `BACK` less the unpruned network."""
    l1 = rows.loc[rows["method"] == "l1"]
    there = collapse.at_cosine(l1, (BACK,), "agreement").set_index("seed")["agreement"]
    unpruned = l1.loc[l1["amount"] == 0].set_index("seed")["agreement"]
    return mean((POINTS * (there - unpruned)).tolist())


def by_parent(of: Recorded, rows: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The L1 prunes of each parent of a sweep, with the analysis of the parent's weights."""
    known = of.parents_of(rows)
    parts = rows.loc[rows["method"] == "l1"].groupby("parent_sha256")
    return [(known[str(sha)]["trained"]["analysis"], part) for sha, part in parts]


def most_to_prune(of: Recorded) -> Iterator[Row]:
    """C7, where the paper does not itself expect it to fail: is the optimal amount the largest that costs little?"""
    for name, rows in tuned_once(of):
        if rows["network"].iloc[0] == EXCEPTION:
            continue
        parents = by_parent(of, rows)
        gaps = [accuracy_cost.largest_amount(part) - analysis["optimal"]["amount"] for analysis, part in parents]
        for key, claim, found, form in (
            ("C7.knee", "Largest amount at a cost of one point less the optimal amount", mean(gaps), "+.3f"),
            ("C7.cost", "Accuracy lost at the optimal amount, after an epoch (points)",
             mean(lost_at(parents, "optimal")), "+.2f"),
        ):  # fmt: skip
            yield sweep_row(of, name, rows, "C7", key, claim, found, form, "08_optimal_amount")


def lost_at(parents: list[tuple[dict[str, Any], pd.DataFrame]], rule: str) -> list[float]:
    """Points of accuracy lost after fine-tuning at the amount that a rule gives for each parent."""
    return [POINTS * accuracy_cost.cost_at(part, [analysis[rule]["amount"]])[0] for analysis, part in parents]


def longer(of: Recorded) -> Iterator[Row]:
    """C9, in function and in parameters: how far from the parent after ten epochs, less after one, the same prunes."""
    once = {about(rows): rows for _, rows in tuned_once(of)}
    for name, rows in of.sweeps:
        if rows["epochs"].iloc[0] != TEN or about(rows) not in once:
            continue
        keys = ["parent_sha256", "method", "amount"]
        both = rows.merge(once[about(rows)], on=keys, suffixes=("", "_once"))
        for size, amount in (("small", SMALL), ("large", LARGE)):
            there = both.loc[(both["method"] == "l1") & np.isclose(both["amount"], amount)]
            for key, y, what in (
                (f"C9.{size}", "js", "Divergence from the parent (nats)"),
                (f"C9.{size}.cosine", "cosine", "Cosine to the parent"),
            ):
                found = mean((there[y] - there[f"{y}_once"]).tolist())
                claim = f"{what} after {TEN} epochs less after one, {size} prune ({amount:.0%})"
                yield sweep_row(of, name, rows, "C9", key, claim, found, "+.4f", "16_more_fine_tuning")


MEASURES = (l1_is_best, one_curve, function, most_to_prune, longer)
