"""Figure of speed: seconds against size for `analyze`, other programs, and the limits of memory and disk."""

from typing import TYPE_CHECKING, Any

from benchmarks.sizes import COLD, READ, TENSOR, WARM
from wmgp.plotting import DASHES, MARKERS, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

OURS = "wmgp.analyze"
LIMITS = ("torch.sum", f"{READ}, warm")  # lower bounds for any program
LIMIT_STYLE: dict[str, Any] = {"color": "#666666", "linewidth": 4, "alpha": 0.5, "marker": ""}


def speed_figure(rows: "DataFrame") -> "Figure":
    """Plot rows of `benchmark_sizes`: a panel for tensors in memory, and one for files from memory and from disk."""
    drawn, panels = figure(2, 1, (6.0, 9.8), gridspec_kw={"hspace": 0.1})
    tensors, warm, cold = (rows.loc[rows["what"] == what] for what in (TENSOR, WARM, COLD))
    _draw_lines(
        panels[0],
        {OURS: fastest_times(tensors), **{str(name): peer_times(part) for name, part in tensors.groupby("peer")}},
    )
    files = {
        f"{OURS}, warm": fastest_times(warm),
        f"{OURS}, cold": fastest_times(cold),
        f"{READ}, warm": peer_times(warm),
    }
    _draw_lines(panels[1], {**files, f"{READ}, cold": peer_times(cold)})
    for axes, title in zip(panels, ("Values in memory, float32", "A file, bfloat16"), strict=True):
        axes.set_title(title, loc="left")
        axes.set(xscale="log", yscale="log", xlabel="Number of values", ylabel="Seconds")
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2, frameon=False)  # clear of the lines
    return drawn


def fastest_times(rows: "DataFrame") -> "DataFrame":
    """Return size and seconds of ours: for each size, the fastest row of all peers."""
    return rows.sort_values("seconds").drop_duplicates("values").sort_values("values")


def peer_times(rows: "DataFrame") -> "DataFrame":
    """Return size and seconds of the peer."""
    return rows[["values"]].assign(seconds=rows["peer_seconds"])


def _draw_lines(axes: "Axes", lines: "dict[str, DataFrame]") -> None:
    """Draw the lines, limits thick and grey; the slowest comes first, so that the legend has the plot's order."""
    order = sorted(lines, key=lambda name: -lines[name]["seconds"].div(lines[name]["values"]).iloc[-1])
    looks = dict(zip(lines, zip(PALETTE, DASHES, MARKERS, strict=True), strict=False))
    for name in order:
        color, dashes, marker = looks[name]
        plain: dict[str, Any] = {"color": color, "linestyle": dashes, "marker": marker, "markersize": 5}
        axes.plot(
            lines[name]["values"], lines[name]["seconds"], label=name, **(LIMIT_STYLE if name in LIMITS else plain)
        )
