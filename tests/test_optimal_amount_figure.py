"""The figures about the optimal amount, on records and rows worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from drawings import legend, points, xs, ys

from studies.optimal_amount import figure


def stage(amount):
    front = {"amount": [0.0, 0.5, 1.0], "cosine": [1.0, 0.9, 0.0]}
    return {"analysis": {"front": front, "optimal": {"amount": amount, "cosine": 0.9}}}


def test_fronts_before_and_after_training():
    drawn = figure.fronts_figure({"net": {"trained": stage(0.5), "initial": stage(0.4)}})
    trained, best, initial, fresh, *_ = drawn.axes[0].lines
    assert points(trained) == points(initial) == [[0, 1], [0.5, 0.9], [1, 0]]
    assert trained.get_linestyle() == "-" and initial.get_linestyle() == ":"
    assert (xs(best), xs(fresh)) == ([0.5], [0.4])
    assert fresh.get_markerfacecolor() == "none" != best.get_markerfacecolor()
    assert legend(drawn.axes[0]) == ["net", "before training", "utopia"]


def test_costs_near_the_optimum_in_percentage_points():
    """Offsets that some parent does not reach are left out."""
    costs = np.array([[0.0, 0.02, 0.5], [0.01, 0.04, np.nan]])
    drawn = figure.neighbours_figure(np.array([-0.1, 0.0, 0.1]), costs, 0.01)
    mean = drawn.axes[0].lines[0]
    assert xs(mean) == [-10, 0] and ys(mean) == pytest.approx([0.5, 3])
    assert ys(drawn.axes[0].lines[2])[0] == 1
    assert drawn.axes[0].get_ylim()[1] == pytest.approx(4.5)


def test_amounts_of_each_parent():
    table = pd.DataFrame({"optimal amount": [0.8, 0.7], "after fine-tuning": [0.9, 0.95]}, index=[3, 4])
    drawn = figure.amounts_figure(table, 0.01)
    axes = drawn.axes[0]
    assert [xs(line) for line in axes.lines] == [[0.8, 0.7], [0.9, 0.95]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["seed 3", "seed 4"]
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert labels == ["optimal amount", "most at a cost of 1.0%, after fine-tuning"]
