"""Rank correlations and gains of ways to prune, on rows worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from studies.beyond_l1 import ordering
from wmgp.experiments.statistics import collapse

METHODS = ["l1", "lamp", "snip", "random"]


def rows(accuracy, cosine=(0.9, 0.8, 0.7, 0.1), amounts=(0.5,), seeds=1, slope=0.0):
    """One-shot ways in the order of `METHODS`; both numbers lower at higher amounts, and `slope` more a seed."""
    return pd.DataFrame(
        [
            {
                "seed": seed, "method": method, "rule": "one-shot", "amount": amount,
                "cosine_pruned": cosine[i] - amount / 100, "cosine": -cosine[i], "accuracy": accuracy[i] + slope * seed,
            }
            for seed in range(seeds) for amount in amounts for i, method in enumerate(METHODS)
        ]
    )  # fmt: skip


def test_rows_are_named_and_controls_left_out():
    given = pd.concat([rows([0.4, 0.3, 0.2, 0.1])[::-1], rows([0.4] * 4, amounts=(0.0,))])
    found = ordering.named(given.assign(rule=["one-shot"] * 3 + ["gradual"] + ["one-shot"] * 4))
    assert found["way"].tolist() == ["LAMP", "SNIP", "random", "gradual L1"]
    names = {which: ordering.among(found, which)["way"].tolist() for which in ordering.AMONG}
    assert names == {
        "all ways": ["LAMP", "SNIP", "random", "gradual L1"],
        "all but random": ["LAMP", "SNIP", "gradual L1"],
        "who chooses": ["LAMP", "SNIP", "random"],
        "schedules of L1": ["gradual L1"],
    }


def test_ranks_by_hand():
    """Ranks 4 3 2 1 against 3 4 2 1: 1 - 6 * 2 / (4 * 15) = 0.8; three of them, 3 2 1 against 2 3 1: 0.5."""
    found = ordering.named(rows([0.8, 0.9, 0.7, 0.1]))
    assert ordering.ranks(found, "cosine_pruned") == pytest.approx({"50%": 0.8, "mean": 0.8, "all amounts": 0.8})
    assert ordering.ranks(found, "cosine")["50%"] == pytest.approx(-0.8)
    assert ordering.ranks(ordering.among(found, "all but random"), "cosine_pruned")["mean"] == pytest.approx(0.5)
    assert np.isnan(ordering.ranks(ordering.named(rows([0.5] * 4)), "cosine_pruned")["50%"])
    assert np.isnan(ordering.ranks(ordering.among(found, "schedules of L1"), "cosine_pruned")["mean"])


def test_ranks_of_two_amounts():
    """1 and -1 at the two amounts; at once, ranks of eight."""
    up, down = rows([0.9, 0.8, 0.7, 0.6]), rows([0.1, 0.2, 0.3, 0.4]).assign(amount=0.9)
    found = ordering.ranks(ordering.named(pd.concat([up, down])), "cosine_pruned")
    assert (found["50%"], found["90%"], found["mean"]) == pytest.approx((1, -1, 0))
    assert -0.5 < found["all amounts"] < 0.5


def test_a_seed_that_is_better_throughout_changes_no_rank():
    found = ordering.named(rows([0.8, 0.9, 0.7, 0.1], seeds=5, slope=0.01))
    intervals = collapse.jackknife(found, lambda part: ordering.ranks(part, "cosine_pruned"), (-1, 1))
    assert intervals["50%"] == pytest.approx((0.8, 0.8, 0.8))


def test_means_and_gains_are_paired_by_seed():
    """Over seeds 0, 1, 2 accuracies differ by 0.1 a seed, the gain of LAMP not at all."""
    found = ordering.named(rows([0.4, 0.5, 0.3, 0.1], seeds=3, slope=0.1))
    mean = ordering.means(found).set_index("way")
    assert mean.loc["L1", "mean"] == pytest.approx(0.5) and mean.loc["L1", "high"] == pytest.approx(
        0.5 + 4.302653 * 0.1 / 3**0.5, abs=1e-6
    )
    gain = ordering.gains(found).set_index("way")
    assert list(gain.index) == ["LAMP", "SNIP", "random"]
    assert gain.loc["LAMP", ["mean", "low", "high"]].tolist() == pytest.approx([0.1] * 3)
    assert gain.loc["random", "mean"] == pytest.approx(-0.3) and set(gain["amount"]) == {0.5}


def test_what_is_left_by_hand():
    """Cosine and accuracy in one order: nothing left; by the amount, one place, everything."""
    found = ordering.left(ordering.named(rows([0.9, 0.8, 0.7, 0.6])))
    assert found == pytest.approx({"amount": 1, "cosine": 0, "own": 0, "after": 0})
    crossed = ordering.left(ordering.named(rows([0.0, 2.0, 1.0, 3.0])))  # against a falling curve: 0.5 of 5
    assert crossed["cosine"] == crossed["after"] == pytest.approx(0.1)
