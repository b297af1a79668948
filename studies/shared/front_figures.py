"""Figures of fronts and distributions for notebooks 01 to 03. Curves differ in colour, dashes or marker."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wmgp.closed_forms import Distribution
from wmgp.pareto import Point
from wmgp.plotting import DASHES, GUIDE, MARKERS, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = Sequence[float] | np.ndarray
Curve = tuple[Values, Values]  # x and y
AMOUNT_LABEL, COSINE_LABEL = "Amount: pruned share of the parameters", "Cosine similarity to the parent"


def fronts_figure(
    fronts: Mapping[str, Curve], optima: Mapping[str, Point], lowest: float = 0.0, least_amount: float = 0.0
) -> "Figure":
    """Plot fronts of cosine against amount, optima and utopia; the axes start at `least_amount` and `lowest`."""
    drawn, axes = figure(size=(6.0, 4.8))
    for (name, (amount, cosine)), color, dash, marker in zip(fronts.items(), PALETTE, DASHES, MARKERS, strict=False):
        best = optima[name]
        axes.plot(amount, cosine, color=color, linestyle=dash)
        axes.plot(best.amount, best.cosine, marker, color=color, markersize=8, zorder=3)
        axes.plot([best.amount, 1], [best.cosine, 1], **GUIDE)
        axes.plot([], [], color=color, linestyle=dash, marker=marker, label=name)
    axes.plot(1, 1, "*", color=PALETTE[3], markersize=14, clip_on=False, label="utopia")
    axes.set(xlim=(least_amount, 1.01), ylim=(lowest, 1.01), xlabel=AMOUNT_LABEL, ylabel=COSINE_LABEL)
    axes.legend(loc="lower left", frameon=True)
    return drawn


def distribution_front(distribution: Distribution, n: int = 401) -> Curve:
    """Return a distribution's front at n amounts: amounts and cosines."""
    amount = np.linspace(0, 1, n)
    return amount, distribution.cosine(amount)


def draw_random_front(axes: "Axes") -> None:
    """Draw the expected front of random pruning, sqrt(1 - amount)."""
    amount = np.linspace(0, 1, 201)
    look: dict[str, Any] = GUIDE | {"linewidth": 2, "label": "√(1 - amount)"}
    axes.plot(amount, np.sqrt(1 - amount), **look)
