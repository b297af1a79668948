"""The figures of the zoo, on rows given by hand."""

import numpy as np
import pandas as pd
from drawings import xs, ys

from studies.zoo.figure import amounts_figure, kurtosis_figure

ROWS = pd.DataFrame(
    {
        "name": ["one", "two", "three"],
        "kind": ["graph", "graph", "recurrent"],
        "kurtosis": [3.0, 30.0, 300.0],
        "optimal": [0.8, 0.9, 1.0],
        "safe": [0.2, np.nan, 0.5],
        "at_099": [0.4, 0.5, 0.6],
    }
)


def test_one_panel_per_kind_and_one_row_per_network():
    drawn = amounts_figure(ROWS)
    graph, recurrent = drawn.axes
    assert [text.get_text() for text in graph.get_yticklabels()] == ["one", "two"]
    assert [graph.get_title(), recurrent.get_title()] == ["Graph", "Recurrent"]
    dots = {line.get_label(): line.get_xdata() for line in graph.lines}
    np.testing.assert_array_equal(dots["optimal"], [0.8, 0.9])
    np.testing.assert_array_equal(dots["safe, where it is defined"], [0.2, np.nan])
    assert recurrent.get_xlabel() and not graph.get_xlabel()
    assert graph.yaxis_inverted() and len({str(line.get_marker()) for line in graph.lines}) == 4
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert labels == ["cosine 0.99", "safe, where it is defined", "optimal", "always 80 percent"]


def test_one_panel_per_pool_and_one_marker_per_kind():
    drawn = kurtosis_figure({"First": ROWS, "Second": ROWS.assign(optimal=0.7)}, 0.65)
    first, second = drawn.axes
    assert first.get_xscale() == "log" and second.get_title() == "Second"
    assert xs(first.lines[0]) == [3, 30] and ys(second.lines[1]) == [0.7]
    assert first.lines[0].get_marker() != first.lines[1].get_marker()
    assert first.lines[2].get_ydata() == [0.65, 0.65]
    labels = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert labels == ["graph", "recurrent", "least possible"]
