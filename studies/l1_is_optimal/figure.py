"""Figures of notebook 01: masks, methods against L1, and exchanges of single weights."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from studies.shared.front_figures import AMOUNT_LABEL, COSINE_LABEL, Values, draw_random_front
from wmgp.plotting import DASHES, GUIDE, MARKERS, PALETTE, band, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def masks_figure(
    amount: Float[np.ndarray, " masks"], cosine: Float[np.ndarray, " masks"], best: Float[np.ndarray, " counts"]
) -> "Figure":
    """Plot every mask as a dot, L1's masks of 0 to n weights as a line, and the expectation of random pruning."""
    drawn, axes = figure()
    label = f"all {len(amount):,} masks"  # thousands of dots: pixels make a smaller file than shapes
    axes.plot(amount, cosine, ".", color=PALETTE[5], markersize=4, label=label, rasterized=True)
    counts = np.linspace(0, 1, len(best))
    axes.plot(counts, best, "o-", color=PALETTE[0], markersize=5, label="L1: smallest first")
    draw_random_front(axes)
    axes.set(xlabel=AMOUNT_LABEL, ylabel=COSINE_LABEL)
    axes.legend(loc="lower left", frameon=True)
    return drawn


def methods_figure(amounts: Values, cosines: Mapping[str, Float[np.ndarray, "draws amounts"]]) -> "Figure":
    """Plot cosine against amount, one line per method: the mean of its draws, in a band from minimum to maximum."""
    drawn, axes = figure()
    for (name, draws), color, dash in zip(cosines.items(), PALETTE, DASHES, strict=False):
        axes.plot(amounts, draws.mean(axis=0), color=color, linestyle=dash, label=name)
        band(axes, amounts, draws.min(axis=0), draws.max(axis=0), color)
    draw_random_front(axes)
    axes.set(xlabel=AMOUNT_LABEL, ylabel=COSINE_LABEL)
    axes.legend(loc="lower left", frameon=True)
    return drawn


def exchanges_figure(pairs: Sequence[int], cosines: Mapping[str, Values], best: float) -> "Figure":
    """Plot cosine against the number of exchanged pairs (logarithmic), one line per choice; the guide is L1."""
    drawn, axes = figure()
    for (name, values), color, marker in zip(cosines.items(), PALETTE, MARKERS, strict=False):
        axes.semilogx(pairs, values, marker=marker, color=color, label=name)
    axes.axhline(best, **GUIDE | {"linewidth": 2, "label": "L1, nothing exchanged"})
    axes.set(xlabel="Pruned weights exchanged for kept ones", ylabel=COSINE_LABEL)
    axes.legend(loc="lower left", frameon=True)
    return drawn
