"""Figure of notebook 12: statistics of the weights of rescaled networks that all compute the same function."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from wmgp.plotting import DASHES, GUIDE, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LayerCurves = Mapping[str, Float[np.ndarray, " f"]]  # layer -> a value for each factor


def layer_scaling_figure(
    factors: Float[np.ndarray, " f"], found: Mapping[str, LayerCurves], logarithmic: Collection[str] = ()
) -> "Figure":
    """Plot each statistic in its own panel (its name labels the axis), with a line for each layer scaled by `factors`.

    `logarithmic`: the statistics with logarithmic axes.
    """
    drawn, panels = figure(len(found), 1, (6.0, 2.6 * len(found) + 0.6), squeeze=False, sharex=True)
    for axes, (number, lines) in zip(panels[:, 0], found.items(), strict=True):
        for (layer, values), color, dash in zip(lines.items(), PALETTE, DASHES, strict=False):
            axes.plot(factors, values, color=color, linestyle=dash, label=layer)
        axes.axvline(1, **GUIDE)
        axes.set(xscale="log", ylabel=number, yscale="log" if number in logarithmic else "linear")
    panels[-1, 0].set_xlabel("Factor on a layer; the next one is divided by it")
    drawn.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return drawn
