"""Collapse of all methods onto one curve, on synthetic rows with and without collapse."""

import numpy as np
import pandas as pd
import pytest

from wmgp import InputError
from wmgp.experiments.statistics import collapse


def sweep(seeds=4, noise=0.0, apart=0.0):
    """Two methods with different cosines at the same amount; accuracy is cosine^2, minus `apart` for random."""
    rng, rows = np.random.default_rng(0), []
    for seed in range(seeds):
        for method in ("l1", "random"):
            for amount in np.arange(21) / 20:
                cosine = np.sqrt(1 - amount**3) if method == "l1" else np.sqrt(1 - amount)
                accuracy = cosine**2 - apart * (method == "random") + noise * rng.normal()
                cosine = cosine if amount < 1 else np.nan
                rows.append((seed, method, amount, cosine, accuracy))
    return pd.DataFrame(rows, columns=["seed", "method", "amount", "cosine_pruned", "accuracy"])


def test_unexplained_variance_by_hand():
    """The best rising curve for 0, 2, 1, 3 is 0, 1.5, 1.5, 3, which leaves 0.5 of 5."""
    x = np.arange(4.0)
    assert collapse.unexplained(x, np.array([0.0, 2, 1, 3])) == pytest.approx(0.1)
    assert collapse.unexplained(-x, np.array([0.0, 2, 1, 3])) == pytest.approx(0.1)  # falling
    assert collapse.unexplained(x, np.array([0.0, 1, 8, 9])) == 0
    assert np.isnan(collapse.unexplained(x, np.ones(4)))
    near = np.array([0, 1 - 2.0**-53, 1, 1])  # cosines of 1 up to rounding
    assert collapse.unexplained(near, np.array([0.0, 2, 3, 4])) == pytest.approx(2 / 8.75)
    assert collapse.unexplained(np.zeros(4), np.array([0.0, 2, 1, 3])) == pytest.approx(1)  # a single x: only the mean


def test_rank_correlations_by_hand():
    """Ranks 1 2 3 4 against 1 3 2 4: 1 - 6 * 2 / (4 * 15) = 0.8; rows without a value are left out."""
    cosines = [0.1, 0.2, 0.3, 0.4, np.nan, 0.5]
    rows = pd.DataFrame({"cosine_pruned": cosines, "up": [1, 3, 2, 4, 0, np.nan], "same": 1.0, "few": np.nan})
    found = collapse.rank_correlations(rows.assign(down=-rows["up"]), ["up", "down", "same", "few"])
    assert (found["up"], found["down"]) == pytest.approx((0.8, -0.8))
    assert np.isnan(found["same"]) and np.isnan(found["few"])


def test_rows_without_an_accuracy_are_ignored():
    whole = sweep(noise=0.05)
    holes = pd.concat([whole, whole.tail(3).assign(accuracy=np.nan)], ignore_index=True)
    assert collapse.unexplained_shares(holes) == collapse.unexplained_shares(whole)


def test_collapsed_curves_leave_no_variance_unexplained():
    found = collapse.unexplained_shares(sweep())
    assert found["cosine"] == pytest.approx(0, abs=1e-12) and found["own"] == pytest.approx(0, abs=1e-12)
    assert found["amount"] > 0.1


def test_separate_curves_leave_variance_unexplained():
    near, far = (collapse.unexplained_shares(sweep(apart=gap)) for gap in (0.1, 0.5))
    assert 0.001 < near["cosine"] < far["cosine"]
    assert near["own"] == pytest.approx(0, abs=1e-12)


def test_no_curve_explains_noise():
    found = collapse.unexplained_shares(sweep(seeds=20, noise=0.1))
    assert found["cosine"] == pytest.approx(found["own"], rel=0.1) and found["own"] > 0.02


def test_rows_without_a_cosine_are_ignored():
    rows = sweep()
    odd = rows.assign(accuracy=rows["accuracy"].where(rows["amount"] < 1, 55.0))
    assert collapse.unexplained_shares(odd) == collapse.unexplained_shares(rows)


def test_each_seed_is_left_out_once():
    """The jackknife's standard error of a mean is the standard deviation / sqrt(n): 1.5811 / 2.2361.

    Student's quantile with 4 degrees of freedom is 2.7764. Two rows of a seed count as one.
    """
    rows = pd.DataFrame({"seed": [0, 1, 2, 3, 4] * 2, "y": [1.0, 2, 3, 4, 5] * 2})

    def mean(part: pd.DataFrame) -> dict[str, float]:
        return {"mean": float(np.mean(part["y"]))}

    half = 2.7764 * 1.5811 / 2.2361
    assert collapse.jackknife(rows, mean)["mean"] == pytest.approx((3, 3 - half, 3 + half), abs=1e-3)
    assert collapse.jackknife(rows, mean, (2, 4))["mean"] == (3, 2, 4)
    few = collapse.jackknife(rows.loc[rows["seed"] < 4], mean)["mean"]
    assert few[0] == 2.5 and np.isnan(few[1:]).all()
    undefined = collapse.jackknife(rows, lambda part: {"none": float("nan")})["none"]
    assert np.isnan(undefined).all()


def test_the_value_lies_in_its_interval():
    """A bootstrap over seeds can violate this, because a curve fits duplicated rows better."""
    found = collapse.jackknife(sweep(seeds=6, noise=0.1), collapse.unexplained_shares, (0, 1))
    for value, low, high in found.values():
        assert 0 <= low < value < high <= 1 and value - low == pytest.approx(high - value)


def test_accuracy_is_interpolated_at_a_cosine():
    found = collapse.accuracy_at_cosine(sweep(apart=0.25), (0.95, 0.8, 0.1), "accuracy")
    assert len(found) == 2 * 4 * 3
    gaps = found.pivot_table(index="cosine", columns="method", values="accuracy")
    assert gaps.loc[0.8, "l1"] - gaps.loc[0.8, "random"] == pytest.approx(0.25, abs=0.01)
    assert gaps.loc[0.95, "l1"] == pytest.approx(0.95**2, abs=1e-3)
    assert found.loc[found["cosine"] == 0.1, "accuracy"].isna().all()  # no row has so low a cosine
    with pytest.raises(InputError, match="cosine 1.5: expected a number from -1 to 1"):
        collapse.accuracy_at_cosine(sweep(), (1.5,))


def test_only_close_rows_are_interpolated():
    """0.85 is 0.05 from the rows at 0.9 and 0.8; 0.86 is 0.06 from 0.8, which is too far."""
    rows = pd.DataFrame({"method": "l1", "seed": 0, "cosine_pruned": [0.9, 0.8, 0.5], "accuracy": [0.7, 0.5, 0.1]})
    found = collapse.accuracy_at_cosine(rows, (0.9, 0.86, 0.85, 0.8, 0.55, 0.95))["accuracy"]
    assert found.tolist() == pytest.approx([0.7, np.nan, 0.6, 0.5, np.nan, np.nan], nan_ok=True)


def test_mean_difference_by_hand():
    """At 0.9, seeds 0 to 4 differ by 0.1 to 0.5: mean 0.3, standard deviation 0.1581. Seed 5 has only one method.

    Student's quantile with 4 degrees of freedom is 2.7764. Fewer than five seeds have no interval.
    """
    rows = pd.DataFrame(
        [("l1", seed, 0.9, 0.6 + seed / 10) for seed in range(6)] + [("random", seed, 0.9, 0.5) for seed in range(5)],
        columns=["method", "seed", "cosine_pruned", "accuracy"],
    )
    assert collapse.differences(rows, 0.9).tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert collapse.differences(rows, 0.9, methods=("random", "l1")).sum() == pytest.approx(-1.5)
    half = 100 * 2.7764 * 0.15811 / 2.23607
    assert collapse.mean_difference(rows, 0.9, unit=100) == pytest.approx((30, 30 - half, 30 + half), abs=0.01)
    few = collapse.mean_difference(rows.loc[rows["seed"] < 4], 0.9)
    assert few[0] == pytest.approx(0.25) and np.isnan(few[1:]).all()
    assert np.isnan(collapse.mean_difference(rows, 0.5)).all()
    assert collapse.format_mean_difference(rows, 0.9, "+.1f") == "+30.0 (+10.4 to +49.6), 5 of 6 seeds"
    assert collapse.format_mean_difference(rows.loc[rows["seed"] < 4], 0.9, "+.1f") == "+25.0"
    assert collapse.format_mean_difference(rows, 0.5, "+.1f") == ""
    assert not collapse.differences(rows.loc[rows["method"] == "l1"], 0.9).size
