"""What a recorded sweep covers, in words that the command line reads back."""

import pytest

from wmgp.experiments.results.formatting import format_amounts, format_integer_ranges
from wmgp.experiments.sweep.cli import parse_amounts, parse_seeds

TWENTIETHS = [round(0.05 * i, 10) for i in range(21)]


@pytest.mark.parametrize(
    "amounts, words",
    [
        (TWENTIETHS, "0:1:0.05"),
        ([*TWENTIETHS, 0.98], "0:1:0.05 0.98"),  # a grid, and what was added to it
        ([0, 0.5, 1], "0:1:0.5"),
        ([0.2, 0.98], "0.2 0.98"),
        ([0, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98], "0 0.2 0.5 0.8 0.9 0.95 0.98"),
        ([0, 0.1, 0.2, 0.5], "0 0.1 0.2 0.5"),  # no grid goes through all of them
        ([0.3], "0.3"),
    ],
)
def test_amounts(amounts, words):
    assert format_amounts(reversed(amounts)) == words
    assert sorted(parse_amounts(words.split())) == sorted(amounts)


@pytest.mark.parametrize("seeds, words", [([0, 1, 2], "0-2"), ([0, 1, 3, 4, 5, 10], "0-1 3-5 10"), ([7], "7")])
def test_seeds(seeds, words):
    assert format_integer_ranges(reversed(seeds)) == words
    assert list(parse_seeds(words.split())) == seeds
