"""Figures of notebook 16: quantities after each epoch of fine-tuning, and their change over ten epochs."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from studies.shared.sweep_figures import COLUMN_LABELS, LABEL_WIDTH
from wmgp.plotting import GUIDE, MARKERS, PALETTE, band, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

Interval = tuple[float, float, float]
PANEL_HEIGHT = 2.5  # inches
ROUNDING_ERROR = 1e-9  # smaller values are zero but for rounding; a logarithmic axis cannot show them


def paths_figure(rows: "DataFrame", ys: Sequence[str], logarithmic: Sequence[str] = ()) -> "Figure":
    """Plot each of `ys` against the epochs in its own panel, with one line per amount; `rows` are of one method.

    Darker lines are larger amounts. The line is the mean over the seeds, the band one standard deviation. Panels of
    `ys` that are `logarithmic` leave out points that are zero but for rounding.
    """
    from seaborn import color_palette

    drawn, panels = figure(len(ys), 1, (6.0, PANEL_HEIGHT * len(ys) + 0.9), squeeze=False, sharex=True)
    amounts = sorted(set(rows["amount"]))
    colors = color_palette("crest", len(amounts)).as_hex()
    for y, axes in zip(ys, panels[:, 0], strict=True):
        for i, (amount, color) in enumerate(zip(amounts, colors, strict=True)):
            found = rows.loc[rows["amount"] == amount].groupby("epochs")[y].agg(["mean", "std"]).fillna({"std": 0.0})
            found = found[found["mean"] > ROUNDING_ERROR] if y in logarithmic else found
            axes.plot(found.index, found["mean"], color=color, marker=MARKERS[i % len(MARKERS)], markersize=4,
                      label=f"{amount:.0%}")  # fmt: skip
            band(axes, found.index, found["mean"] - found["std"], found["mean"] + found["std"], color)
        axes.set_ylabel(fill(COLUMN_LABELS[y].removesuffix(" after fine-tuning"), LABEL_WIDTH))
        if y in logarithmic:
            axes.set_yscale("log")
    panels[-1, 0].set_xlabel("Epochs of fine-tuning")
    handles, names = panels[0, 0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside upper center", ncols=4, title="pruned")
    return drawn


def changes_figure(changes: Mapping[str, Mapping[str, Mapping[float, Interval]]]) -> "Figure":
    """Plot changes with their intervals: quantity -> network -> amount -> (change, low, high).

    Each quantity has a panel, each network a marker. Amounts are equally spaced, because their values are not.
    """
    drawn, panels = figure(len(changes), 1, (6.0, PANEL_HEIGHT * len(changes) + 0.7), squeeze=False, sharex=True)
    amounts = sorted({amount for networks in changes.values() for found in networks.values() for amount in found})
    for (name, networks), axes in zip(changes.items(), panels[:, 0], strict=True):
        axes.axhline(0, **GUIDE)
        for i, (network, found) in enumerate(networks.items()):
            value, low, high = np.array(list(found.values())).T
            x = np.array([amounts.index(amount) for amount in found]) + 0.12 * (i - (len(networks) - 1) / 2)
            whiskers = np.nan_to_num(np.array([value - low, high - value]))  # a single seed has no interval
            axes.errorbar(
                x, value, whiskers, color=PALETTE[i], marker=MARKERS[i], linestyle="", capsize=3, label=network
            )
        axes.set_ylabel(fill(name, LABEL_WIDTH))
    panels[-1, 0].set_xticks(range(len(amounts)), [f"{amount:.0%}" for amount in amounts])
    panels[-1, 0].set_xlabel("Amount: pruned share of the parameters")
    handles, names = panels[0, 0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside upper center", ncols=2)
    return drawn
