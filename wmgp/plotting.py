"""The project's one figure style, and its figures.

Colours stay apart for colour-blind readers and in grey, and lines differ in their dashes too; letters are large enough
for a phone; drawings are vectors, the same bytes each time. Figures are made without pyplot, so nothing is left open.
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .analysis import Analysis

# Paul Tol's high-contrast three, black, and two of his muted colours (personal.sron.nl/~pault).
PALETTE = ("#004488", "#BB5566", "#DDAA33", "#000000", "#117733", "#88CCEE")
DASHES = ("-", (0, (5, 1.5)), (0, (3, 1.2, 1, 1.2)), (0, (1, 1)), (0, (8, 2)), (0, (4, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "D", "^", "v", "P")
GUIDE: dict[str, Any] = {"color": "#666666", "linewidth": 1, "linestyle": ":", "marker": "", "zorder": 1}
FIGURE_SIZE = (6.0, 4.0)  # inches: a column of the book; on a phone the letters are still 9 pixels high
SVG_METADATA = {"Date": None, "Creator": None}  # what a drawing would otherwise say of when and how it was made


def style() -> Any:
    """The settings of matplotlib that are the style: seaborn's white grid, our colours and sizes."""
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
        "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same everywhere
        "font.sans-serif": ["DejaVu Sans"],
        "axes.labelsize": 12,
        "xtick.labelsize": 11,
        "ytick.labelsize": 11,
        "legend.fontsize": 11,
        "lines.linewidth": 2,
        "svg.hashsalt": "wmgp",
    }


def use_style() -> None:
    """Draw everything that follows in this style; in a notebook, show figures as vectors."""
    import matplotlib

    matplotlib.rcParams.update(style())
    if shell := _notebook_shell():
        _show_vectors(shell)


def figure(
    rows: int = 1, columns: int = 1, size: tuple[float, float] = FIGURE_SIZE, **subplots: Any
) -> "tuple[Figure, Any]":
    """A figure of `size` inches in this style and its axes, one or an array of them (as `Figure.subplots`)."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    shell = _notebook_shell()
    if shell and not any(Figure in form.type_printers for form in shell.display_formatter.formatters.values()):
        _show_vectors(shell)
    with rc_context(style()):
        drawn = Figure(figsize=size)
        return drawn, drawn.subplots(rows, columns, **subplots)


def _notebook_shell() -> Any:
    """The notebook's shell, or None outside a notebook."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell if hasattr(shell, "kernel") else None


def _show_vectors(shell: Any) -> None:
    """Show the shell's figures as drawings, whose names of parts are then the same in every run."""
    import matplotlib
    from IPython.core.pylabtools import select_figure_formats

    matplotlib.rcParams["svg.hashsalt"] = style()["svg.hashsalt"]  # read when a figure is shown, not when it is made
    select_figure_formats(shell, {"svg"}, metadata=SVG_METADATA)


def save(drawn: "Figure", path: str | Path) -> None:
    """Write a figure as the file's ending says (svg, pdf, png); the same figure gives the same bytes.

    Written aside and renamed. InputError for an ending that matplotlib does not know.
    """
    from matplotlib import rc_context

    path = Path(path)
    kind = path.suffix.lstrip(".").lower()
    if kind not in drawn.canvas.get_supported_filetypes():
        raise InputError(f"{path}: expected a name that ends in .svg, .pdf or .png")
    metadata = {"svg": SVG_METADATA, "pdf": {"CreationDate": None}, "png": {"Software": None}}.get(kind)
    with staging_dir(path.parent) as aside, rc_context(style()):
        drawn.savefig(aside / path.name, format=kind, dpi=200, metadata=metadata)
        os.replace(aside / path.name, path)


def band(axes: "Axes", x: ArrayLike, low: ArrayLike, high: ArrayLike, color: str) -> None:
    """The area between two curves, `low` and `high` at each `x`, pale enough for a line upon it."""
    axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)


def front_figure(analysis: "Analysis") -> "Figure":
    """The Pareto front of cosine against amount, with utopia, the optimal and the safe prune, and cosine 0.99."""
    from matplotlib import rc_context

    with rc_context(style()):
        drawn, axes = figure(size=(5.6, 5.4))
        front, optimal = analysis.front, analysis.optimal
        axes.plot(front.amount, front.cosine, color=PALETTE[0], label="global L1 pruning")
        axes.plot([optimal.amount, 1], [optimal.cosine, 1], **GUIDE)
        axes.plot(1, 1, "*", color=PALETTE[3], markersize=15, clip_on=False, label="utopia: all pruned, nothing lost")
        axes.axhline(0.99, **GUIDE)
        for name, point, marker, color in (
            ("nearest to utopia", optimal, "o", PALETTE[1]),
            ("safe", analysis.safe, "s", PALETTE[2]),
            ("cosine 0.99", analysis.at_cosine(0.99), "D", PALETTE[4]),
        ):
            if point is not None:
                label = f"{name}: prune {point.amount:.1%}, cosine {point.cosine:.3f}"
                axes.plot(point.amount, point.cosine, marker, color=color, markersize=9, zorder=3, label=label)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal", xlabel="Pruned share of the prunable parameters")
        axes.set(ylabel="Cosine similarity to the parent", yticks=np.arange(1, 6) / 5)
        axes.legend(loc="lower left", frameon=True, framealpha=1)
        return drawn


def intervals(
    axes: "Axes",
    runs: Mapping[str, Sequence[float] | Float[np.ndarray, " runs"]],
    means: Mapping[str, tuple[float, float, float]],
    published: Mapping[str, float],
) -> None:
    """A line a quantity: its runs as dots, their mean with its interval (mean, low, high), what was published."""
    legend = ("our runs", "95% interval of their mean", None, "published")
    for place, (name, values) in enumerate(runs.items()):
        mean, low, high = means[name]
        labels = legend if place == 0 else (None,) * 4
        heights = np.linspace(-0.12, 0.12, len(values)) - place  # so that equal runs do not hide each other
        axes.plot(values, heights, "o", color=PALETTE[0], alpha=0.4, markersize=4, label=labels[0])
        axes.plot([low, high], [-place, -place], "-", color=PALETTE[0], linewidth=3, label=labels[1])
        axes.plot(mean, -place, "|", color=PALETTE[0], markersize=16, markeredgewidth=2.5, label=labels[2])
        axes.plot(published[name], -place, "D", color=PALETTE[1], markersize=8, label=labels[3])
    axes.set_yticks([-place for place in range(len(runs))], list(runs))
    axes.set_ylim(0.5 - len(runs), 0.5)
    axes.grid(axis="y", visible=False)
