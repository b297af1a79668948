"""The figure of ways to prune: their accuracy against the amount, and against the cosine before and after training."""

from typing import TYPE_CHECKING, Any

from studies.shared.sweep_figures import LABELS, over_seeds
from wmgp.plotting import GUIDE, MARKERS, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

HEIGHT = 3.0  # inches, of a panel
CONTROL = "nothing pruned, trained on"
AXES = {
    "amount": LABELS["amount"],
    "cosine_pruned": "Cosine of the parent under the mask, to the parent",
    "cosine": "Cosine of the trained network to the parent",
}


def ways_figure(rows: "DataFrame", control: float) -> "Figure":
    """A panel for each of `AXES`: mean accuracy of every way (column `way`) at every amount, bars one deviation long.

    Filled markers are of ways that prune at once and train at the same rates, hollow ones of other schedules; the
    dotted line is the accuracy `control`.
    """
    drawn, panels = figure(len(AXES), 1, (6.0, HEIGHT * len(AXES) + 1.2), sharey=True)
    looks = _looks(rows)
    for axes, (x, label) in zip(panels, AXES.items(), strict=True):
        summary = over_seeds(rows.assign(method=rows["way"]), x, "accuracy")
        for way, look in looks.items():
            x_mean_sd = summary.loc[summary["method"] == way, ["x", "mean", "sd"]].to_numpy().T
            axes.errorbar(*x_mean_sd, label=way, **look)
        axes.axhline(control, **GUIDE, label=CONTROL)
        axes.set(xlabel=label, ylabel="Accuracy")
    handles, labels = panels[0].get_legend_handles_labels()
    drawn_as, order = dict(zip(labels, handles, strict=True)), [*looks, CONTROL]
    drawn.legend([drawn_as[name] for name in order], order, loc="outside upper center", ncols=2)
    return drawn


def _looks(rows: "DataFrame") -> dict[str, dict[str, Any]]:
    """How each way is drawn: a marker and a colour by its place among the ways of its kind, filled or hollow."""
    found, places = {}, {True: 0, False: 0}
    for way, rule in rows.drop_duplicates("way")[["way", "rule"]].to_numpy():
        at_once = rule == "one-shot"
        place = places[at_once] % len(MARKERS)
        places[at_once] += 1
        found[way] = {
            "color": PALETTE[place], "marker": MARKERS[place], "markersize": 7 if at_once else 10,
            "markerfacecolor": PALETTE[place] if at_once else "none",  # what lies below is seen
            "linestyle": "-" if at_once else ":", "linewidth": 1, "elinewidth": 1,
        }  # fmt: skip
    return found
