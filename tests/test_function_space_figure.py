"""The figures of the function space, on hand-made networks."""

import numpy as np
import pytest
from drawings import points, ys

from studies.function_space import figure

POINTS = np.array([[0.0, 0], [1, 1], [2, 0], [3, 3], [4, 1]])
KINDS = ["training", "training", "l1", "random", "l1"]
AMOUNTS = np.array([0, 0, 0.5, 0.2, 0.9])


def test_a_map_shows_every_network_once():
    drawn = figure.map_figure(POINTS, KINDS, AMOUNTS, "training")
    axes = drawn.axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), POINTS[:2])
    shown = {
        tuple(offset): amount
        for each in axes.collections
        for offset, amount in zip(
            np.asarray(each.get_offsets()).tolist(), np.asarray(each.get_array()).tolist(), strict=True
        )
    }
    assert shown == {(2, 0): 0.5, (4, 1): 0.9, (3, 3): 0.2}
    assert {each.get_clim() for each in axes.collections} == {(0, 1)}
    assert [text.get_text() for text in axes.texts] == ["initialisation", "parent"]
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [
        *("training, by epochs", "pruned by L1", "pruned at random"),
    ]
    assert axes.get_xlabel() and axes.get_ylabel() and drawn.axes[1].get_xlabel().startswith("Amount")


def test_distances_by_method_and_marks():
    far = np.array([0.1, 0.2, 0.4])
    drawn = figure.distance_figure(np.array([0.9, 0.5, 0.2]), far, KINDS[2:], [(0, 0.6), (5, 0.3)])
    axes = drawn.axes[0]
    l1, random, *marks = axes.lines
    assert points(l1) == [[0.9, 0.1], [0.2, 0.4]] and points(random) == [[0.5, 0.2]]
    assert [ys(line)[0] for line in marks] == pytest.approx([0.6, 0.3])
    assert [text.get_text() for text in axes.texts] == ["initialisation", "epoch 5"]
    assert axes.get_yscale() == "log" and "nats" in axes.get_ylabel()
