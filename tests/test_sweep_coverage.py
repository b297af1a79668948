"""Amounts and seeds of a recorded sweep, formatted as the command line accepts them."""

import pytest

from wmgp.experiments.results.formatting import format_amounts, format_integer_ranges
from wmgp.experiments.sweep.cli import parse_amounts, parse_seeds

TWENTIETHS = [round(0.05 * i, 10) for i in range(21)]


@pytest.mark.parametrize(
    "amounts, words",
    [
        (TWENTIETHS, "0:1:0.05"),
        ([*TWENTIETHS, 0.98], "0:1:0.05 0.98"),  # a grid and one added amount
        ([0, 0.5, 1], "0:1:0.5"),
        ([0.2, 0.98], "0.2 0.98"),
        ([0, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98], "0 0.2 0.5 0.8 0.9 0.95 0.98"),
        ([0, 0.1, 0.2, 0.5], "0 0.1 0.2 0.5"),  # not evenly spaced
        ([0.3], "0.3"),
    ],
)
def test_formatted_amounts_are_parsed_back(amounts, words):
    assert format_amounts(reversed(amounts)) == words
    assert sorted(parse_amounts(words.split())) == sorted(amounts)


@pytest.mark.parametrize("seeds, words", [([0, 1, 2], "0-2"), ([0, 1, 3, 4, 5, 10], "0-1 3-5 10"), ([7], "7")])
def test_formatted_seeds_are_parsed_back(seeds, words):
    assert format_integer_ranges(reversed(seeds)) == words
    assert list(parse_seeds(words.split())) == seeds
