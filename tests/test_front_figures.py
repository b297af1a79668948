"""The notebooks' figures show the given rows."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Annotation

from studies.how_much import figure as how_much
from studies.kurtosis import figure as kurtosis
from studies.l1_is_optimal import figure as l1_is_optimal
from studies.shared import front_figures
from wmgp import closed_forms
from wmgp.pareto import Point


def lines(drawn, place=0):
    """Label -> (x, y) of an axes' lines."""
    return {line.get_label(): np.array(line.get_data()).tolist() for line in drawn.axes[place].lines}


def legend(drawn):
    return [text.get_text() for text in drawn.axes[0].get_legend().get_texts()]


def labels(drawn, place=0):
    return drawn.axes[place].get_xlabel(), drawn.axes[place].get_ylabel()


def point(amount, cosine):
    return Point(amount, cosine, cosine, float("nan"), 0, float(np.hypot(1 - amount, 1 - cosine)))


def test_every_mask_is_a_dot_and_l1_a_line_through_its_counts():
    drawn = l1_is_optimal.masks_figure(np.array([0, 0.5, 0.5, 1]), np.array([1, 0.8, 0.6, 0]), np.array([1, 0.8, 0]))
    found = lines(drawn)
    assert found["all 4 masks"] == [[0, 0.5, 0.5, 1], [1, 0.8, 0.6, 0]]
    assert found["L1: smallest first"] == [[0, 0.5, 1], [1, 0.8, 0]]
    x, y = np.array(found["√(1 - amount)"])
    assert y**2 == pytest.approx(1 - x)
    assert labels(drawn) == ("Amount: pruned share of the parameters", "Cosine similarity to the parent")


def test_a_method_is_the_mean_of_its_draws_with_a_min_max_band():
    drawn = l1_is_optimal.methods_figure(
        [0.0, 1.0], {"l1": np.array([[1.0, 0.5]]), "random": np.array([[1, 0.2], [0.8, 0.0]])}
    )
    found = lines(drawn)
    assert found["l1"] == [[0, 1], [1, 0.5]] and found["random"] == [[0, 1], [0.9, 0.1]]
    corners = np.asarray(drawn.axes[0].collections[1].get_paths()[0].vertices).round(9)
    assert {tuple(corner) for corner in corners.tolist()} == {(0, 1), (0, 0.8), (1, 0.2), (1, 0)}


def test_exchanges_lie_below_l1():
    drawn = l1_is_optimal.exchanges_figure([1, 10], {"worst": [0.9, 0.5]}, 0.95)
    assert lines(drawn)["worst"] == [[1, 10], [0.9, 0.5]]
    assert lines(drawn)["L1, nothing exchanged"][1] == [0.95, 0.95]
    assert drawn.axes[0].get_xscale() == "log"


def test_fronts_have_their_optima_and_utopia():
    drawn = front_figures.fronts_figure({"a": ([0, 1], [1, 0.5])}, {"a": point(0.7, 0.8)}, lowest=0.2, least_amount=0.1)
    shown = [np.array(line.get_data()).tolist() for line in drawn.axes[0].lines]
    assert [[0, 1], [1, 0.5]] in shown and [[0.7], [0.8]] in shown and [[0.7, 1], [0.8, 1]] in shown
    assert lines(drawn)["utopia"] == [[1], [1]] and legend(drawn) == ["a", "utopia"]
    assert drawn.axes[0].get_xlim()[0] == 0.1 and drawn.axes[0].get_ylim()[0] == 0.2


def test_optima_lie_right_of_the_floor():
    drawn = how_much.optima_figure({"made up": [point(0.7, 0.6), point(0.9, 0.8)]})
    assert lines(drawn)["made up"] == [[0.7, 0.9], [0.6, 0.8]]
    floor = closed_forms.smallest_optimum()
    assert lines(drawn)["the floor"] == [[floor.amount], [floor.cosine]]
    assert drawn.axes[0].patches[0].get_extents().transformed(drawn.axes[0].transData.inverted()).x1 == pytest.approx(
        floor.amount
    )


def test_the_smallest_distance_is_marked():
    drawn = how_much.distance_figure({"a": (np.array([0, 0.5, 1]), np.array([1, 0.3, 0.9]))})
    [line] = drawn.axes[0].lines
    assert line.get_markevery() == [1] and labels(drawn)[1] == "Distance to utopia"


def test_grid_errors_are_shown_with_the_grid_step():
    drawn = how_much.grid_figure([11, 101], {"a": [-0.03, 0.002]})
    found = lines(drawn)
    assert found["a"] == [[11, 101], [0.03, 0.002]]
    assert found["one step"][1] == pytest.approx([0.1, 0.01]) and found["half a step"][1] == pytest.approx(
        [0.05, 0.005]
    )


def test_named_distributions_are_annotated():
    drawn = kurtosis.kurtosis_figure(
        {"family": ([2, 6], [0.7, 0.8])}, {"here": (3, 0.75), "lower": (4, 0.72)}, "Amount"
    )
    assert lines(drawn)["family"] == [[2, 6], [0.7, 0.8]] and labels(drawn)[1] == "Amount"
    words = [
        (t.get_text(), t.xy, t.get_horizontalalignment()) for t in drawn.axes[0].texts if isinstance(t, Annotation)
    ]
    assert words == [("here", (3, 0.75), "right"), ("lower", (4, 0.72), "left")]


def test_amount_differences_may_be_negative():
    drawn = kurtosis.amount_difference_figure([0.5, 0.9], {"a less b": [-0.1, 0.2]})
    assert lines(drawn)["a less b"] == [[0.5, 0.9], [-0.1, 0.2]]


def test_the_modifier_jumps_and_is_limited():
    drawn = kurtosis.modifier_figure(np.array([1.5, 2.0, 2.7, np.e, np.e**2]), {"a net": np.e**2})
    published = [line for line in drawn.axes[0].lines if line.get_color() == front_figures.PALETTE[0]]
    assert published[0].get_ydata() == pytest.approx([1 / np.log2(1.5), 1, 1 / np.log2(2.7)])
    assert published[1].get_ydata() == pytest.approx([1, 0.5])
    assert lines(drawn)["at most 1"][1] == pytest.approx([1, 1, 1 / np.log2(2.7)])
    assert lines(drawn)["a net: 7.39"] == [[np.e**2], [pytest.approx(0.5)]]


def test_survival_is_the_remaining_share_of_each_tensor():
    tensors = pd.DataFrame(
        {
            "shape": [[2, 5], [5], [10]],
            "n": [10, 5, 10],
            "pruned_at_optimal": [8, 5, 5],
            "pruned_at_safe": [1, 0, 5],
        }
    )
    drawn = kurtosis.survival_figure(tensors)
    optimal, safe = lines(drawn), lines(drawn, 1)
    assert optimal["two or more"] == [[0], [pytest.approx(0.2)]] and optimal["one dimension"] == [[1, 2], [0, 0.5]]
    assert optimal["nothing left"] == [[1], [0]] and safe["nothing left"] == [[], []]
    assert safe["one dimension"] == [[1, 2], [1, 0.5]]


def test_the_front_of_a_distribution_equals_its_closed_form():
    amount, cosine = front_figures.distribution_front(closed_forms.uniform(), 3)
    assert np.asarray(amount).tolist() == [0, 0.5, 1] and cosine == pytest.approx([1, np.sqrt(1 - 0.125), 0])
