"""Figures of notebook 17: amounts as unseen weights shrink, their share of each prune, accuracy at equal cosine."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from studies.shared.sweep_figures import METHOD_LABELS
from wmgp.plotting import DASHES, GUIDE, MARKERS, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame, Series

PAPER_AMOUNT = 0.7  # that the paper advises at cosine 0.99
LOWEST_COSINE = 0.5  # of the figure of accuracies


def shrinking_curve(row: "Series") -> tuple[np.ndarray, np.ndarray]:
    """Return norms of a network's unseen weights (relative to their initial norm) and its amounts at cosine 0.99."""
    columns = [name for name in row.index if str(name).startswith("at_099_times_")]
    factors = np.array([float(str(name).removeprefix("at_099_times_")) for name in columns])
    return factors * row["decay"], np.array([row[name] for name in columns], dtype=float)


def shrinking_figure(curves: "Mapping[str, Series]", dots: "Mapping[str, tuple[float, float]]", title: str) -> "Figure":
    """Plot the amount at cosine 0.99 against the norm of unseen weights: `shrinking_curve` of each row, and dots."""
    drawn, axes = figure(size=(6.0, 5.2))
    for i, (name, row) in enumerate(curves.items()):
        axes.plot(*shrinking_curve(row), color=PALETTE[i], linestyle=DASHES[i], label=name)
    for i, (name, point) in enumerate(dots.items()):
        axes.plot(*point, MARKERS[i], color=PALETTE[-1 - i], markeredgecolor="black", markersize=9, label=name)
    axes.axhline(PAPER_AMOUNT, label=f"the paper's {PAPER_AMOUNT:.0%}", **GUIDE)
    axes.set(xlim=(1, 0), ylim=(0, 0.85), ylabel="Amount at cosine 0.99")
    axes.set_title(title, loc="left")
    axes.set_xlabel("Norm of the unseen weights, relative to their initial norm")
    drawn.legend(loc="outside lower center", ncols=2)
    return drawn


def share_figure(networks: "Mapping[str, DataFrame]", share: float, title: str) -> "Figure":
    """Plot the unseen share of the weights that L1 prunes against the amount, a line per network; `share`: of all."""
    drawn, axes = figure()
    for i, (name, rows) in enumerate(networks.items()):
        axes.plot(rows["amount"], rows["unseen_share"], color=PALETTE[i], linestyle=DASHES[i], label=name)
    axes.axhline(share, label="their share of all weights", **GUIDE)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_title(title, loc="left")
    axes.set(xlabel="Amount: pruned share of all weights", ylabel="Unseen share of the pruned weights")
    axes.legend(loc="lower left")
    return drawn


def mean_over_draws(rows: "DataFrame", cosine: str) -> "DataFrame":
    """Return the mean cosine (a column of `rows`) and accuracy of each amount, in order of the cosine."""
    means: Any = rows.groupby("amount")[[cosine, "accuracy"]].mean()
    return means.sort_values(by=cosine).reset_index()


def accuracy_at(rows: "DataFrame", cosine: str, value: float) -> float:
    """Return the accuracy at a cosine, on the line between the two nearest amounts; nan outside the measured range."""
    found = mean_over_draws(rows, cosine)
    return float(np.interp(value, found[cosine], found["accuracy"], left=np.nan, right=np.nan))


def gap(rows: "DataFrame", cosine: str, value: float = 0.9) -> float:
    """Return the accuracy of L1 minus that of random pruning at equal cosine."""
    l1, random = (accuracy_at(rows.loc[rows["method"] == method], cosine, value) for method in ("l1", "random"))
    return l1 - random


def accuracies_figure(panels: "Mapping[str, tuple[DataFrame, str]]") -> "Figure":
    """Plot accuracy just after pruning against a cosine: title -> (rows, column of the cosine), a panel each."""
    drawn, found = figure(len(panels), 1, (6.0, 2.5 * len(panels) + 0.6), squeeze=False, sharex=True, sharey=True)
    for (title, (rows, cosine)), axes in zip(panels.items(), found[:, 0], strict=True):
        for i, (method, part) in enumerate(rows.groupby("method")):
            line = mean_over_draws(part, cosine)
            axes.plot(line[cosine], line["accuracy"], color=PALETTE[i], linestyle=DASHES[i], marker=MARKERS[i],
                      markersize=4, label=METHOD_LABELS[str(method)])  # fmt: skip
        axes.axvline(0.9, **GUIDE)
        axes.set(xlim=(LOWEST_COSINE, 1.005), ylabel="Accuracy")
        axes.set_title(title, loc="left")
        axes.set_xlabel("Cosine similarity just after pruning" if axes is found[-1, 0] else "")
    found[0, 0].set_ylim(bottom=0)  # after all lines: the panels share this axis
    drawn.legend(*found[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return drawn
