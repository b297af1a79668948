"""The figures of sweeps: what became of pruned networks, a line a method with a band over the seeds."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from ..plotting import DASHES, PALETTE, band, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

LABELS = {
    "amount": "Amount: pruned share of the parameters",
    "cosine_pruned": "Cosine similarity just after pruning",
    "accuracy_pruned": "Accuracy just after pruning",
    "accuracy": "Accuracy after fine-tuning",
    "loss_pruned": "Loss just after pruning (nats)",
    "loss": "Loss after fine-tuning (nats)",
    "agreement": "Agreement with the parent",
    "js": "Divergence from the parent (nats)",
    "cka": "Linear CKA with the parent",
    "min_survival": "Smallest share kept of any tensor",
}
WIDTH = 24  # letters of a line under or beside a panel
METHODS = {
    "l1": "L1",
    "random": "random",
    "l1_local": "L1 per tensor",
    "l1_normalized": "L1, normalised",
    "lamp": "LAMP",
}


def over_seeds(rows: "DataFrame", x: str, y: str) -> "DataFrame":
    """Mean of `x`, mean and standard deviation (over n - 1) of `y` over the seeds, by method and amount.

    Columns method, amount, x, mean, sd, n; in the order of the amounts. Rows without an `x` are left out.
    """
    named = rows[["method", "amount"]].assign(x=rows[x], y=rows[y]).dropna(subset=["x"])
    groups = named.groupby(["method", "amount"], as_index=False)
    return groups.agg(x=("x", "mean"), mean=("y", "mean"), sd=("y", "std"), n=("y", "size")).fillna({"sd": 0.0})


def sweep_figure(rows: "DataFrame", xs: Sequence[str], ys: Sequence[str], lowest: Mapping[str, float]) -> "Figure":
    """A panel for each of `ys` against each of `xs`; the band is one standard deviation over the seeds on either side.

    `lowest`: where an axis of that name begins.
    """
    drawn, panels = figure(len(ys), len(xs), (6.0, 3.0 * len(ys) + 0.6), squeeze=False, sharey="row", sharex="col")
    for i, y in enumerate(ys):
        for j, x in enumerate(xs):
            _panel(panels[i, j], over_seeds(rows, x, y))
            if i == len(ys) - 1:
                panels[i, j].set_xlabel(fill(LABELS[x], WIDTH, break_on_hyphens=False))
            if j == 0:
                panels[i, j].set_ylabel(fill(LABELS[y], WIDTH, break_on_hyphens=False))
            if x in lowest:
                panels[i, j].set_xlim(left=lowest[x])
            if y in lowest:
                panels[i, j].set_ylim(bottom=lowest[y])
    drawn.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return drawn


def _panel(axes: "Axes", summary: "DataFrame") -> None:
    """A line and a band for every method, in the order of `METHODS`."""
    for method, color, dash in zip(METHODS, PALETTE, DASHES, strict=False):
        part = summary[summary["method"] == method]
        if len(part):
            axes.plot(part["x"], part["mean"], color=color, linestyle=dash, label=METHODS[method])
            band(axes, part["x"], part["mean"] - part["sd"], part["mean"] + part["sd"], color)
