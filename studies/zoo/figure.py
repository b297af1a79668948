"""Figures of notebook 15: recommended amounts of each network, and their relation to kurtosis."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from wmgp.plotting import GUIDE, MARKERS, PALETTE, figure
from wmgp.rules import CONSTANT_AMOUNT

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

KIND_STYLES = [
    *zip(MARKERS, PALETTE, strict=True),
    ("*", PALETTE[3]),
]  # a marker and a colour for each kind, the last for the reader's network
ROW_HEIGHT, MARGIN = 0.29, 0.45  # inches: of a network's row, and around the rows of a kind
AMOUNT_STYLES = {  # column -> label, marker, colour
    "at_099": ("cosine 0.99", "D", PALETTE[4]),
    "safe": ("safe, where it is defined", "s", PALETTE[2]),
    "optimal": ("optimal", "o", PALETTE[1]),
}


def amounts_figure(rows: "DataFrame") -> "Figure":
    """Plot three amounts and 80 percent: a row for each network of `rows` (of one pool), a panel for each kind."""
    kinds = dict(list(rows.groupby("kind", sort=False)))
    heights = [ROW_HEIGHT * len(part) + MARGIN for part in kinds.values()]
    drawn, panels = figure(
        len(kinds), 1, (6.0, sum(heights) + 1.3), squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights}
    )
    for axes, (kind, part) in zip(panels[:, 0], kinds.items(), strict=True):
        for column, (words, marker, color) in AMOUNT_STYLES.items():
            axes.plot(part[column], range(len(part)), marker, color=color, markersize=8, label=words)
        axes.axvline(CONSTANT_AMOUNT, label="always 80 percent", **GUIDE)
        axes.set_yticks(range(len(part)), part["name"])
        axes.set(xlim=(-0.02, 1.03), ylim=(len(part) - 0.5, -0.5), title=str(kind).capitalize())
    panels[-1, 0].set_xlabel("Amount: pruned share of the pool")
    drawn.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return drawn


def kurtosis_figure(pools: "Mapping[str, DataFrame]", floor: float) -> "Figure":
    """Plot optimal amount against kurtosis: a panel per pool (title -> rows), a dot per network, a marker per kind.

    `floor` is the smallest amount that the rule can return.
    """
    drawn, panels = figure(len(pools), 1, (6.0, 3.2 * len(pools) + 0.8), squeeze=False, sharex=True, sharey=True)
    kinds = dict.fromkeys(kind for rows in pools.values() for kind in rows["kind"])
    for axes, (title, rows) in zip(panels[:, 0], pools.items(), strict=True):
        for kind, (marker, color) in zip(kinds, KIND_STYLES, strict=False):
            part = rows[rows["kind"] == kind]
            axes.plot(part["kurtosis"], part["optimal"], marker, color=color, alpha=0.8, markersize=8, label=kind)
        axes.axhline(floor, label="least possible", **GUIDE)
        axes.set(xscale="log", ylim=(0.6, 1.02), ylabel="Optimal amount", title=title)
    panels[-1, 0].set_xlabel("Kurtosis of the pool (a normal distribution has 3)")
    drawn.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return drawn
