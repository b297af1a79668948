"""The figures of longer fine-tuning, on rows worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from drawings import bars, corners, xs, ys

from studies.more_fine_tuning import figure

NAN = float("nan")


def test_a_line_for_each_amount():
    cells = [(0.5, 0, 0, 0.2), (0.5, 1, 0, 0.4), (0.5, 0, 1, 0.1), (0.5, 1, 1, 0.1), (0.9, 0, 0, 0.6), (0.9, 0, 1, 0.5)]
    rows = pd.DataFrame(cells, columns=["amount", "seed", "epochs", "js"]).assign(accuracy=0.5)
    drawn = figure.paths_figure(rows, ["js", "accuracy"], ["js"])
    upper, lower = drawn.axes
    np.testing.assert_allclose([ys(line) for line in upper.lines], [[0.3, 0.1], [0.6, 0.5]])
    assert upper.get_yscale() == "log" and lower.get_yscale() == "linear"
    assert len({str(line.get_marker()) for line in upper.lines}) == 2  # the markers differ too
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["50%", "90%"]
    assert lower.get_xlabel() == "Epochs of fine-tuning" and lower.get_ylabel() == "Accuracy"
    band = corners(upper.collections[0])[:, 1]
    assert band.min() == pytest.approx(0.1) and band.max() == pytest.approx(0.3 + 0.02**0.5)


def test_values_that_are_zero_up_to_rounding_are_not_on_a_logarithmic_axis():
    rows = pd.DataFrame({"amount": 0.0, "epochs": [0, 1], "seed": 0, "js": [1e-18, 0.1], "accuracy": [0.0, 0.5]})
    upper, lower = figure.paths_figure(rows, ["js", "accuracy"], ["js"]).axes
    assert ys(upper.lines[0]) == [0.1] and ys(lower.lines[0]) == [0.0, 0.5]
    assert upper.get_ylim()[0] > 1e-3


def test_changes_and_their_whiskers():
    found = {"one": {0.2: (0.1, 0.05, 0.2), 0.9: (-0.1, NAN, NAN)}, "other": {0.9: (0.3, 0.2, 0.4)}}
    drawn = figure.changes_figure({"Change": found})
    [axes] = drawn.axes
    dots = [bar.lines[0] for bar in bars(axes)]
    assert [ys(dot) for dot in dots] == [[0.1, -0.1], [0.3]]
    assert xs(dots[0]) == pytest.approx([-0.06, 0.94])
    assert xs(dots[1]) == pytest.approx([1.06])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["20%", "90%"]
    ends = [segment[:, 1] for segment in bars(axes)[0].lines[2][0].get_segments()]
    np.testing.assert_allclose(ends, [[0.05, 0.2], [-0.1, -0.1]])
