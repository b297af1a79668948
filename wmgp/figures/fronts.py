"""The figures of fronts and distributions, in the first three notebooks.

Each function takes the rows it draws and returns a figure; curves of a figure differ in colour, dashes or marker.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..closed_forms import Distribution, floor
from ..pareto import Point, safe_modifier
from ..plotting import DASHES, GUIDE, MARKERS, PALETTE, band, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

Values = Sequence[float] | np.ndarray
Curve = tuple[Values, Values]  # x and y
AMOUNT, COSINE = "Amount: pruned share of the parameters", "Cosine similarity to the parent"
DISTANCE = "Distance to utopia"


def masks_figure(
    amount: Float[np.ndarray, " masks"], cosine: Float[np.ndarray, " masks"], best: Float[np.ndarray, " counts"]
) -> "Figure":
    """Every mask as a dot, L1's as a line through its counts 0 to n, and what random pruning gives on the mean."""
    drawn, axes = figure()
    label = f"all {len(amount):,} masks"  # thousands of dots: as pixels they weigh less than as shapes
    axes.plot(amount, cosine, ".", color=PALETTE[5], markersize=4, label=label, rasterized=True)
    counts = np.linspace(0, 1, len(best))
    axes.plot(counts, best, "o-", color=PALETTE[0], markersize=5, label="L1: smallest first")
    _random(axes)
    axes.set(xlabel=AMOUNT, ylabel=COSINE)
    axes.legend(loc="lower left", frameon=True)
    return drawn


def methods_figure(amounts: Values, cosines: Mapping[str, Float[np.ndarray, "draws amounts"]]) -> "Figure":
    """Cosine against amount, a line a method: the mean of its draws, and a band from their least to their largest."""
    drawn, axes = figure()
    for (name, draws), color, dash in zip(cosines.items(), PALETTE, DASHES, strict=False):
        axes.plot(amounts, draws.mean(axis=0), color=color, linestyle=dash, label=name)
        band(axes, amounts, draws.min(axis=0), draws.max(axis=0), color)
    _random(axes)
    axes.set(xlabel=AMOUNT, ylabel=COSINE)
    axes.legend(loc="lower left", frameon=True)
    return drawn


def exchanges_figure(pairs: Sequence[int], cosines: Mapping[str, Values], best: float) -> "Figure":
    """Cosine against the number of exchanged pairs (logarithmic), a line a way to choose them; L1's is the guide."""
    drawn, axes = figure()
    for (name, values), color, marker in zip(cosines.items(), PALETTE, MARKERS, strict=False):
        axes.semilogx(pairs, values, marker=marker, color=color, label=name)
    axes.axhline(best, **GUIDE | {"linewidth": 2, "label": "L1, nothing exchanged"})
    axes.set(xlabel="Pruned weights exchanged for kept ones", ylabel=COSINE)
    axes.legend(loc="lower left", frameon=True)
    return drawn


def fronts_figure(
    fronts: Mapping[str, Curve], optima: Mapping[str, Point], lowest: float = 0.0, least_amount: float = 0.0
) -> "Figure":
    """Fronts of cosine against amount with their optima and utopia; the axes begin at `least_amount` and `lowest`."""
    drawn, axes = figure(size=(6.0, 4.8))
    for (name, (amount, cosine)), color, dash, marker in zip(fronts.items(), PALETTE, DASHES, MARKERS, strict=False):
        best = optima[name]
        axes.plot(amount, cosine, color=color, linestyle=dash)
        axes.plot(best.amount, best.cosine, marker, color=color, markersize=8, zorder=3)
        axes.plot([best.amount, 1], [best.cosine, 1], **GUIDE)
        axes.plot([], [], color=color, linestyle=dash, marker=marker, label=name)
    axes.plot(1, 1, "*", color=PALETTE[3], markersize=14, clip_on=False, label="utopia")
    axes.set(xlim=(least_amount, 1.01), ylim=(lowest, 1.01), xlabel=AMOUNT, ylabel=COSINE)
    axes.legend(loc="lower left", frameon=True)
    return drawn


def optima_figure(optima: Mapping[str, Sequence[Point]]) -> "Figure":
    """Where optima lie, a marker a kind; left of the floor there is none."""
    drawn, axes = figure()
    least = floor()
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
    """Distance to utopia against amount, its least value marked on each curve."""
    drawn, axes = figure()
    for (name, (x, y)), color, dash, marker in zip(curves.items(), PALETTE, DASHES, MARKERS, strict=False):
        best = int(np.argmin(y))
        axes.plot(x, y, color=color, linestyle=dash, marker=marker, markevery=[best], markersize=8, label=name)
    axes.set(xlabel=AMOUNT, ylabel=DISTANCE, xlim=(0, 1), ylim=(0, 1.05))
    axes.legend(loc="lower left", frameon=True)
    return drawn


def grid_figure(points: Sequence[int], errors: Mapping[str, Values]) -> "Figure":
    """How far the grid's answer lies from the continuum's, against the number of grid points; guides: a step, half."""
    drawn, axes = figure()
    for (name, values), color, marker in zip(errors.items(), PALETTE, MARKERS, strict=False):
        axes.loglog(points, np.abs(values), marker, color=color, markersize=6, label=name)
    step = 1 / (np.asarray(points) - 1)
    axes.loglog(points, step, **GUIDE | {"linewidth": 2, "label": "one step"})
    axes.loglog(points, step / 2, **GUIDE | {"linestyle": "--", "label": "half a step"})
    axes.set(xlabel="Grid points on [0, 1]", ylabel="Error of the optimal amount")
    axes.legend(loc="lower left", frameon=True, ncols=2)
    return drawn


def kurtosis_figure(families: Mapping[str, Curve], named: Mapping[str, tuple[float, float]], ylabel: str) -> "Figure":
    """An amount against kurtosis (logarithmic), a curve a family; named distributions as points with their names."""
    drawn, axes = figure(size=(6.0, 4.6))
    for (name, (kurtosis, amount)), color, dash in zip(families.items(), PALETTE, DASHES, strict=False):
        axes.semilogx(kurtosis, amount, color=color, linestyle=dash, label=name)
    highest = -np.inf
    for name, (kurtosis, amount) in named.items():
        axes.plot(kurtosis, amount, "o", color=PALETTE[3], markersize=6, zorder=3)
        place, side = ((-6, 5), "right") if amount > highest else ((4, -13), "left")  # clear of the one before
        axes.annotate(name, (kurtosis, amount), place, textcoords="offset points", ha=side, fontsize=10)
        highest = max(highest, amount)
    ticks = [1, 2, 3, 6, 9, 20, 50, 100]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    axes.set(xlabel="Kurtosis of the weights (normal = 3)", ylabel=ylabel)
    axes.legend(loc="best", frameon=True)
    return drawn


def lead_figure(cosines: Values, leads: Mapping[str, Values]) -> "Figure":
    """How much more one distribution can be pruned than another, at each cosine: above zero the first one wins."""
    drawn, axes = figure()
    for (name, lead), color, dash in zip(leads.items(), PALETTE, DASHES, strict=False):
        axes.plot(cosines, lead, color=color, linestyle=dash, label=name)
    axes.axhline(0, color="#444444", linewidth=1)
    axes.set(xlabel="Cosine that both keep", ylabel="Difference of the amounts")
    axes.legend(frameon=True)
    return drawn


def modifier_figure(k2: Float[np.ndarray, " k"], marks: Mapping[str, float]) -> "Figure":
    """The authors' factor on the optimal amount against the kurtosis of kurtoses, with some networks marked."""
    drawn, axes = figure()
    for part, labels in ((k2[k2 < np.e], ("as published", "at most 1")), (k2[k2 >= np.e], (None, None))):
        factor = np.array([safe_modifier(float(k)) for k in part])
        axes.plot(part, factor, color=PALETTE[0], label=labels[0])
        axes.plot(part, np.minimum(factor, 1), color=PALETTE[1], linestyle=DASHES[1], label=labels[1])
    for (name, k), marker in zip(marks.items(), MARKERS[1:], strict=False):
        axes.plot(k, min(1.0, safe_modifier(k)), marker, color=PALETTE[3], markersize=7, label=f"{name}: {k:.2f}")
    axes.set_xscale("log")
    ticks = [1, 2, np.e, 5, 10, 20, 50, 100]
    axes.set_xticks(ticks, ["1", "2", "e", "5", "10", "20", "50", "100"])
    axes.minorticks_off()
    axes.set(xlabel="Kurtosis of kurtoses", ylabel="Factor on the optimal amount", ylim=(0, 2.5))
    axes.legend(frameon=True)
    return drawn


def survival_figure(tensors: "DataFrame") -> "Figure":
    """What is left of each tensor at the optimal and at the safe amount, in the network's order; by its dimensions."""
    drawn, axes = figure(2, 1, size=(6.0, 6.0), sharex=True, sharey=True)
    many = tensors["shape"].map(len).to_numpy() >= 2
    place = np.arange(len(tensors))
    for ax, which in zip(axes, ("optimal", "safe"), strict=True):
        left = 1 - (tensors[f"pruned_at_{which}"] / tensors["n"]).to_numpy(dtype=float)
        ax.plot(place[~many], left[~many], "^", color=PALETTE[2], markersize=4, label="one dimension")
        ax.plot(place[many], left[many], "o", color=PALETTE[0], markersize=4, label="two or more")
        ax.plot(place[left == 0], left[left == 0], "x", color=PALETTE[1], markersize=8, label="nothing left")
        ax.set_title(f"At the {which} amount", loc="left")
        ax.set(ylabel="Share left", ylim=(-0.05, 1.05))
    axes[1].set_xlabel("Tensor, from the input to the output")
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, columnspacing=1)
    return drawn


def front_of(distribution: Distribution, n: int = 401) -> Curve:
    """A distribution's front at n amounts."""
    amount = np.linspace(0, 1, n)
    return amount, distribution.cosine(amount)


def _random(axes: "Axes") -> None:
    amount = np.linspace(0, 1, 201)
    look: dict[str, Any] = GUIDE | {"linewidth": 2, "label": "√(1 - amount)"}
    axes.plot(amount, np.sqrt(1 - amount), **look)
