"""Figures of notebook 08: fronts before and after training, and the accuracy lost near the optimum."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from wmgp.plotting import GUIDE, MARKERS, PALETTE, band, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

PERCENTAGE_POINTS = 100  # in a share of 1


def fronts_figure(parents: Mapping[str, Mapping[str, Any]]) -> "Figure":
    """Plot fronts of parents (from `read_parent_records`) and their optima: solid after training, dotted before."""
    drawn, axes = figure(size=(6.0, 5.0))
    for (name, record), color, marker in zip(parents.items(), PALETTE, MARKERS, strict=False):
        for stage, dash, fill, size in (("trained", "-", color, 8), ("initial", ":", "none", 11)):
            found = record[stage]["analysis"]
            axes.plot(found["front"]["amount"], found["front"]["cosine"], color=color, linestyle=dash)
            best = found["optimal"]
            look = {"color": color, "markerfacecolor": fill, "markersize": size, "zorder": 3}  # some overlap
            axes.plot(best["amount"], best["cosine"], marker, **look)
        axes.plot([], [], "-", color=color, marker=marker, label=name)
    axes.plot([], [], ":", color="#444444", marker="o", markerfacecolor="none", label="before training")
    axes.plot(1, 1, "*", color=PALETTE[3], markersize=14, clip_on=False, label="utopia")
    axes.set(xlim=(0.3, 1.01), ylim=(0, 1.01), ylabel="Cosine similarity to the parent")
    axes.set(xlabel="Amount: pruned share of the parameters")
    axes.legend(loc="lower left", frameon=True)
    return drawn


def neighbours_figure(
    offsets: Float[np.ndarray, " o"], costs: Float[np.ndarray, "parents o"], allowed: float
) -> "Figure":
    """Plot accuracy lost (points, up to 10) against the offset from the optimum: the mean, and a band of the range."""
    drawn, axes = figure()
    reached = np.isfinite(costs).all(axis=0)
    x, lost = PERCENTAGE_POINTS * offsets[reached], PERCENTAGE_POINTS * costs[:, reached]
    axes.plot(x, lost.mean(axis=0), color=PALETTE[0], label="mean of the parents")
    band(axes, x, lost.min(axis=0), lost.max(axis=0), PALETTE[0])
    axes.axvline(0, **GUIDE)
    axes.axhline(PERCENTAGE_POINTS * allowed, **GUIDE | {"linestyle": "--", "label": "allowed"})
    axes.set_xlabel("Amount − optimal amount (percentage points)")
    axes.set_ylabel("Accuracy lost after\nfine-tuning (percentage points)")
    if lost.size:
        axes.set_ylim(min(float(lost.min()), 0) - 0.5, min(float(lost.max()), 9.5) + 0.5)
    axes.legend(loc="upper left", frameon=True)
    return drawn


def amounts_figure(amounts: "DataFrame", allowed: float) -> "Figure":
    """Plot amounts in [0, 1]: one row for each parent (named by the index), one marker for each column."""
    drawn, axes = figure(size=(6.0, 1.2 + 0.32 * max(len(amounts), 4)))
    for column, color, marker in zip(amounts, PALETTE, MARKERS, strict=False):
        label = column if column == "optimal amount" else f"most at a cost of {allowed:.1%}, {column}"
        axes.plot(amounts[column], range(len(amounts)), marker, color=color, markersize=7, label=label)
    axes.set_yticks(range(len(amounts)), [f"seed {name}" for name in amounts.index])
    axes.set(xlim=(-0.02, 1.02), xlabel="Amount: pruned share of the parameters")
    axes.invert_yaxis()
    drawn.legend(loc="outside upper center", ncols=1)
    return drawn
