"""Rank correlations and gains of pruning strategies, on hand-made rows."""

import numpy as np
import pandas as pd
import pytest

from studies.beyond_l1 import correlations
from wmgp.experiments.statistics import collapse

METHODS = ["l1", "lamp", "snip", "random"]


def rows(accuracy, cosine=(0.9, 0.8, 0.7, 0.1), amounts=(0.5,), seeds=1, slope=0.0):
    """Return one-shot rows for `METHODS`; the cosine falls with the amount, the accuracy rises by `slope` per seed."""
    return pd.DataFrame(
        [
            {
                "seed": seed, "method": method, "rule": "one-shot", "amount": amount,
                "cosine_pruned": cosine[i] - amount / 100, "cosine": -cosine[i], "accuracy": accuracy[i] + slope * seed,
            }
            for seed in range(seeds) for amount in amounts for i, method in enumerate(METHODS)
        ]
    )  # fmt: skip


def test_rows_get_strategy_names_without_controls():
    given = pd.concat([rows([0.4, 0.3, 0.2, 0.1])[::-1], rows([0.4] * 4, amounts=(0.0,))])
    found = correlations.add_strategy_names(given.assign(rule=["one-shot"] * 3 + ["gradual"] + ["one-shot"] * 4))
    assert found["strategy"].tolist() == ["LAMP", "SNIP", "random", "gradual L1"]
    names = {
        group: correlations.select_strategies(found, group)["strategy"].tolist()
        for group in correlations.STRATEGY_GROUPS
    }
    assert names == {
        "all strategies": ["LAMP", "SNIP", "random", "gradual L1"],
        "all but random": ["LAMP", "SNIP", "gradual L1"],
        "one-shot methods": ["LAMP", "SNIP", "random"],
        "L1 schedules": ["gradual L1"],
    }


def test_rank_correlations_by_hand():
    """Ranks 4 3 2 1 against 3 4 2 1: 1 - 6 * 2 / (4 * 15) = 0.8; three of them, 3 2 1 against 2 3 1: 0.5."""
    found = correlations.add_strategy_names(rows([0.8, 0.9, 0.7, 0.1]))
    assert correlations.rank_correlations(found, "cosine_pruned") == pytest.approx(
        {"50%": 0.8, "mean": 0.8, "all amounts": 0.8}
    )
    assert correlations.rank_correlations(found, "cosine")["50%"] == pytest.approx(-0.8)
    assert correlations.rank_correlations(correlations.select_strategies(found, "all but random"), "cosine_pruned")[
        "mean"
    ] == pytest.approx(0.5)
    assert np.isnan(
        correlations.rank_correlations(correlations.add_strategy_names(rows([0.5] * 4)), "cosine_pruned")["50%"]
    )
    assert np.isnan(
        correlations.rank_correlations(correlations.select_strategies(found, "L1 schedules"), "cosine_pruned")["mean"]
    )


def test_rank_correlations_of_two_amounts():
    """1 and -1 at the two amounts, and eight ranks over both."""
    up, down = rows([0.9, 0.8, 0.7, 0.6]), rows([0.1, 0.2, 0.3, 0.4]).assign(amount=0.9)
    found = correlations.rank_correlations(correlations.add_strategy_names(pd.concat([up, down])), "cosine_pruned")
    assert (found["50%"], found["90%"], found["mean"]) == pytest.approx((1, -1, 0))
    assert -0.5 < found["all amounts"] < 0.5


def test_a_seed_effect_does_not_change_the_ranks():
    found = correlations.add_strategy_names(rows([0.8, 0.9, 0.7, 0.1], seeds=5, slope=0.01))
    intervals = collapse.jackknife(found, lambda part: correlations.rank_correlations(part, "cosine_pruned"), (-1, 1))
    assert intervals["50%"] == pytest.approx((0.8, 0.8, 0.8))


def test_means_and_gains_are_paired_by_seed():
    """Accuracy rises by 0.1 per seed; the gain of LAMP is constant."""
    found = correlations.add_strategy_names(rows([0.4, 0.5, 0.3, 0.1], seeds=3, slope=0.1))
    mean = correlations.mean_by_strategy(found).set_index("strategy")
    assert mean.loc["L1", "mean"] == pytest.approx(0.5) and mean.loc["L1", "high"] == pytest.approx(
        0.5 + 4.302653 * 0.1 / 3**0.5, abs=1e-6
    )
    gain = correlations.gains_over_l1(found).set_index("strategy")
    assert list(gain.index) == ["LAMP", "SNIP", "random"]
    assert gain.loc["LAMP", ["mean", "low", "high"]].tolist() == pytest.approx([0.1] * 3)
    assert gain.loc["random", "mean"] == pytest.approx(-0.3) and set(gain["amount"]) == {0.5}


def test_unexplained_variance_by_hand():
    """Cosine orders the accuracies: 0 is unexplained. A single amount explains nothing."""
    found = correlations.unexplained_variance(correlations.add_strategy_names(rows([0.9, 0.8, 0.7, 0.6])))
    assert found == pytest.approx({"amount": 1, "cosine": 0, "own": 0, "after": 0})
    crossed = correlations.unexplained_variance(
        correlations.add_strategy_names(rows([0.0, 2.0, 1.0, 3.0]))
    )  # against a falling curve: 0.5 of 5
    assert crossed["cosine"] == crossed["after"] == pytest.approx(0.1)
