"""The figure of pruning strategies, on hand-made rows."""

import numpy as np
import pandas as pd
from drawings import bars, points, ys

from studies.beyond_l1.figure import strategies_figure


def test_each_axis_has_a_panel_and_each_strategy_a_marker():
    strategies = ("L1", "one-shot", 0.6), ("LAMP", "one-shot", 0.5), ("gradual L1", "gradual", 0.4)
    rows = pd.DataFrame(
        [
            (strategy, rule, amount, 1 - amount, 0.5, accuracy + seed / 10)
            for strategy, rule, accuracy in strategies
            for amount in (0.5, 0.9)
            for seed in (0, 2)
        ],
        columns=["strategy", "rule", "amount", "cosine_pruned", "cosine", "accuracy"],
    )
    drawn = strategies_figure(rows, 0.8)
    first, second, third = drawn.axes
    assert "Amount" in first.get_xlabel() and "mask" in second.get_xlabel() and "trained" in third.get_xlabel()
    lines = [bar.lines[0] for bar in bars(second)]
    assert np.round(points(lines[0]), 9).tolist() == [[0.5, 0.7], [0.1, 0.7]]
    styles = [(line.get_marker(), line.get_markerfacecolor()) for line in lines]
    assert len(set(styles)) == 3 and styles[2][1] == "none" and styles[0][0] == styles[2][0] != styles[1][0]
    [segment, _] = bars(second)[0].lines[2][0].get_segments()
    assert segment[:, 1].round(6).tolist() == [round(0.7 - 0.02**0.5, 6), round(0.7 + 0.02**0.5, 6)]
    assert [round(ys(line)[0], 9) for line in first.lines if len(set(ys(line))) == 1][-1] == 0.8
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert labels == ["L1", "LAMP", "gradual L1", "unpruned, trained for the same epochs"]
