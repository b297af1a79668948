"""Figure of notebook 10: the amount that each rule recommends for each parent, and the largest allowed amount."""

from typing import TYPE_CHECKING

import numpy as np

from wmgp.plotting import DASHES, MARKERS, PALETTE, figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

ROW_HEIGHT, MARGIN = 0.27, 1.0  # inches: of a rule's row, and around the rows


def rules_figure(rows: "DataFrame") -> "Figure":
    """Plot the amounts of all rules (`rule_errors.compare_rules`): a panel for each network, one dot per parent.

    Vertical lines are the largest amounts at the allowed cost, averaged over the parents, after and before fine-tuning.
    """
    networks, rules = list(dict.fromkeys(rows["network"])), list(dict.fromkeys(rows["rule"]))
    size = (6.0, len(networks) * (ROW_HEIGHT * len(rules) + MARGIN) + 0.6)
    drawn, panels = figure(len(networks), 1, size, squeeze=False, sharex=True)
    for axes, network in zip(panels[:, 0], networks, strict=True):
        mine = rows.loc[rows["network"] == network]
        place = mine["rule"].map({rule: i for i, rule in enumerate(rules)})
        axes.plot(mine["amount"], place, MARKERS[0], color=PALETTE[0], alpha=0.6, label="what a rule would prune")
        for name, words, color, dash in (
            ("most", "most at the allowed cost, after fine-tuning", PALETTE[1], DASHES[0]),
            ("most_untuned", "the same just after pruning", PALETTE[3], DASHES[1]),
        ):
            axes.axvline(float(np.mean(mine[name])), color=color, linestyle=dash, label=words)
        axes.set_yticks(range(len(rules)), rules)
        axes.set(xlim=(-0.02, 1.02), title=network)
        axes.invert_yaxis()
    panels[-1, 0].set_xlabel("Amount: pruned share of the parameters")
    drawn.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=1)
    return drawn
