"""Figures of notebook 03: kurtosis against the optimal amount, the safe modifier, and the share kept of each tensor."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from studies.shared.front_figures import Curve, Values
from wmgp.pareto import safe_modifier
from wmgp.plotting import DASHES, MARKERS, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


def kurtosis_figure(families: Mapping[str, Curve], named: Mapping[str, tuple[float, float]], ylabel: str) -> "Figure":
    """Plot an amount against kurtosis (logarithmic): a curve for each family, and named distributions as points."""
    drawn, axes = figure(size=(6.0, 4.6))
    for (name, (kurtosis, amount)), color, dash in zip(families.items(), PALETTE, DASHES, strict=False):
        axes.semilogx(kurtosis, amount, color=color, linestyle=dash, label=name)
    highest = -np.inf
    for name, (kurtosis, amount) in named.items():
        axes.plot(kurtosis, amount, "o", color=PALETTE[3], markersize=6, zorder=3)
        place, side = ((-6, 5), "right") if amount > highest else ((4, -13), "left")  # clear of the previous label
        axes.annotate(name, (kurtosis, amount), place, textcoords="offset points", ha=side, fontsize=10)
        highest = max(highest, amount)
    ticks = [1, 2, 3, 6, 9, 20, 50, 100]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    axes.set(xlabel="Kurtosis of the weights (normal = 3)", ylabel=ylabel)
    axes.legend(loc="best", frameon=True)
    return drawn


def amount_difference_figure(cosines: Values, leads: Mapping[str, Values]) -> "Figure":
    """Plot the difference of two distributions' amounts at each cosine; above zero, more of the first can be pruned."""
    drawn, axes = figure()
    for (name, lead), color, dash in zip(leads.items(), PALETTE, DASHES, strict=False):
        axes.plot(cosines, lead, color=color, linestyle=dash, label=name)
    axes.axhline(0, color="#444444", linewidth=1)
    axes.set(xlabel="Cosine that both keep", ylabel="Difference of the amounts")
    axes.legend(frameon=True)
    return drawn


def modifier_figure(k2: Float[np.ndarray, " k"], marks: Mapping[str, float]) -> "Figure":
    """Plot the authors' factor on the optimal amount against the kurtosis of kurtoses, and mark some networks."""
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
    """Plot the share kept of each tensor at the optimal and the safe amount, in network order, marked by dimensions."""
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
