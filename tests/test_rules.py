"""Rules that choose the amount from the weights alone, against closed forms and by hand."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import optimize, special, stats

import wmgp
from wmgp.rules import RULES, recommendations

N = 400_001


def amounts(weights, **options) -> dict[str, float]:
    return recommendations(wmgp.analyze({"a.weight": np.asarray(weights, dtype=np.float32)}, **options))


def spread(law) -> dict[str, float]:
    """The rules' amounts for N magnitudes at the quantiles of a distribution."""
    return amounts(law.ppf((np.arange(N) + 0.5) / N))


def otsu_of(law) -> float:
    """The share below the threshold with the largest between-class variance, from the distribution's functions."""

    def between(share):
        threshold = law.ppf(share)
        mass = law.expect(lambda x: x, lb=0, ub=threshold)
        return -((law.mean() * share - mass) ** 2) / (share * (1 - share))

    result: Any = optimize.minimize_scalar(between, bounds=(0.01, 0.999), method="bounded")
    return result.x


@pytest.mark.parametrize(
    ("law", "root", "plain", "square", "knee"),
    [
        # The kept shares E[s]^2 / E[s^2] for s = x^(1/2), x, x^2, and where amount + cosine is largest.
        (stats.uniform(), 8 / 9, 3 / 4, 5 / 9, None),
        (stats.halfnorm(), (2**0.25 * special.gamma(0.75) / math.sqrt(math.pi)) ** 2 / math.sqrt(2 / math.pi),
         2 / math.pi, 1 / 3, None),
        (stats.expon(), math.pi / 4, 1 / 2, 1 / 6, None),
    ],
    ids=["uniform", "normal", "Laplace"],
)  # fmt: skip
def test_closed_forms(law, root, plain, square, knee):
    found = spread(law)
    assert found["PQ index"] == pytest.approx(1 - root, abs=2e-4)
    assert found["effective pruning"] == pytest.approx(1 - plain, abs=2e-4)
    assert found["effective energy"] == pytest.approx(1 - square, abs=2e-3)  # the tails of N quantiles are cut
    assert found["Otsu"] == pytest.approx(otsu_of(law), abs=2e-3)
    assert found["constant"] == 0.8 and set(found) == set(RULES)


def test_the_knee_of_uniform_weights():
    """cos = sqrt(1 - p^3); p + cos is largest at 3 p^2 = 2 sqrt(1 - p^3)."""
    share = optimize.brentq(lambda p: 3 * p**2 - 2 * math.sqrt(1 - p**3), 0.1, 0.99)
    assert spread(stats.uniform())["knee"] == pytest.approx(share, abs=0.005)


def test_rules_by_hand():
    """3, 1, 0, 0. Scores |w|: 16 / 10 = 1.6 keeps one; w^2: 100 / 82 keeps one; |w|^(1/2): 7.46 / 4 = 1.87."""
    found = amounts([3, 1, 0, 0])
    assert found["effective pruning"] == found["effective energy"] == 0.75
    assert found["PQ index"] == 0.5  # floor(4 * (1 - 1.87 / 4)) = floor(2.13)
    assert found["Otsu"] == 0.75  # {0, 0, 1} and {3}: means 1/3 and 3


def test_the_papers_rules_agree_with_the_analysis():
    rng = np.random.default_rng(0)
    analysis = wmgp.analyze({f"{i}.weight": rng.standard_t(3 + i, 20_000).astype(np.float32) for i in range(6)})
    found = recommendations(analysis)
    assert (
        analysis.safe is not None
        and found["utopia"] == analysis.optimal.amount
        and found["safe"] == analysis.safe.amount
    )
    assert found["cosine 0.99"] == pytest.approx(analysis.at_cosine(0.99).amount, abs=1e-4)
    assert math.isnan(amounts(rng.normal(size=50))["safe"])


@pytest.mark.slow
@given(arrays(np.float32, st.integers(3, 60), elements=st.floats(-8, 8, width=16)), st.sampled_from([0.25, 8.0]))
def test_amounts_lie_in_0_1_and_do_not_depend_on_scale(weights, factor):
    if not weights.any():
        return
    found, scaled = amounts(weights), amounts(weights * np.float32(factor))
    for name in set(RULES) - {"safe"}:
        assert 0 <= found[name] <= 1, name
        assert scaled[name] == pytest.approx(found[name], abs=1e-12), name


def test_rules_keep_all_equal_magnitudes():
    found = amounts(np.tile([1.0, -1.0], 500))
    assert found["effective pruning"] == found["effective energy"] == found["PQ index"] == found["Otsu"] == 0
