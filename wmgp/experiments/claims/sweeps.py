"""Pruned networks: C1 to C3, C7 and C9 in every sweep."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..results.coverage import paper_grid_share
from ..statistics import accuracy_cost, collapse
from .records import Recorded
from .verdicts import MIN_SEEDS, Estimate, Row, mean

L1_AND_RANDOM = ("l1", "random")
HIGH_COSINE = 0.9  # a practitioner would stay above this cosine
COSINES = np.round(np.arange(0.05, 1, 0.05), 2).tolist()  # to compare methods of which one does not reach `CLOSE`
REPAIRABLE_COSINE = 0.95  # one epoch should lead back to the parent from this cosine
SMALL, LARGE = 0.2, 0.98  # amounts of a small and a large prune
MANY_EPOCHS = 10  # epochs
EXPECTED_FAILURE = "mobilenet_v2"  # the paper itself expects the optimal amount to fail here
ROUNDING = 1e-12  # error of a cosine, which is a sum in float64
POINTS = 100


def network_and_data(rows: pd.DataFrame) -> tuple[str, ...]:
    """Return the network, data and start of a sweep."""
    first = rows.iloc[0]
    return first["network"], first["data"], first["start"]


def one_epoch_sweeps(of: Recorded) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the sweeps with L1 and random pruning and one epoch of fine-tuning: table name, rows of both methods."""
    for name, rows in of.sweeps:
        if rows["epochs"].iloc[0] == 1 and set(L1_AND_RANDOM) <= set(rows["method"]):
            yield name, rows.loc[rows["method"].isin(list(L1_AND_RANDOM))]


def by_seed(rows: pd.DataFrame, statistic: Callable[[pd.DataFrame], float]) -> Estimate:
    """Return the mean over the seeds of a statistic of each seed's rows."""
    return mean(statistic(part) for _, part in rows.groupby("seed"))


def sweep_row(
    of: Recorded, name: str, rows: pd.DataFrame, id: str, key: str, claim: str, found: Estimate, form: str,
    notebook: str, note: str = "", **more: Any,
) -> Row:  # fmt: skip
    """Return a row about one sweep; if the paper's grid is incomplete, the note states its share."""
    done = paper_grid_share(rows)
    grid = "" if done is None or done >= 1 else f"Rests on {done:.0%} of the paper's grid."
    command, note = of.commands(name, rows), f"{note} {grid}".strip()
    return of.row(
        id, key, claim, network_and_data(rows), found, form, notebook, command, (name,), note=note, **more,
    )  # fmt: skip


def l1_is_best(of: Recorded) -> Iterator[Row]:
    """Yield C1's rows: the share of prunes in which no method keeps a higher cosine than L1."""
    for name, rows in of.sweeps:
        if rows["epochs"].iloc[0] > 1 or not {"l1"} < set(rows["method"]):
            continue  # cosines before fine-tuning: sweeps with more epochs repeat the same prunes
        shares = [_l1_win_share(part) for _, part in rows.groupby("parent_sha256")]
        claim = "Share of the prunes in which no method keeps a higher cosine than L1"
        yield sweep_row(of, name, rows, "C1", "C1.share", claim, mean(shares), ".3f", "01_l1_is_optimal", exact=True)


def _l1_win_share(rows: pd.DataFrame) -> float:
    """Return the share of a parent's prunes by other methods whose cosine is at most L1's at the same amount."""
    best = rows.loc[rows["method"] == "l1"].set_index("amount")["cosine_pruned"].to_dict()
    others = rows.loc[(rows["method"] != "l1") & rows["cosine_pruned"].notna()]
    pairs = zip(others["amount"], others["cosine_pruned"], strict=True)
    return float(np.mean([cosine <= best[amount] + ROUNDING for amount, cosine in pairs]))


def accuracy_against_cosine(of: Recorded) -> Iterator[Row]:
    """Yield C2's rows: variance not explained by amount or cosine, and L1 minus random accuracy at one cosine."""
    for name, rows in one_epoch_sweeps(of):
        cosine = common_cosine(rows)
        nearest = "" if cosine == HIGH_COSINE else f", the nearest to {HIGH_COSINE} that both reach"
        gap = f"L1 − random accuracy at cosine {cosine:g}{nearest} (percentage points)"
        for key, claim, found, form in (
            ("C2.amount", "Variance in accuracy not explained by the amount",
             by_seed(rows, lambda part: collapse.unexplained_shares(part)["amount"]), ".3f"),
            ("C2.cosine", "Variance in accuracy not explained by the cosine",
             by_seed(rows, lambda part: collapse.unexplained_shares(part)["cosine"]), ".3f"),
            ("C2.reached" if nearest else "C2.gap", gap, mean(POINTS * collapse.differences(rows, cosine)), "+.2f"),
        ):  # fmt: skip
            yield sweep_row(
                of, name, rows, "C2", key, claim, found, form, "05_cosine_not_percentage",
                missing="no two prunes by both methods are near enough to a cosine.",
            )  # fmt: skip


def common_cosine(rows: pd.DataFrame) -> float:
    """Return the cosine of `COSINES` nearest to `CLOSE` that both methods reach in every seed; else `CLOSE`."""
    seeds = rows["seed"].nunique()
    there = [cosine for cosine in COSINES if collapse.differences(rows, cosine).size == seeds]
    return min(there, key=lambda cosine: abs(cosine - HIGH_COSINE), default=HIGH_COSINE)


def functional_similarity(of: Recorded) -> Iterator[Row]:
    """Yield C3's rows: rank correlation of cosine and agreement with the parent, and agreement after one epoch."""
    few = f"it takes {MIN_SEEDS} prunes of a seed to tell an order."
    for name, rows in one_epoch_sweeps(of):
        for key, claim, found, form, missing in (
            ("C3.agreement", "Rank correlation of cosine and agreement with the parent",
             by_seed(rows, agreement_correlation), "+.3f", few),
            ("C3.near", f"The same among prunes of cosine {HIGH_COSINE} and more",
             by_seed(rows.loc[rows["cosine_pruned"] >= HIGH_COSINE], agreement_correlation), "+.3f", few),
            ("C3.back", f"Agreement after an epoch, L1 at cosine {REPAIRABLE_COSINE} − unpruned (percentage points)",
             agreement_after_epoch(rows), "+.2f", "not measured yet."),
        ):  # fmt: skip
            yield sweep_row(of, name, rows, "C3", key, claim, found, form, "06_function_space", missing=missing)


def agreement_correlation(rows: pd.DataFrame) -> float:
    """Return the rank correlation of cosine and agreement; nan for under `MIN_SEEDS` prunes: 2 are always in order."""
    return collapse.rank_correlations(rows, ["agreement"])["agreement"] if len(rows) >= MIN_SEEDS else float("nan")


def agreement_after_epoch(rows: pd.DataFrame) -> Estimate:
    """Return the agreement with the parent after the epoch: L1 at cosine `BACK` minus unpruned (percentage points)."""
    l1 = rows.loc[rows["method"] == "l1"]
    there = collapse.accuracy_at_cosine(l1, (REPAIRABLE_COSINE,), "agreement").set_index("seed")["agreement"]
    unpruned = l1.loc[l1["amount"] == 0].set_index("seed")["agreement"]
    return mean((POINTS * (there - unpruned)).tolist())


def by_parent(of: Recorded, rows: pd.DataFrame) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """Return, for each parent of a sweep, the analysis of its weights and the rows of its L1 prunes."""
    known = of.parents_of(rows)
    parts = rows.loc[rows["method"] == "l1"].groupby("parent_sha256")
    return [(known[str(sha)]["trained"]["analysis"], part) for sha, part in parts]


def optimal_against_largest(of: Recorded) -> Iterator[Row]:
    """Yield C7's rows: largest minus optimal amount, and the accuracy lost at the optimal amount; not `EXCEPTION`."""
    for name, rows in one_epoch_sweeps(of):
        if rows["network"].iloc[0] == EXPECTED_FAILURE:
            continue
        parents = by_parent(of, rows)
        gaps = [accuracy_cost.largest_amount(part) - analysis["optimal"]["amount"] for analysis, part in parents]
        for key, claim, found, form in (
            ("C7.knee", "Largest amount at a cost of one point minus the optimal amount", mean(gaps), "+.3f"),
            ("C7.cost", "Accuracy lost at the optimal amount, after an epoch (percentage points)",
             mean(accuracy_lost_at(parents, "optimal")), "+.2f"),
        ):  # fmt: skip
            yield sweep_row(of, name, rows, "C7", key, claim, found, form, "08_optimal_amount")


def accuracy_lost_at(parents: list[tuple[dict[str, Any], pd.DataFrame]], rule: str) -> list[float]:
    """Return the accuracy lost after fine-tuning at a rule's amount (percentage points), one value per parent."""
    return [POINTS * accuracy_cost.cost_at(part, [analysis[rule]["amount"]])[0] for analysis, part in parents]


def longer_fine_tuning(of: Recorded) -> Iterator[Row]:
    """Yield C9's rows: divergence from and cosine to the parent, ten epochs minus one epoch of the same prunes."""
    once = {network_and_data(rows): rows for _, rows in one_epoch_sweeps(of)}
    for name, rows in of.sweeps:
        if rows["epochs"].iloc[0] != MANY_EPOCHS or network_and_data(rows) not in once:
            continue
        keys = ["parent_sha256", "method", "amount"]
        both = rows.merge(once[network_and_data(rows)], on=keys, suffixes=("", "_once"))
        for size, amount in (("small", SMALL), ("large", LARGE)):
            there = both.loc[(both["method"] == "l1") & np.isclose(both["amount"], amount)]
            for key, y, what in (
                (f"C9.{size}", "js", "Divergence from the parent (nats)"),
                (f"C9.{size}.cosine", "cosine", "Cosine to the parent"),
            ):
                found = mean((there[y] - there[f"{y}_once"]).tolist())
                claim = f"{what} after {MANY_EPOCHS} epochs minus after one, {size} prune ({amount:.0%})"
                yield sweep_row(of, name, rows, "C9", key, claim, found, "+.4f", "16_more_fine_tuning")


MEASURES = (l1_is_best, accuracy_against_cosine, functional_similarity, optimal_against_largest, longer_fine_tuning)
