"""The figure style, and the figures that package and book share.

Colours differ for colour-blind readers and in grey, lines also differ in their dashes, and text is large enough for a
phone. Saved figures are reproducible to the byte. Figures are made without pyplot, which would keep them open.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .errors import InputError
from .io.atomic import staging_dir
from .pareto import CAREFUL_COSINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .analysis import Analysis

# Paul Tol's three high-contrast colours, black, and two of his muted colours (personal.sron.nl/~pault).
PALETTE = ("#004488", "#BB5566", "#DDAA33", "#000000", "#117733", "#88CCEE")
DASHES = ("-", (0, (5, 1.5)), (0, (3, 1.2, 1, 1.2)), (0, (1, 1)), (0, (8, 2)), (0, (4, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "D", "^", "v", "P")
GUIDE: dict[str, Any] = {"color": "#666666", "linewidth": 1, "linestyle": ":", "marker": "", "zorder": 1}
FIGURE_SIZE = (6.0, 4.0)  # inches: the width of a book column; on a phone the text is still 9 pixels high
SVG_METADATA = {"Date": None, "Creator": None}  # no date and no version, for reproducible files


def style() -> Any:
    """The style's matplotlib settings: seaborn's white grid with this project's colours and sizes."""
    from cycler import cycler
    from seaborn import axes_style

    return {
        **axes_style("whitegrid"),
        "axes.prop_cycle": cycler(color=PALETTE, linestyle=DASHES),
        "axes.edgecolor": "#444444",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 13,
        "axes.titlelocation": "left",
        "figure.figsize": FIGURE_SIZE,
        "figure.constrained_layout.use": True,
        "font.size": 12,
        "font.family": ["DejaVu Sans"],  # ships with matplotlib: the same on every machine
        "font.sans-serif": ["DejaVu Sans"],
        "axes.labelsize": 12,
        "xtick.labelsize": 11,
        "ytick.labelsize": 11,
        "legend.fontsize": 11,
        "lines.linewidth": 2,
        "svg.hashsalt": "wmgp",
    }


def use_style() -> None:
    """Use this style for all later figures; in a notebook, show figures as SVG."""
    import matplotlib

    matplotlib.rcParams.update(style())
    if shell := _notebook_shell():
        _show_vectors(shell)


def figure(
    rows: int = 1, columns: int = 1, size: tuple[float, float] = FIGURE_SIZE, **subplots: Any
) -> "tuple[Figure, Any]":
    """A figure of `size` inches in this style, and its axes or array of axes (see `Figure.subplots`)."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shell = _notebook_shell()
    if shell and not any(Figure in f.type_printers for f in shell.display_formatter.formatters.values()):
        _show_vectors(shell)
    with rc_context(style()):
        fig = Figure(figsize=size)
        return fig, fig.subplots(rows, columns, **subplots)


def _notebook_shell() -> Any:
    """The notebook's shell, or None outside a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell if hasattr(shell, "kernel") else None


def _show_vectors(shell: Any) -> None:
    """Show the notebook's figures as SVG, with the same element ids in every run."""
    import matplotlib
    from IPython.core.pylabtools import select_figure_formats

    matplotlib.rcParams["svg.hashsalt"] = style()["svg.hashsalt"]  # matplotlib reads this when a figure is shown
    select_figure_formats(shell, {"svg"}, metadata=SVG_METADATA)


def save(fig: "Figure", path: str | Path) -> None:
    """Write a figure in the format of the file's ending (svg, pdf, png); the same figure gives the same bytes.

    The write is atomic. Raises `InputError` for an ending that matplotlib does not know.
    """
    from matplotlib import rc_context

    path = Path(path)
    kind = path.suffix.lstrip(".").lower()
    if kind not in fig.canvas.get_supported_filetypes():
        raise InputError(f"{path}: expected a name that ends in .svg, .pdf or .png")
    metadata = {"svg": SVG_METADATA, "pdf": {"CreationDate": None}, "png": {"Software": None}}.get(kind)
    with staging_dir(path.parent) as staging, rc_context(style()):
        fig.savefig(staging / path.name, format=kind, dpi=200, metadata=metadata)
        os.replace(staging / path.name, path)


def band(axes: "Axes", x: ArrayLike, low: ArrayLike, high: ArrayLike, color: str) -> None:
    """Fill the area between the curves `low` and `high`, pale enough for a line on top."""
    axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)


def front_figure(analysis: "Analysis") -> "Figure":
    """The Pareto front of cosine against amount, with utopia and the optimal, safe and cosine 0.99 points."""
    from matplotlib import rc_context

    with rc_context(style()):
        fig, axes = figure(size=(5.6, 5.4))
        front, optimal = analysis.front, analysis.optimal
        axes.plot(front.amount, front.cosine, color=PALETTE[0], label="global L1 pruning")
        axes.plot([optimal.amount, 1], [optimal.cosine, 1], **GUIDE)
        axes.plot(1, 1, "*", color=PALETTE[3], markersize=15, clip_on=False, label="utopia: all pruned, nothing lost")
        axes.axhline(CAREFUL_COSINE, **GUIDE)
        for name, point, marker, color in (
            ("nearest to utopia", optimal, "o", PALETTE[1]),
            ("safe", analysis.safe, "s", PALETTE[2]),
            (f"cosine {CAREFUL_COSINE}", analysis.at_cosine(CAREFUL_COSINE), "D", PALETTE[4]),
        ):
            if point is not None:
                label = f"{name}: prune {point.amount:.1%}, cosine {point.cosine:.3f}"
                axes.plot(point.amount, point.cosine, marker, color=color, markersize=9, zorder=3, label=label)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal", xlabel="Pruned share of the prunable parameters")
        axes.set(ylabel="Cosine similarity to the parent", yticks=np.arange(1, 6) / 5)
        axes.legend(loc="lower left", frameon=True, framealpha=1)
        return fig


def intervals(
    axes: "Axes",
    runs: Mapping[str, Sequence[float] | Float[np.ndarray, " runs"]],
    means: Mapping[str, tuple[float, float, float]],
    published: Mapping[str, float],
) -> None:
    """One row per quantity: its runs as dots, their mean and interval (mean, low, high), and the published value."""
    legend = ("our runs", "95% interval of their mean", None, "published")
    for row, (name, values) in enumerate(runs.items()):
        mean, low, high = means[name]
        labels = legend if row == 0 else (None,) * 4
        heights = np.linspace(-0.12, 0.12, len(values)) - row  # spread equal runs
        axes.plot(values, heights, "o", color=PALETTE[0], alpha=0.4, markersize=4, label=labels[0])
        axes.plot([low, high], [-row, -row], "-", color=PALETTE[0], linewidth=3, label=labels[1])
        axes.plot(mean, -row, "|", color=PALETTE[0], markersize=16, markeredgewidth=2.5, label=labels[2])
        axes.plot(published[name], -row, "D", color=PALETTE[1], markersize=8, label=labels[3])
    axes.set_yticks([-row for row in range(len(runs))], list(runs))
    axes.set_ylim(0.5 - len(runs), 0.5)
    axes.grid(axis="y", visible=False)
