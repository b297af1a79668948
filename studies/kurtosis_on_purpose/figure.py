"""Figures of notebook 11: largest amounts against kurtosis, and rank correlations of the predictors."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from wmgp.plotting import GUIDE, MARKERS, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

Interval = tuple[float, float, float]  # value, and both ends of its interval
ROW_HEIGHT, MARGIN = 0.42, 1.7  # inches: of a predictor's row, and around the rows
BASE_STYLE = {"marker": "*", "color": "#444444", "markersize": 14}  # of the base variant


def largest_amounts_figure(parents: "DataFrame", targets: Mapping[str, str], base: str) -> "Figure":
    """Plot the largest amount against kurtosis: a panel for each target (column -> label), one marker per parent.

    Shape, colour and filling show the change from the base variant (column `moved`); stars are the variant `base`. Grey
    lines join the base of a seed to its other parents.
    """
    drawn, panels = figure(len(targets), 1, (6.0, 3.0 * len(targets) + 1.2), squeeze=False, sharex=True)
    groups = dict(list(parents.groupby("moved", sort=False)))
    starts = groups[base].set_index("seed")
    for axes, (target, words) in zip(panels[:, 0], targets.items(), strict=True):
        for seed, x, y in zip(parents["seed"], parents["kurtosis"], parents[target], strict=True):
            axes.plot([starts.loc[seed, "kurtosis"], x], [starts.loc[seed, target], y], color="#999999", lw=0.6, ls="-")
        others = {name: part for name, part in groups.items() if name != base}
        for i, (name, part) in enumerate(others.items()):
            color = PALETTE[i % len(PALETTE)]
            look = {"color": color, "marker": MARKERS[i % len(MARKERS)], "markerfacecolor": color if i % 2 else "white"}
            axes.plot(part["kurtosis"], part[target], ls="", markersize=7, markeredgewidth=1.6, label=name, **look)
        axes.plot(starts["kurtosis"], starts[target], ls="", label=base, **BASE_STYLE)
        axes.set(xscale="log", ylabel=f"Most to prune,\n{words}")
    panels[-1, 0].set_xlabel("Kurtosis of the parent's weights and biases (a normal has 3)")
    drawn.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return drawn


def correlations_figure(found: Mapping[str, Mapping[str, Interval]]) -> "Figure":
    """Plot rank correlations by target and predictor, with their intervals as lines."""
    numbers = list(next(iter(found.values())))
    drawn, axes = figure(size=(6.0, ROW_HEIGHT * len(numbers) + MARGIN))
    for i, (target, each) in enumerate(found.items()):
        places = np.arange(len(numbers)) + 0.22 * (i - (len(found) - 1) / 2)
        for place, (value, low, high) in zip(places, each.values(), strict=True):
            axes.plot([low, high], [place, place], "-", color=PALETTE[i], linewidth=1.6)
            axes.plot(value, place, MARKERS[i], color=PALETTE[i], markersize=7)
        axes.plot([], [], marker=MARKERS[i], color=PALETTE[i], linestyle="-", linewidth=1.6, label=target)
    axes.axvline(0, **GUIDE)
    axes.set_yticks(range(len(numbers)), numbers)
    axes.set(xlim=(-1.04, 1.04), xlabel="Rank correlation with the most to prune")
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    drawn.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=1)
    return drawn
