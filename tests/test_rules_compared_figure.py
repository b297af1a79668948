"""The figure of rules, on rows worked out by hand."""

import pandas as pd
from drawings import xs, ys

from studies.rules_compared.figure import rules_figure


def test_one_dot_per_parent_and_lines_at_the_means():
    rows = pd.DataFrame(
        [
            ("A", "one", 0.5, 0.8, 0.3),
            ("A", "one", 0.7, 0.9, 0.5),
            ("A", "two", 0.6, 0.8, 0.3),
            ("B", "two", 0.1, 1, 0),
        ],
        columns=["network", "rule", "amount", "most", "most_untuned"],
    )
    drawn = rules_figure(rows)
    first, second = drawn.axes
    dots, most, untuned = first.lines
    assert xs(dots) == [0.5, 0.7, 0.6] and ys(dots) == [0, 0, 1]
    assert [round(xs(line)[0], 9) for line in (most, untuned)] == [round(2.5 / 3, 9), round(1.1 / 3, 9)]
    assert [tick.get_text() for tick in first.get_yticklabels()] == ["one", "two"]
    assert [axes.get_title(loc="left") or axes.get_title() for axes in (first, second)] == ["A", "B"]
    assert len(drawn.legends[0].get_texts()) == 3 and second.get_xlabel() and not first.get_xlabel()
