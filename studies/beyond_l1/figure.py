"""Figure of notebook 13: accuracy of pruning strategies against amount and cosine."""

from typing import TYPE_CHECKING, Any

from studies.shared.sweep_figures import COLUMN_LABELS, mean_over_seeds
from wmgp.plotting import GUIDE, MARKERS, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

PANEL_HEIGHT = 3.0  # inches
CONTROL = "unpruned, trained for the same epochs"
AXIS_LABELS = {
    "amount": COLUMN_LABELS["amount"],
    "cosine_pruned": "Cosine of the masked parent to the parent",
    "cosine": "Cosine of the trained network to the parent",
}


def strategies_figure(rows: "DataFrame", control: float) -> "Figure":
    """Plot the mean accuracy of each strategy (column `strategy`) at each amount, in a panel for each of `AXIS_LABELS`.

    Error bars are one standard deviation over the seeds. Filled markers: one-shot pruning; hollow markers: other
    schedules. The dotted line is the accuracy of the unpruned control, `control` in [0, 1].
    """
    drawn, panels = figure(len(AXIS_LABELS), 1, (6.0, PANEL_HEIGHT * len(AXIS_LABELS) + 1.2), sharey=True)
    styles = _line_styles(rows)
    for axes, (x, label) in zip(panels, AXIS_LABELS.items(), strict=True):
        summary = mean_over_seeds(rows.assign(method=rows["strategy"]), x, "accuracy")
        for strategy, style in styles.items():
            x_mean_sd = summary.loc[summary["method"] == strategy, ["x", "mean", "sd"]].to_numpy().T
            axes.errorbar(*x_mean_sd, label=strategy, **style)
        axes.axhline(control, **GUIDE, label=CONTROL)
        axes.set(xlabel=label, ylabel="Accuracy")
    handles, labels = panels[0].get_legend_handles_labels()
    handle_of, order = dict(zip(labels, handles, strict=True)), [*styles, CONTROL]
    drawn.legend([handle_of[name] for name in order], order, loc="outside upper center", ncols=2)
    return drawn


def _line_styles(rows: "DataFrame") -> dict[str, dict[str, Any]]:
    """Return matplotlib's options for each strategy; one-shot strategies have filled markers and solid lines."""
    styles, counts = {}, {True: 0, False: 0}
    for strategy, schedule in rows.drop_duplicates("strategy")[["strategy", "rule"]].to_numpy():
        one_shot = schedule == "one-shot"
        place = counts[one_shot] % len(MARKERS)
        counts[one_shot] += 1
        styles[strategy] = {
            "color": PALETTE[place], "marker": MARKERS[place], "markersize": 7 if one_shot else 10,
            "markerfacecolor": PALETTE[place] if one_shot else "none",  # markers below stay visible
            "linestyle": "-" if one_shot else ":", "linewidth": 1, "elinewidth": 1,
        }  # fmt: skip
    return styles
