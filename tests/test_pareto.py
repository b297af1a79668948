"""The front, the optimal and the safe amount, against closed forms and by hand."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import wmgp
from wmgp import InputError
from wmgp.pareto import largest_amount, safe_modifier

N = 2_000_000
QUANTILES = (np.arange(N) + 0.5) / N
FLOOR = 0.6521896  # 1 - x**2 with 2x**3 + x - 1 = 0

# Magnitude quantiles, and the cosine at an amount p, in closed form.
FAMILIES = {
    "uniform": (lambda q: q, lambda p: np.sqrt(1 - p**3), (0.7451371, 0.7656879)),
    "normal": (
        lambda q: scipy.stats.norm.ppf((1 + q) / 2),
        lambda p: np.sqrt(
            1 - p + (t := np.sqrt(2) * scipy.special.erfinv(p)) * np.sqrt(2 / np.pi) * np.exp(-(t**2) / 2)
        ),
        (0.8007836, 0.8053143),
    ),
    "laplace": (
        lambda q: -np.log1p(-q),
        lambda p: np.sqrt((1 - p) * (1 + (t := -np.log1p(-p)) + t**2 / 2)),
        (0.8435333, 0.8460946),
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("family", FAMILIES)
def test_closed_forms(family, dtype):
    quantile, cosine, _ = FAMILIES[family]
    weights = {"w.weight": quantile(QUANTILES).astype(dtype)}
    front = wmgp.pareto_front(weights)
    inner = slice(0, -1)  # the largest of 2e6 quantile points stands for the tail
    np.testing.assert_allclose(front.cosine[inner], cosine(front.amount[inner]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_optimum_on_a_fine_grid(family):
    quantile, _, (amount, cosine) = FAMILIES[family]
    a = wmgp.analyze({"w.weight": quantile(QUANTILES).astype(np.float32)}, amounts=2001)
    assert a.optimal.amount == pytest.approx(amount, abs=1 / 2000)
    assert a.optimal.cosine == pytest.approx(cosine, abs=1e-3)


def test_equal_magnitudes_attain_the_floor():
    weights = {"w.weight": np.ones(N, dtype=np.float32)}
    assert wmgp.optimal_amount(wmgp.pareto_front(weights)) == 0.65
    assert wmgp.optimal_amount(wmgp.pareto_front(weights, 10_001)) == pytest.approx(FLOOR, abs=1e-4)


@settings(max_examples=60)
@given(
    st.lists(st.floats(-100, 100, width=32), min_size=100, max_size=300).filter(any),
    st.sampled_from([np.float32, np.float64]),
)
def test_no_optimum_is_below_the_smallest_optimum(values, dtype):
    front = wmgp.pareto_front({"w.weight": np.array(values, dtype=dtype)})
    # A grid step below the continuum's floor, and half a weight more for rounding on few weights.
    assert front.optimal.amount >= FLOOR - 0.01 - 1 / len(values)


@settings(max_examples=60)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=200).filter(any), st.integers(-20, 20))
def test_front_does_not_depend_on_scale(values, exponent):
    values = np.array(values, dtype=np.float64)
    a, b = (wmgp.pareto_front({"w.weight": v}) for v in (values, values * 2.0**exponent))
    np.testing.assert_allclose(a.cosine, b.cosine, atol=1e-12)
    assert a.optimal.amount == b.optimal.amount


@settings(max_examples=100)
@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=40).filter(any),
    st.integers(0, 40),
    st.randoms(),
)
def test_l1_keeps_the_highest_cosine_of_all_masks_of_the_same_size(values, n_pruned, random):
    n_pruned = min(n_pruned, len(values))
    w = np.array(values, dtype=np.float64)
    kept = np.ones(w.size)
    kept[random.sample(range(w.size), n_pruned)] = 0
    any_cosine = np.sqrt((w * kept) @ (w * kept) / (w @ w))
    point = wmgp.analyze({"w.weight": w}).at_amount(n_pruned / w.size)
    assert point.n_pruned == n_pruned
    assert point.cosine >= any_cosine - 1e-12


def test_points_of_the_front(rng):
    a = wmgp.analyze({"w.weight": rng.standard_normal(1000)}, amounts=[0.5, 0.25, 1.0])
    assert a.front.amount.tolist() == [0.25, 0.5, 1.0]
    assert a.front.n_pruned.tolist() == [250, 500, 1000]
    assert a.front.distance == pytest.approx(np.hypot(1 - a.front.amount, 1 - a.front.cosine))
    nothing = a.at_amount(0)
    assert nothing.n_pruned == 0 and nothing.cosine == 1 and math.isnan(nothing.threshold)
    assert wmgp.optimal_amount(a.front) == a.optimal.amount


def test_rounding_is_half_to_even():
    a = wmgp.analyze({"w.weight": np.arange(1.0, 11.0)})
    assert [a.at_amount(x).n_pruned for x in (0.05, 0.15, 0.25, 0.35)] == [0, 2, 2, 4]


@pytest.mark.parametrize("k2, expected", [(2.0, 1.0), (math.e, 1.0), (math.e**2, 0.5), (2.5, 1 / math.log2(2.5))])
def test_safe_modifier_values(k2, expected):
    assert safe_modifier(k2) == pytest.approx(expected, rel=1e-12)


def test_published_safe_amount():
    """The reference run printed: kurtosis of kurtoses 2.49, optimal amount 0.83, safe amount 0.6317."""
    assert wmgp.safe_amount(0.83, 2.49) == pytest.approx(0.6317, abs=0.0015)


@given(st.floats(0, 1), st.floats(1.0001, 1e6))
def test_safe_never_prunes_more_than_optimal(amount, k2):
    safe = wmgp.safe_amount(amount, k2)
    assert safe is not None and 0 <= safe <= amount


@pytest.mark.parametrize("k2", [math.nan, 1.0, 1 + 1e-13, 0.5, None])
def test_safe_is_undefined(k2):
    assert wmgp.safe_amount(0.8, k2) is None


@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan, math.inf, True])
def test_amounts_outside_0_and_1_are_errors(bad):
    a = wmgp.analyze({"w.weight": np.ones(10)})
    with pytest.raises(wmgp.InputError, match=r"expected a share in \[0, 1\]"):
        a.at_amount(bad)
    with pytest.raises(wmgp.InputError, match=r"expected a share in \[0, 1\]"):
        wmgp.global_masks({"w.weight": np.ones(10)}, bad)


@pytest.mark.parametrize("amounts", [0, 1, -5, [], [0.5, 1.5], [math.nan]])
def test_invalid_grids_are_errors(amounts):
    with pytest.raises(wmgp.InputError, match="amount"):
        wmgp.analyze({"w.weight": np.ones(10)}, amounts=amounts)


def test_optimal_is_the_smallest_of_equally_near_amounts():
    """On this mirrored front, 0.6 and 0.8 are equally far from utopia."""
    amount, cosine = np.array([0.0, 0.6, 0.8, 1.0]), np.array([1.0, 0.8, 0.6, 0.0])
    n = np.array([0, 6, 8, 10])
    even = wmgp.Front(amount, cosine, cosine, amount, n, np.array([1.0, 0.5, 0.5, 1.0]))
    assert even.optimal.amount == 0.6 and even.optimal.n_pruned == 6 and len(even) == 4


def test_grid_is_evenly_spaced_and_sorted():
    weights = {"w.weight": np.arange(1.0, 101.0)}
    assert wmgp.pareto_front(weights, 5).amount.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert wmgp.pareto_front(weights, 2).n_pruned.tolist() == [0, 100]
    assert wmgp.pareto_front(weights, (0.5, 0.125)).amount.tolist() == [0.125, 0.5]
    with pytest.raises(wmgp.InputError, match="pool 'weights': no prunable tensor"):
        wmgp.pareto_front(weights, pool="weights")


def test_threshold_of_two_values():
    """The threshold is the largest pruned magnitude; the cosine is that of the remaining values."""
    front = wmgp.pareto_front({"w.weight": np.array([3.0, -4.0])}, [0.0, 0.5, 1.0])
    assert front.cosine.tolist() == [1.0, 0.8, 0.0] and front.threshold[1:].tolist() == [3.0, 4.0]
    assert math.isnan(front.threshold[0]) and front.distance.tolist() == pytest.approx([1.0, math.hypot(0.5, 0.2), 1.0])


def test_cosine_1_prunes_every_zero():
    """With weights outside the pool, the energy to keep is a difference; rounding could exceed the pool's energy."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        weights = np.concatenate([np.zeros(50), rng.standard_normal(50)])
        report = wmgp.analyze({"a.weight": weights, "token": rng.standard_normal(30)})
        assert report.at_cosine(1.0).amount == 0.5


@pytest.mark.parametrize("amounts", [(a / 4 for a in range(5)), {0, 0.25, 0.5, 0.75, 1}, np.linspace(0, 1, 5), 5])
def test_amounts_are_any_iterable_or_a_number(amounts):
    assert wmgp.pareto_front({"w.weight": np.ones(4)}, amounts).n_pruned.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("cosine", [-0.01, 1.01, math.nan])
def test_cosines_outside_0_and_1_are_errors(cosine):
    magnitudes = wmgp.analyze({"weight": np.ones(3, dtype=np.float32)}).magnitudes
    with pytest.raises(InputError, match=rf"cosine {cosine}: expected a value in \[0, 1\]"):
        largest_amount(magnitudes, cosine)
