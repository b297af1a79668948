"""Kurtosis by hand, against SciPy, and under merging."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

import wmgp
from wmgp.moments import Moments, kurtosis_of_tensor_kurtoses, moments

FLOATS = st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=60)


def test_kurtosis_by_hand():
    # Mean 0, squares 1, 0, 1: variance 2/3, fourth moment 2/3, so (2/3) / (4/9).
    assert wmgp.kurtosis(np.array([-1.0, 0.0, 1.0])) == pytest.approx(1.5, abs=1e-15)
    assert wmgp.kurtosis([1.0, -1.0]) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_kurtosis_agrees_with_scipy(dtype):
    x = torch.randn(50, 40, generator=torch.Generator().manual_seed(1)).to(dtype)
    expected = scipy.stats.kurtosis(x.double().flatten().numpy(), fisher=False)
    assert wmgp.kurtosis(x) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e-44, 1e-12, 1.0, 1e30, 1e200])
def test_kurtosis_does_not_depend_on_the_scale(rng, scale):
    x = rng.standard_t(5, 1000)
    assert wmgp.kurtosis(x * scale) == pytest.approx(wmgp.kurtosis(x), rel=1e-9)


def test_kurtosis_is_accurate_for_values_far_from_zero(rng):
    x = rng.standard_normal(10_000)
    assert wmgp.kurtosis(x + 1e6) == pytest.approx(wmgp.kurtosis(x), rel=1e-8)


@pytest.mark.parametrize("x", [[], [3.0], [0.1] * 77, np.full(5000, 1 / 3, dtype=np.float32)])
def test_kurtosis_is_undefined_without_variance(x):
    assert math.isnan(wmgp.kurtosis(np.array(x)))


@pytest.mark.parametrize("x", [np.array([1 + 2j, 3, 4]), np.array(["a", "b"])])
def test_kurtosis_rejects_complex_and_text(x):
    with pytest.raises(wmgp.InputError, match=f"^kurtosis: expected real numbers, found {x.dtype}$"):
        wmgp.kurtosis(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_kurtosis_rejects_nan_and_infinity(bad):
    with pytest.raises(wmgp.InputError, match="finite"):
        wmgp.kurtosis([1.0, bad])


@given(FLOATS, st.data())
def test_merged_blocks_have_the_moments_of_all_values(values, data):
    cuts = sorted(data.draw(st.sets(st.integers(1, len(values) - 1), max_size=5)))
    parts = [moments(p) for p in np.split(np.array(values), cuts)]
    table = Moments(*(np.concatenate([getattr(p, f) for p in parts]) for f in Moments.__annotations__))
    merged, whole = table.merged(np.array([0])), moments(np.array(values))
    scale = max(np.abs(values).max(), 1e-30)
    for field, power in {"n": 0, "mean": 1, "m2": 2, "m3": 3, "m4": 4}.items():
        tolerance = 1e-11 * len(values) * scale**power
        assert getattr(merged, field)[0] == pytest.approx(getattr(whole, field)[0], abs=tolerance)


@given(FLOATS)
def test_kurtosis_is_at_least_one(values):
    k = wmgp.kurtosis(np.array(values))
    assert math.isnan(k) or k >= 1 - 1e-9


def test_kurtosis_of_kurtoses_by_hand(rng):
    tensors = {f"layer{i}.weight": rng.standard_t(3 + i, 400) for i in range(5)}
    kurtoses = [scipy.stats.kurtosis(t, fisher=False) for t in tensors.values()]
    expected = scipy.stats.kurtosis(kurtoses, fisher=False)
    assert wmgp.kurtosis_of_kurtoses(tensors) == pytest.approx(expected, rel=1e-12)
    # Constant tensors, single elements and tensors outside the pool change nothing.
    more = {**tensors, "norm.weight": np.ones(8), "scale.bias": np.ones(1), "token": rng.standard_normal(50)}
    assert wmgp.kurtosis_of_kurtoses(more) == wmgp.kurtosis_of_kurtoses(tensors)
    assert wmgp.kurtosis_of_kurtoses(more, pool="all") != wmgp.kurtosis_of_kurtoses(tensors)


def test_kurtosis_of_kurtoses_is_undefined_for_two_tensors(rng):
    two = {f"{i}.weight": rng.standard_normal(100) for i in range(2)}
    assert math.isnan(wmgp.kurtosis_of_kurtoses(two))


@pytest.mark.parametrize("n", [3, 5, 20])
def test_kurtosis_of_kurtoses_is_bounded(n):
    """n - 1 equal kurtoses and a different one attain n - 2 + 1/(n - 1)."""
    kurtoses = np.array([10.0] + [3.0] * (n - 1))
    table = Moments(np.ones(n), np.zeros(n), np.ones(n), np.zeros(n), kurtoses)
    assert kurtosis_of_tensor_kurtoses(table) == pytest.approx(n - 2 + 1 / (n - 1), rel=1e-12)


@pytest.mark.parametrize("centre", [0.0, -1.5, 2.25, 40.0])
def test_powers_about_any_centre_give_the_moments_about_the_mean(rng, centre):
    """The compiled loops centre on the mean of a block's first values."""
    x = rng.standard_t(7, 300) + 2
    powers = [((x - centre) ** k).sum() for k in (1, 2, 3, 4)]
    found = Moments.from_powers(np.array([[x.size, centre, *powers], [0, 0, 0, 0, 0, 0]]))
    d = x - x.mean()
    for k, field in enumerate(("m2", "m3", "m4"), start=2):
        assert getattr(found, field)[0] == pytest.approx((d**k).sum(), rel=1e-6), field
    assert found.mean[0] == pytest.approx(x.mean(), rel=1e-13) and found.energy[0] == pytest.approx((x**2).sum())
    assert [getattr(found, field)[1] for field in ("n", "mean", "m2", "m3", "m4")] == [0] * 5
    assert math.isnan(found.kurtosis[1])


def test_rounding_never_makes_a_negative_variance():
    """Sums of powers about a centre far from equal values can cancel to a negative number."""
    found = Moments.from_powers(np.array([[3.0, 0.1, 0.6, 0.1199, 0.024, -1.0]]))
    assert found.m2[0] == 0 and found.m4[0] == 0 and math.isnan(found.kurtosis[0])


def test_merged_runs_are_separate(rng):
    """Two runs of blocks, one with an empty block: each run's moments are those of its own values."""
    blocks = [rng.standard_normal(n) + shift for n, shift in ((50, 0), (0, 0), (7, 3), (20, -5), (31, 9))]
    table = Moments(*(np.concatenate([getattr(moments(b), f) for b in blocks]) for f in Moments.__annotations__))
    found = table.merged(np.array([0, 3]))
    for i, run in enumerate((blocks[:3], blocks[3:])):
        whole = moments(np.concatenate(run))
        for field in Moments.__annotations__:
            assert getattr(found, field)[i] == pytest.approx(getattr(whole, field)[0], rel=1e-9, abs=1e-9), field
    assert table.merged(np.zeros(0, dtype=int)).n.size == 0


def test_a_constant_in_many_blocks_has_no_variance():
    """Merging equal means gives exactly the same mean for all block sizes."""
    parts = [moments(np.full(n, 0.1)) for n in (3, 7, 11, 1)]
    table = Moments(*(np.concatenate([getattr(p, f) for p in parts]) for f in Moments.__annotations__))
    merged = table.merged(np.array([0]))
    assert merged.m2[0] == 0 and math.isnan(merged.kurtosis[0]) and merged.mean[0] == 0.1
