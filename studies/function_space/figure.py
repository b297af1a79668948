"""Figures of notebook 06: a map of networks by their outputs, and divergences of pruned networks from the parent."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from studies.shared.sweep_figures import METHOD_LABELS
from wmgp.plotting import GUIDE, MARKERS, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRUNE_LABELS = {
    name: "pruned at random" if name == "random" else f"pruned by {words}" for name, words in METHOD_LABELS.items()
}
COLORMAP = "cividis"  # of the amount; readable in greyscale


def map_figure(
    points: Float[np.ndarray, "n 2"], kinds: Sequence[str], amounts: Float[np.ndarray, " n"], way: str
) -> "Figure":
    """Plot networks as points. A line joins the kind `way`, in order; other points show their method and amount."""
    from matplotlib.ticker import PercentFormatter

    drawn, axes = figure(size=(6.0, 5.6))
    of = np.asarray(kinds)
    path = points[of == way]
    axes.plot(*path.T, color="#444444", linewidth=1.2, marker=".", markersize=6, label="training, by epochs", zorder=2)
    shown = [method for method in PRUNE_LABELS if (of == method).any()]
    shades: list[Any] = []
    for method, marker in zip(shown, MARKERS, strict=False):
        mine = of == method
        found = axes.scatter(
            *points[mine].T, c=amounts[mine], cmap=COLORMAP, vmin=0, vmax=1, marker=marker, s=48, edgecolors="white",
            linewidths=0.6, zorder=3,
        )  # fmt: skip
        shades.append(found)
        axes.plot([], [], marker, color="#444444", label=PRUNE_LABELS[method])
    for place, name in ((0, "initialisation"), (-1, "parent")):
        axes.plot(*path[place], "*", color=PALETTE[1], markersize=15, markeredgecolor="white", zorder=4)
        outwards = (7, 8) if path[place][1] > points[:, 1].mean() else (9, -15)
        axes.annotate(name, path[place], outwards, textcoords="offset points", zorder=5)
    axes.set(xticks=[], yticks=[], xlabel="t-SNE 1 (no unit)", ylabel="t-SNE 2 (no unit)")
    axes.margins(0.08)
    bar = drawn.colorbar(shades[-1], ax=axes, location="bottom", shrink=0.8, aspect=30, format=PercentFormatter(1))
    bar.set_label("Amount: pruned share of the parameters")
    drawn.legend(loc="outside upper center", ncols=2)
    return drawn


def distance_figure(
    cosines: Float[np.ndarray, " n"],
    far: Float[np.ndarray, " n"],
    kinds: Sequence[str],
    marks: Sequence[tuple[int, float]],
) -> "Figure":
    """Plot divergence from the parent against cosine just after pruning; a line at each mark (epoch, divergence)."""
    drawn, axes = figure(size=(6.0, 4.4))
    of = np.asarray(kinds)
    shown = [method for method in PRUNE_LABELS if (of == method).any()]
    for method, color, marker in zip(shown, PALETTE, MARKERS, strict=False):
        mine = of == method
        axes.plot(cosines[mine], far[mine], marker, color=color, label=PRUNE_LABELS[method])
    for epoch, height in marks:
        axes.axhline(height, **GUIDE)
        name = f"epoch {epoch}" if epoch else "initialisation"
        axes.annotate(name, (0, height), (4, 2), xycoords=("axes fraction", "data"), textcoords="offset points")
    axes.set(xlabel="Cosine similarity just after pruning", ylabel="Jensen-Shannon divergence\nfrom the parent (nats)")
    axes.set(yscale="log", xlim=(-0.02, 1.02))
    drawn.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return drawn
