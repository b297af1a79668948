"""Figures of sweeps: results of pruned networks, with one line per method and a band over the seeds."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from wmgp.plotting import DASHES, PALETTE, band, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

COLUMN_LABELS = {
    "amount": "Amount: pruned share of the parameters",
    "cosine_pruned": "Cosine similarity just after pruning",
    "accuracy_pruned": "Accuracy just after pruning",
    "accuracy": "Accuracy after fine-tuning",
    "cosine": "Cosine similarity after fine-tuning",
    "distance": "Distance from the parent, over its norm",
    "loss_pruned": "Loss just after pruning (nats)",
    "loss": "Loss after fine-tuning (nats)",
    "agreement": "Agreement with the parent",
    "js": "Divergence from the parent (nats)",
    "cka": "Linear CKA with the parent",
    "min_survival": "Smallest share kept of any tensor",
}
LABEL_WIDTH = 24  # characters of a line of a label
HEADROOM = 0.05  # above the highest curve, as a share of the axis below it
METHOD_LABELS = {
    "l1": "L1",
    "random": "random",
    "l1_local": "L1 per tensor",
    "l1_normalized": "L1, normalised",
    "lamp": "LAMP",
}


def mean_over_seeds(rows: "DataFrame", x: str, y: str) -> "DataFrame":
    """Return the mean of `x`, and mean and standard deviation (over n - 1) of `y`, over the seeds by method and amount.

    Columns method, amount, x, mean, sd, n; in ascending order of amounts. Rows without an `x` are left out.
    """
    named = rows[["method", "amount"]].assign(x=rows[x], y=rows[y]).dropna(subset=["x"])
    groups = named.groupby(["method", "amount"], as_index=False)
    return groups.agg(x=("x", "mean"), mean=("y", "mean"), sd=("y", "std"), n=("y", "size")).fillna({"sd": 0.0})


def sweep_figure(rows: "DataFrame", xs: Sequence[str], ys: Sequence[str], lowest: Mapping[str, float]) -> "Figure":
    """Plot each of `ys` against each of `xs`, a panel for each pair; bands are ± one standard deviation over the seeds.

    `lowest`: column -> start of its axis.
    """
    return _panels([("", rows, y) for y in ys], xs, lowest, 3.0)


def networks_figure(sweeps: "Mapping[str, DataFrame]", xs: Sequence[str], y: str) -> "Figure":
    """Plot `y` (at least 0) against each of `xs` as in `sweep_figure`, with a row of panels for each sweep by name."""
    return _panels([(name, rows, y) for name, rows in sweeps.items()], xs, {y: 0}, 2.2)


def _panels(
    lines: "Sequence[tuple[str, DataFrame, str]]", xs: Sequence[str], lowest: Mapping[str, float], height: float
) -> "Figure":
    """Plot a row of panels, `height` inches high, for each (title, rows, quantity); all share one legend of methods."""
    size = (6.0, height * len(lines) + 0.6)
    drawn, panels = figure(len(lines), len(xs), size, squeeze=False, sharey="row", sharex="col")
    named = {}
    for (title, rows, y), line in zip(lines, panels, strict=True):
        line[0].set_title(title, fontsize=12, loc="left")  # a long title extends over the next panel
        line[0].set_ylabel(fill(COLUMN_LABELS[y], LABEL_WIDTH, break_on_hyphens=False))
        for axes, x in zip(line, xs, strict=True):
            _panel(axes, mean_over_seeds(rows, x, y))
            named |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
            if x in lowest:
                axes.set_xlim(left=lowest[x])
            if y in lowest:
                axes.set_ylim(lowest[y], lowest[y] + (axes.dataLim.y1 - lowest[y]) * (1 + HEADROOM))
    for axes, x in zip(panels[-1], xs, strict=True):
        axes.set_xlabel(fill(COLUMN_LABELS[x], LABEL_WIDTH, break_on_hyphens=False))
    shown = [name for name in METHOD_LABELS.values() if name in named]
    drawn.legend([named[name] for name in shown], shown, loc="outside upper center", ncols=3)
    return drawn


def _panel(axes: "Axes", summary: "DataFrame") -> None:
    """Draw a line and a band for each method, in the order of `METHOD_LABELS`."""
    for method, color, dash in zip(METHOD_LABELS, PALETTE, DASHES, strict=False):
        part = summary[summary["method"] == method]
        if len(part):
            axes.plot(part["x"], part["mean"], color=color, linestyle=dash, label=METHOD_LABELS[method])
            band(axes, part["x"], part["mean"] - part["sd"], part["mean"] + part["sd"], color)
