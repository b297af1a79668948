"""Kurtosis by hand, against SciPy, and under merging."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

import wmgp
from wmgp.moments import Moments, kurtosis_of, moments

FLOATS = st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=60)


def test_kurtosis_worked_out_by_hand():
    # Mean 0, squares 1, 0, 1: variance 2/3, fourth moment 2/3, so (2/3) / (4/9).
    assert wmgp.kurtosis(np.array([-1.0, 0.0, 1.0])) == pytest.approx(1.5, abs=1e-15)
    assert wmgp.kurtosis([1.0, -1.0]) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_kurtosis_of_a_tensor_is_scipys(dtype):
    x = torch.randn(50, 40, generator=torch.Generator().manual_seed(1)).to(dtype)
    expected = scipy.stats.kurtosis(x.double().numpy(), axis=None, fisher=False)
    assert wmgp.kurtosis(x) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-44, 1e-12, 1.0, 1e30])
def test_kurtosis_does_not_depend_on_the_scale(rng, scale):
    x = rng.standard_t(5, 1000)
    assert wmgp.kurtosis(x * scale) == pytest.approx(wmgp.kurtosis(x), rel=1e-9)


def test_kurtosis_keeps_its_digits_far_from_zero(rng):
    x = rng.standard_normal(10_000)
    assert wmgp.kurtosis(x + 1e6) == pytest.approx(wmgp.kurtosis(x), rel=1e-8)


@pytest.mark.parametrize("x", [[], [3.0], [0.1] * 77, np.full(5000, 1 / 3, dtype=np.float32)])
def test_kurtosis_is_undefined_without_variance(x):
    assert math.isnan(wmgp.kurtosis(np.array(x)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_kurtosis_refuses_what_is_not_finite(bad):
    with pytest.raises(wmgp.InputError, match="finite"):
        wmgp.kurtosis([1.0, bad])


@given(FLOATS, st.data())
def test_merged_blocks_are_the_whole(values, data):
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
    # Constant tensors, single elements and what is not in the pool change nothing.
    more = {**tensors, "norm.weight": np.ones(8), "scale.bias": np.ones(1), "token": rng.standard_normal(50)}
    assert wmgp.kurtosis_of_kurtoses(more) == wmgp.kurtosis_of_kurtoses(tensors)
    assert wmgp.kurtosis_of_kurtoses(more, pool="all") != wmgp.kurtosis_of_kurtoses(tensors)


def test_kurtosis_of_kurtoses_is_undefined_for_two_tensors(rng):
    two = {f"{i}.weight": rng.standard_normal(100) for i in range(2)}
    assert math.isnan(wmgp.kurtosis_of_kurtoses(two))


@pytest.mark.parametrize("n", [3, 5, 20])
def test_kurtosis_of_kurtoses_is_bounded(n):
    """One kurtosis apart from n - 1 equal ones attains n - 2 + 1/(n - 1)."""
    kurtoses = np.array([10.0] + [3.0] * (n - 1))
    table = Moments(np.ones(n), np.zeros(n), np.ones(n), np.zeros(n), kurtoses)
    assert kurtosis_of(table) == pytest.approx(n - 2 + 1 / (n - 1), rel=1e-12)
