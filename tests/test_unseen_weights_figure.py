"""The figures of unseen weights, on rows worked out by hand."""

import pandas as pd
import pytest
from drawings import xs, ys

from studies.unseen_weights import figure

ROW = pd.Series(
    {"decay": 0.5, "at_099_all": 0.4, "at_099_times_1": 0.4, "at_099_times_0.2": 0.7, "at_099_times_0": 0.8}
)
CELLS = [("l1", 0.5, 0.8, 0.9), ("l1", 0.2, 1.0, 0.9), ("random", 0.2, 0.8, 0.1), ("random", 0.2, 0.9, 0.3),
         ("random", 0.1, 0.95, 0.4)]  # fmt: skip
ROWS = pd.DataFrame(CELLS, columns=["method", "amount", "cosine", "accuracy"])


def test_the_curve_of_shrinking_weights():
    factors, amounts = figure.shrinking_curve(ROW)
    assert factors.tolist() == [0.5, 0.1, 0] and amounts.tolist() == [0.4, 0.7, 0.8]
    [axes] = figure.shrinking_figure({"one": ROW}, {"dot": (0.3, 0.6)}, "Title").axes
    curve, dot, guide = axes.lines
    assert ys(curve) == [0.4, 0.7, 0.8] and (xs(dot), ys(dot)) == ([0.3], [0.6])
    assert set(ys(guide)) == {0.7} and axes.get_xlim() == (1, 0) and axes.get_title("left") == "Title"


def test_shares_of_prunes():
    rows = pd.DataFrame({"amount": [0.1, 0.5], "unseen_share": [0.7, 0.65]})
    [axes] = figure.share_figure({"15 epochs": rows}, 0.62, "Title").axes
    assert ys(axes.lines[0]) == [0.7, 0.65] and set(ys(axes.lines[1])) == {0.62}


def test_the_gap_at_equal_cosine():
    # random: cosine 0.85 -> accuracy 0.2 (mean of two masks), 0.95 -> 0.4; so 0.3 at 0.9
    assert figure.accuracy_at(ROWS.loc[ROWS["method"] == "random"], "cosine", 0.9) == pytest.approx(0.3)
    assert figure.gap(ROWS, "cosine") == pytest.approx(0.9 - 0.3)
    assert figure.gap(ROWS, "cosine", 0.5) != figure.gap(ROWS, "cosine", 0.5)  # outside the measured range: nan


def test_accuracies_against_cosines():
    drawn = figure.accuracies_figure({"one": (ROWS, "cosine"), "two": (ROWS.assign(accuracy=0.99), "cosine")})
    one, two = drawn.axes
    assert xs(one.lines[1]) == pytest.approx([0.85, 0.95]) and ys(one.lines[1]) == pytest.approx([0.2, 0.4])
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["L1", "random"]
    assert two.get_xlabel() and not one.get_xlabel()
    assert one.get_ylim()[0] == two.get_ylim()[0] == 0 and two.get_ylim()[1] > 0.99
