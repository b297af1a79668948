"""Figures of notebook 02: optima of networks and distributions, distance to utopia, and the error of a grid."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from studies.shared.front_figures import AMOUNT_LABEL, Curve, Values
from wmgp.closed_forms import smallest_optimum
from wmgp.pareto import Point
from wmgp.plotting import DASHES, GUIDE, MARKERS, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DISTANCE = "Distance to utopia"


def optima_figure(optima: Mapping[str, Sequence[Point]]) -> "Figure":
    """Plot optima, with a separate marker for each kind; no optimum lies left of the floor."""
    drawn, axes = figure()
    least = smallest_optimum()
    axes.axvspan(0.5, least.amount, color="#dddddd", linewidth=0)
    axes.text(0.51, 0.93, "below the floor:\nnever the answer", fontsize=10)
    for (name, points), color, marker in zip(optima.items(), PALETTE, MARKERS, strict=False):
        amount, cosine = [p.amount for p in points], [p.cosine for p in points]
        axes.plot(amount, cosine, marker, color=color, markersize=5, alpha=0.7, label=name)
    axes.plot(least.amount, least.cosine, "*", color=PALETTE[3], markersize=13, label="the floor")
    axes.set(xlim=(0.5, 1), ylim=(0.5, 1), xlabel="Amount nearest to utopia", ylabel="Cosine there")
    axes.legend(loc="lower right", frameon=True)
    return drawn


def distance_figure(curves: Mapping[str, Curve]) -> "Figure":
    """Plot distance to utopia against amount, and mark the minimum of each curve."""
    drawn, axes = figure()
    for (name, (x, y)), color, dash, marker in zip(curves.items(), PALETTE, DASHES, MARKERS, strict=False):
        best = int(np.argmin(y))
        axes.plot(x, y, color=color, linestyle=dash, marker=marker, markevery=[best], markersize=8, label=name)
    axes.set(xlabel=AMOUNT_LABEL, ylabel=DISTANCE, xlim=(0, 1), ylim=(0, 1.05))
    axes.legend(loc="lower left", frameon=True)
    return drawn


def grid_figure(points: Sequence[int], errors: Mapping[str, Values]) -> "Figure":
    """Plot the error of the optimal amount on a grid against the number of grid points; guides: one and half a step."""
    drawn, axes = figure()
    for (name, values), color, marker in zip(errors.items(), PALETTE, MARKERS, strict=False):
        axes.loglog(points, np.abs(values), marker, color=color, markersize=6, label=name)
    step = 1 / (np.asarray(points) - 1)
    axes.loglog(points, step, **GUIDE | {"linewidth": 2, "label": "one step"})
    axes.loglog(points, step / 2, **GUIDE | {"linestyle": "--", "label": "half a step"})
    axes.set(xlabel="Grid points on [0, 1]", ylabel="Error of the optimal amount")
    axes.legend(loc="lower left", frameon=True, ncols=2)
    return drawn
