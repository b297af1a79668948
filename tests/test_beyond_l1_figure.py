"""The figure of ways to prune, on rows worked out by hand."""

import numpy as np
import pandas as pd
from drawings import bars, points, ys

from studies.beyond_l1.figure import ways_figure


def test_a_panel_an_axis_and_a_marker_a_way():
    ways = ("L1", "one-shot", 0.6), ("LAMP", "one-shot", 0.5), ("gradual L1", "gradual", 0.4)
    rows = pd.DataFrame(
        [
            (way, rule, amount, 1 - amount, 0.5, accuracy + seed / 10)
            for way, rule, accuracy in ways
            for amount in (0.5, 0.9)
            for seed in (0, 2)
        ],
        columns=["way", "rule", "amount", "cosine_pruned", "cosine", "accuracy"],
    )
    drawn = ways_figure(rows, 0.8)
    first, second, third = drawn.axes
    assert "Amount" in first.get_xlabel() and "mask" in second.get_xlabel() and "trained" in third.get_xlabel()
    lines = [bar.lines[0] for bar in bars(second)]
    assert np.round(points(lines[0]), 9).tolist() == [[0.5, 0.7], [0.1, 0.7]]
    looks = [(line.get_marker(), line.get_markerfacecolor()) for line in lines]
    assert len(set(looks)) == 3 and looks[2][1] == "none" and looks[0][0] == looks[2][0] != looks[1][0]
    [segment, _] = bars(second)[0].lines[2][0].get_segments()
    assert segment[:, 1].round(6).tolist() == [round(0.7 - 0.02**0.5, 6), round(0.7 + 0.02**0.5, 6)]
    assert [round(ys(line)[0], 9) for line in first.lines if len(set(ys(line))) == 1][-1] == 0.8
    said = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert said == ["L1", "LAMP", "gradual L1", "nothing pruned, trained on"]
