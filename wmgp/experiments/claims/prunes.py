"""What pruned networks did: C1 to C3, C7 and C9 in every sweep, C8 in MobileNetV2, C5 as an order of what could go."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from .. import collapse, optimum
from .coverage import command, share
from .recorded import Recorded
from .verdicts import FEWEST, Interval, Row, mean

PAIR = ("l1", "random")
CLOSE = 0.9  # the cosine above which a practitioner would stay
BACK = 0.95  # the cosine from which one epoch should lead back
SMALL, LARGE = 0.2, 0.98  # amounts of a small and of a large prune
TEN = 10  # epochs
EXCEPTION = "mobilenet_v2"  # where the paper itself expects the optimal amount to fail
ROUNDING = 1e-12  # of a cosine, which is a sum in float64
DRAWS = 200  # of the bootstrap over rows
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


def sweep_row(
    of: Recorded, name: str, rows: pd.DataFrame, id: str, key: str, claim: str, found: Interval, form: str,
    notebook: str, exact: bool = False,
) -> Row:  # fmt: skip
    """A row about one sweep; fewer seeds than `FEWEST` have no interval, and how much of the paper's grid is said."""
    seeds, done = len(set(rows["seed"])), share(rows)
    found = found if seeds >= FEWEST else (found[0], np.nan, np.nan)
    note = "" if done is None or done >= 1 else f"Rests on {done:.0%} of the paper's grid."
    return of.row(
        id, key, claim, about(rows), found, seeds, form, notebook, command(rows, name), (name,), note=note, exact=exact
    )


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
        left = collapse.over_seeds(rows, collapse.shares, draws=DRAWS)
        there = collapse.at_cosine(rows, (CLOSE,)).pivot_table(index="seed", columns="method", values="accuracy")
        there = there.reindex(columns=list(PAIR))  # a coarse grid may have no prune as far from the parent
        gap = mean((POINTS * (there["l1"] - there["random"])).tolist())
        for key, claim, found, form in (
            ("C2.amount", "Variance of the accuracy that one curve over the amount leaves", left["amount"], ".3f"),
            ("C2.cosine", "Variance of the accuracy that one curve over the cosine leaves", left["cosine"], ".3f"),
            ("C2.gap", f"Accuracy of L1 less random at cosine {CLOSE} (points)", gap, "+.2f"),
        ):
            yield sweep_row(of, name, rows, "C2", key, claim, found, form, "05_cosine_not_percentage")


def function(of: Recorded) -> Iterator[Row]:
    """C3: how well the cosine orders agreement with the parent, and whether one epoch leads back."""
    for name, rows in tuned_once(of):
        whole, near = (
            collapse.over_seeds(part, lambda each: collapse.ranks(each, ["agreement"]), draws=DRAWS)["agreement"]
            for part in (rows, rows.loc[rows["cosine_pruned"] >= CLOSE])
        )
        l1 = rows.loc[rows["method"] == "l1"]
        there = collapse.at_cosine(l1, (BACK,), "agreement").set_index("seed")["agreement"]
        unpruned = l1.loc[l1["amount"] == 0].set_index("seed")["agreement"]
        back = mean((POINTS * (there - unpruned)).dropna().tolist())
        for key, claim, found, form in (
            ("C3.agreement", "Rank correlation of cosine and agreement with the parent", whole, "+.3f"),
            ("C3.near", f"The same among prunes of cosine {CLOSE} and more", near, "+.3f"),
            ("C3.back", f"Agreement after an epoch, L1 at cosine {BACK} less unpruned (points)", back, "+.2f"),
        ):
            yield sweep_row(of, name, rows, "C3", key, claim, found, form, "06_function_space")


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
        gaps = [optimum.largest_amount(part) - analysis["optimal"]["amount"] for analysis, part in parents]
        for key, claim, found, form in (
            ("C7.knee", "Largest amount at a cost of one point less the optimal amount", mean(gaps), "+.3f"),
            ("C7.cost", "Accuracy lost at the optimal amount, after an epoch (points)",
             mean(lost_at(parents, "optimal")), "+.2f"),
        ):  # fmt: skip
            yield sweep_row(of, name, rows, "C7", key, claim, found, form, "08_optimal_amount")


def lost_at(parents: list[tuple[dict[str, Any], pd.DataFrame]], rule: str) -> list[float]:
    """Points of accuracy lost after fine-tuning at the amount that a rule gives for each parent."""
    return [POINTS * optimum.cost_at(part, [analysis[rule]["amount"]])[0] for analysis, part in parents]


def kurtosis_orders(of: Recorded) -> Iterator[Row]:
    """C5: does kurtosis order what could be pruned, among parents that differ by their seed, and among networks?"""
    tails, most, files, claim = [], [], [], "Rank correlation of kurtosis and largest amount"
    for name, rows in tuned_once(of):
        parents = by_parent(of, rows)
        mine = [analysis["kurtosis"] for analysis, _ in parents], [optimum.largest_amount(part) for _, part in parents]
        found, words = optimum.rank_correlation(*mine), f"{claim}, among parents alike"
        yield sweep_row(of, name, rows, "C5", "C5.alike", words, found, "+.2f", "08_optimal_amount")
        tails.append(float(np.mean(mine[0])))
        most.append(float(np.mean(mine[1])))
        files.append(name)
    yield of.row(
        "C5", "C5.between", f"{claim}, among networks", (f"{len(files)} networks", "their data"),
        optimum.rank_correlation(tails, most), len(files), "+.2f", "08_optimal_amount",
        "papermill notebooks/08_optimal_amount.ipynb out.ipynb", tuple(dict.fromkeys(files)),
        note="What is counted as seeds are networks here, each the mean of its parents.",
    )  # fmt: skip


def when_it_fails(of: Recorded) -> Iterator[Row]:
    """C8: MobileNetV2 at the optimal and at the safe amount, and pruned tensor by tensor."""
    for name, rows in of.sweeps:
        if rows["network"].iloc[0] != EXCEPTION or rows["epochs"].iloc[0] != 1:
            continue
        parents, most = by_parent(of, rows), {}
        for method, part in rows.groupby("method"):
            most[method] = np.array([optimum.largest_amount(each) for _, each in part.groupby("parent_sha256")])
        local = (most["l1_local"] - most["l1"]).tolist() if "l1_local" in most else []
        cut = [_survival(part, analysis["optimal"]["amount"]) for analysis, part in parents]
        for key, claim, values, form in (
            ("C8.cut", "Smallest share that a tensor keeps, L1 at the optimal amount", cut, ".3f"),
            ("C8.optimal", "Accuracy lost at the optimal amount, after an epoch (points)",
             lost_at(parents, "optimal"), "+.2f"),
            ("C8.safe", "Accuracy lost at the safe amount, after an epoch (points)", lost_at(parents, "safe"), "+.2f"),
            ("C8.local", "Largest amount at a cost of one point, L1 per tensor less global", local, "+.2f"),
        ):  # fmt: skip
            yield sweep_row(of, name, rows, "C8", key, claim, mean(values), form, "09_when_it_fails")


def _survival(rows: pd.DataFrame, amount: float) -> float:
    """The smallest survival at the measured amount nearest to this one."""
    nearest = (rows["amount"] - amount).abs().to_numpy().argmin()
    return float(rows["min_survival"].iloc[nearest])


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


MEASURES = (l1_is_best, one_curve, function, most_to_prune, kurtosis_orders, when_it_fails, longer)
