"""The figures of longer fine-tuning: what happens epoch by epoch, and what ten epochs change."""

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
PANEL_HEIGHT = 2.5  # inches of a panel
ROUNDING_ERROR = 1e-9  # what is less is zero but for rounding, and has no place on a logarithmic axis


def paths_figure(rows: "DataFrame", ys: Sequence[str], logarithmic: Sequence[str] = ()) -> "Figure":
    """A panel for each of `ys` against the epochs, a line an amount: rows of one method.

    Pale lines are small prunes, dark ones large. The line is the mean over the seeds, the band one standard deviation.
    Of `ys` that are `logarithmic`, points that are zero but for rounding are left out.
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
    """Quantity -> network -> amount -> change with its interval.

    A panel a quantity, a dot an amount, a marker a network. Amounts are places in a row, as they are not evenly spread.
    """
    drawn, panels = figure(len(changes), 1, (6.0, PANEL_HEIGHT * len(changes) + 0.7), squeeze=False, sharex=True)
    amounts = sorted({amount for networks in changes.values() for found in networks.values() for amount in found})
    for (name, networks), axes in zip(changes.items(), panels[:, 0], strict=True):
        axes.axhline(0, **GUIDE)
        for i, (network, found) in enumerate(networks.items()):
            value, low, high = np.array(list(found.values())).T
            x = np.array([amounts.index(amount) for amount in found]) + 0.12 * (i - (len(networks) - 1) / 2)
            whiskers = np.nan_to_num(np.array([value - low, high - value]))  # a single seed has none
            axes.errorbar(
                x, value, whiskers, color=PALETTE[i], marker=MARKERS[i], linestyle="", capsize=3, label=network
            )
        axes.set_ylabel(fill(name, LABEL_WIDTH))
    panels[-1, 0].set_xticks(range(len(amounts)), [f"{amount:.0%}" for amount in amounts])
    panels[-1, 0].set_xlabel("Amount: pruned share of the parameters")
    handles, names = panels[0, 0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside upper center", ncols=2)
    return drawn
