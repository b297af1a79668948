"""The figures of loss landscapes, on hand-made surfaces."""

import numpy as np
import pytest
from drawings import corners, legend, xs, ys

from studies.loss_landscape import figure


def test_lines_are_means_with_min_max_bands():
    losses = {"parent": np.array([[2.0, 1.0], [4.0, 3.0]]), "L1": np.array([[1.0, 1.0], [1.0, 1.0]])}
    drawn = figure.lines_figure(np.array([0.0, 1.0]), losses, ("start", "network"))
    axes = drawn.axes[0]
    first = axes.lines[0]
    assert ys(first) == [3, 2] and axes.get_yscale() == "log"
    edge = corners(axes.collections[0])
    assert {tuple(point) for point in edge.tolist()} >= {(0, 2), (0, 4), (1, 1), (1, 3)}
    assert [text.get_text() for text in axes.texts] == ["start", "network"]
    assert legend(axes) == ["parent", "L1"]
    assert axes.get_xlabel() and "nats" in axes.get_ylabel()


def test_surfaces_share_a_colour_scale():
    ticks = np.array([-1.0, 0.0, 1.0])
    flat = np.full((3, 3), 0.5)
    hill = flat + np.array([[0, 0, 0], [0, 8.0, 0], [0, 0, 1.5]])
    drawn = figure.planes_figure(ticks, {"parent": flat, "L1": hill})
    assert [axes.get_title(loc="left") or axes.get_title() for axes in drawn.axes[:2]] == ["parent", "L1"]
    scales = [axes.collections[0].get_clim() for axes in drawn.axes[:2]]
    assert scales[0] == scales[1] and scales[0] == pytest.approx((0.5, 8.5), rel=1e-6)
    cross = drawn.axes[0].lines[0]
    assert (xs(cross), ys(cross)) == ([0], [0])
    assert drawn.axes[2].get_xlabel() == "Test loss (nats)"
