"""The figure of rescalings, on numbers given by hand."""

import numpy as np
from drawings import ys

from studies.rescaling.figure import layer_scaling_figure


def test_one_panel_per_value_and_one_line_per_layer():
    factors = np.array([0.1, 1.0, 10.0])
    numbers = {"Optimal amount": {"conv1": factors, "fc1": -factors}, "Kurtosis": {"conv1": factors}}
    drawn = layer_scaling_figure(factors, numbers, ["Kurtosis"])
    first, second = drawn.axes
    assert (first.get_ylabel(), second.get_ylabel()) == ("Optimal amount", "Kurtosis")
    assert ys(first.lines[1]) == [-0.1, -1, -10] and first.get_xscale() == "log"
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["conv1", "fc1"]
    assert (first.get_yscale(), second.get_yscale()) == ("linear", "log")
    assert second.get_xlabel() and not first.get_xlabel()
