"""Rank correlation: agreement with the textbook formula, and undefined cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wmgp.experiments.statistics.rank_correlation import spearman


@given(st.permutations(range(6)))
def test_without_ties_it_equals_the_textbook_formula(order):
    """1 - 6 sum d^2 / (n (n^2 - 1)), where d are the rank differences."""
    y = np.array(order, dtype=float)
    expected = 1 - 6 * ((np.arange(6) - y) ** 2).sum() / (6 * 35)
    assert spearman(np.arange(6.0) ** 3, y) == pytest.approx(expected)


@pytest.mark.parametrize(("x", "y"), [([], []), ([1.0], [2.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])])
def test_it_is_undefined_for_few_or_constant_values(x, y):
    assert np.isnan(spearman(np.array(x), np.array(y))) and np.isnan(spearman(np.array(y), np.array(x)))
