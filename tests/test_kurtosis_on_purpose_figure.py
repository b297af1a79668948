"""The figures of kurtosis changed on purpose, on hand-made rows."""

import pandas as pd
from drawings import xs, ys

from studies.kurtosis_on_purpose.figure import correlations_figure, largest_amounts_figure


def test_each_parent_has_a_mark_and_a_line_from_the_base_of_its_seed():
    rows = [
        ("nothing", 0, 3, 0.5),
        ("decay", 0, 6, 0.7),
        ("nothing", 1, 4, 0.4),
        ("decay", 1, 8, 0.3),
        ("law", 0, 2, 0.6),
    ]
    parents = pd.DataFrame(rows, columns=["moved", "seed", "kurtosis", "most"]).assign(bare=0.1)
    drawn = largest_amounts_figure(parents, {"most": "after", "bare": "before"}, "nothing")
    first, second = drawn.axes
    lines, (decay, law, base) = first.lines[:5], first.lines[5:]
    assert [xs(line) for line in lines][1:4:2] == [[3, 6], [4, 8]]
    assert ys(lines[1]) == [0.5, 0.7]
    assert xs(decay) == [6, 8] and ys(law) == [0.6] and ys(base) == [0.5, 0.4]
    assert decay.get_marker() != law.get_marker() != base.get_marker()
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["decay", "law", "nothing"]
    assert (
        "after" in first.get_ylabel() and first.get_xscale() == "log" and second.get_xlabel() and not first.get_xlabel()
    )


def test_each_correlation_has_a_value_and_an_interval():
    nan = float("nan")
    found = {"tuned": {"a": (0.5, 0.1, 0.9), "b": (-0.2, nan, nan)}, "bare": {"a": (0, -1, 1), "b": (nan, nan, nan)}}
    (axes,) = correlations_figure(found).axes
    interval, value = axes.lines[:2]
    assert xs(interval) == [0.1, 0.9] and xs(value) == [0.5]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"]
    assert ys(axes.lines[0])[0] < 0 < ys(axes.lines[5])[0]  # side by side around the tick
    assert len(axes.figure.legends[0].get_texts()) == 2
