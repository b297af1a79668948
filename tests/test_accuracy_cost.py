"""Largest amounts at an accuracy cost, costs of amounts, and rank correlations, worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from wmgp import InputError
from wmgp.experiments.statistics import accuracy_cost, rank_correlation


def rows(accuracies, parent=0.9, method="l1", run="a"):
    amounts = np.linspace(0, 1, len(accuracies))
    table = {"amount": amounts, "accuracy": accuracies, "accuracy_parent": parent, "method": method, "run": run}
    return pd.DataFrame(table).sample(frac=1, random_state=0)  # in any order


@pytest.mark.parametrize(("accuracies", "expected"), [
    ([0.9, 0.9, 0.895, 0.875, 0.1], 0.5 + 0.25 * 0.005 / 0.02),  # 0.005 is lost at 0.5, and 0.025 at 0.75
    ([0.9, 0.88, 0.9, 0.9, 0.1], 0.125),  # accuracies after the first drop do not count
    ([0.9, 0.9, 0.9, 0.9, 0.9], 1.0),
    ([0.8, 0.9, 0.9, 0.9, 0.9], 0.0),
])  # fmt: skip
def test_the_largest_amount_is_interpolated(accuracies, expected):
    assert accuracy_cost.largest_amount(rows(accuracies)) == pytest.approx(expected)
    assert accuracy_cost.largest_amount(rows(accuracies), cost=0.9) == 1
    assert accuracy_cost.largest_amount(rows(accuracies).assign(other=0.9), y="other") == 1


def test_the_cost_of_an_amount_is_interpolated():
    lost = accuracy_cost.cost_at(rows([0.9, 0.92, 0.8, 0.5, 0.1]), [0, 0.25, 0.375, 1])
    np.testing.assert_allclose(lost, [0, -0.02, 0.04, 0.8])
    assert np.isnan(accuracy_cost.cost_at(rows([0.9, 0.9]), [1.1])).all()


def test_rows_of_several_curves_are_refused():
    for other in (rows([0.9, 0.1], run="b"), rows([0.9, 0.1], method="random")):
        with pytest.raises(InputError, match="expected those of one parent and one method"):
            accuracy_cost.largest_amount(pd.concat([rows([0.9, 0.1]), other]))


def test_rows_of_one_parent_may_come_from_several_runs():
    both = pd.concat([rows([0.9, 0.9, 0.1]), pd.DataFrame([rows([0.9]).iloc[0]]).assign(run="b", amount=0.75)])
    # from 0.9 at 0.75 to 0.1 at 1, one point is lost after 1/80 of the interval
    assert accuracy_cost.largest_amount(both.assign(parent_sha256="one")) == pytest.approx(0.75 + 0.25 / 80)


def test_rank_correlation_by_hand():
    """Spearman's 1 - 6 sum d^2 / (n (n^2 - 1)) is 0.9 for d = 0, 0, 1, 1, 0.

    Fisher's transform is 1.4722, its variance (1 + 0.405) / 2, and its interval -0.1705 to 3.1150.
    """
    found = rank_correlation.rank_correlation([1, 2, 3, 4, 5], [10, 20, 40, 30, 50])
    assert found == pytest.approx((1 - 6 * 2 / (5 * 24), -0.1689, 0.9961), abs=1e-4)
    backward = rank_correlation.rank_correlation([5, 4, 3, 2, 1], [10, 20, 40, 30, 50])
    assert backward == pytest.approx((-0.9, -0.9961, 0.1689), abs=1e-4)
    assert rank_correlation.rank_correlation([1, 2, 3], [3, 2, 1])[0] == pytest.approx(-1)
    assert np.isnan(rank_correlation.rank_correlation([1, 2, 3], [3, 2, 1])[1:]).all()
    assert np.isnan(rank_correlation.rank_correlation([1, 1, 1, 1, 1], [1, 2, 3, 4, 5])).all()
    assert rank_correlation.rank_correlation([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]) == pytest.approx((1, 1, 1))
