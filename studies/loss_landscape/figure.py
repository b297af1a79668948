"""Figures of notebook 07: loss on lines from the initialisation, and on planes around a network."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from wmgp.plotting import DASHES, GUIDE, PALETTE, band, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_LEVELS = 12  # shades of a surface


def lines_figure(
    ticks: Float[np.ndarray, " t"], losses: Mapping[str, Float[np.ndarray, "seeds t"]], names: Sequence[str]
) -> "Figure":
    """Plot the loss along the line from the initialisation (`names[0]`, at 0) through each network (`names[1]`, at 1).

    The line is the mean over the seeds, the band the range from minimum to maximum.
    """
    drawn, axes = figure(size=(6.0, 4.2))
    for (name, values), color, dash in zip(losses.items(), PALETTE, DASHES, strict=False):
        axes.plot(ticks, values.mean(axis=0), color=color, linestyle=dash, label=name)
        band(axes, ticks, values.min(axis=0), values.max(axis=0), color)
    for place, name in enumerate(names):
        axes.axvline(place, **GUIDE)
        axes.text(place, 1.02, name, transform=axes.get_xaxis_transform(), ha="center")  # clear of the curves
    axes.set(xlabel="Share of the way from the initialisation", ylabel="Test loss (nats)", yscale="log")
    axes.legend(loc="lower left", frameon=True)
    return drawn


def planes_figure(ticks: Float[np.ndarray, " t"], losses: Mapping[str, Float[np.ndarray, "t t"]]) -> "Figure":
    """Plot the surfaces side by side with one logarithmic colour scale; a cross marks the network."""
    from matplotlib.colors import LogNorm

    everything = np.stack(list(losses.values()))
    levels = np.geomspace(everything.min(), everything.max() * (1 + 1e-9), N_LEVELS + 1)
    drawn, panels = figure(1, len(losses), (2.0 * len(losses), 3.2), sharex=True, sharey=True, squeeze=False)
    shades: list[Any] = []
    for axes, (name, surface) in zip(panels[0], losses.items(), strict=True):
        shades.append(axes.contourf(ticks, ticks, surface, levels, cmap="cividis", norm=LogNorm()))
        axes.contour(ticks, ticks, surface, levels[::3], colors="white", linewidths=0.6)
        axes.plot(0, 0, "+", color="white", markersize=10, markeredgewidth=2)
        axes.set(title=name, aspect="equal", xlabel="direction v")
        axes.grid(visible=False)
    panels[0, 0].set_ylabel("direction u")
    bar = drawn.colorbar(shades[-1], ax=list(panels[0]), location="bottom", shrink=0.8, aspect=30, format="{x:.2g}")
    bar.set_ticks(levels[::3])
    bar.minorticks_off()
    bar.set_label("Test loss (nats)")
    return drawn
