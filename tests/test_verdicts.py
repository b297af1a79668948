"""Verdicts on claims, computed by hand."""

import math
from dataclasses import replace

import pytest

from wmgp.experiments.claims import verdicts
from wmgp.experiments.claims.verdicts import IN_PART, NO_ESTIMATE, NOT, REPRODUCED, UNTESTED, Estimate, Limits

NAN, INF = math.nan, math.inf
NEAR = Limits(0.8, 0.9, "near")


@pytest.mark.parametrize(
    ("ends", "limits", "expected"),
    [
        ((0.85, 0.8, 0.9), NEAR, REPRODUCED),
        ((0.85, 0.79, 0.9), NEAR, IN_PART),
        ((0.95, 0.9, 1.0), NEAR, IN_PART),  # its end equals a limit
        ((0.95, 0.91, 1.0), NEAR, NOT),
        ((0.70, 0.6, 0.75), NEAR, NOT),
        ((0.85, 0.8, 0.9), Limits(-INF, INF, "the paper does not say"), UNTESTED),
        ((7.0, 6.0, 8.0), Limits(6, INF, "more"), REPRODUCED),
        ((-7.0, -8.0, -6.0), Limits(-INF, -6, "less"), REPRODUCED),
    ],
)
def test_verdicts_by_hand(ends, limits, expected):
    """With an interval, the values of single seeds do not matter."""
    assert verdicts.verdict(Estimate(ends[0], ends[1], ends[2], 10, -100, 100), limits) == expected


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        ([0.85], IN_PART),
        ([0.95], NOT),
        ([0.85, 0.86, 0.84, 0.85], IN_PART),
        ([0.95, 0.96, 0.91], NOT),
        ([0.95, 0.99, 0.88], IN_PART),  # the mean is outside, one seed inside
        ([0.7, 0.75], NOT),
        ([0.7, 0.95, 0.99], IN_PART),  # all are outside, on both sides
        ([0.85, NAN, NAN, NAN, NAN], IN_PART),  # one known value of five
        ([NAN, NAN], UNTESTED),
    ],
)
def test_verdicts_of_few_seeds(seeds, expected):
    assert verdicts.verdict(verdicts.mean(seeds), NEAR) == expected


def test_a_deterministic_result_is_decided_by_its_value():
    assert verdicts.verdict(verdicts.single(0.85), NEAR, exact=True) == REPRODUCED
    assert verdicts.verdict(verdicts.single(0.95), NEAR, exact=True) == NOT


def test_verdicts_are_combined():
    assert verdicts.combined_verdict([REPRODUCED, REPRODUCED, UNTESTED]) == REPRODUCED
    assert verdicts.combined_verdict([NOT, NOT]) == NOT
    assert verdicts.combined_verdict([REPRODUCED, NOT]) == verdicts.combined_verdict([IN_PART]) == IN_PART
    assert verdicts.combined_verdict([UNTESTED]) == verdicts.combined_verdict([]) == UNTESTED


def test_means_with_their_intervals():
    """0, 0, 0, 0, 1: mean 0.2, standard deviation sqrt(0.2), t quantile 2.7764 for 4 degrees of freedom."""
    assert verdicts.mean([2.0] * 5) == (2, 2, 2, 5, 2, 2)
    half = 2.7764 * (0.2 / 5) ** 0.5
    assert verdicts.mean([0, 0, 0, 0, 1]) == pytest.approx((0.2, 0.2 - half, 0.2 + half, 5, 0, 1), abs=1e-4)
    few = verdicts.mean([1.0, 2.0, 3.0, NAN, INF])
    assert (few.value, few.n, few.least, few.largest) == (2, 3, 1, 3) and math.isnan(few.low) and math.isnan(few.high)
    assert verdicts.mean([]) == verdicts.mean([NAN]) == NO_ESTIMATE and NO_ESTIMATE.n == 0


def test_geometric_means():
    """1, 1, 1, 1, 32: base-2 logarithms 0, 0, 0, 0, 5 with mean 1 and standard deviation sqrt(5)."""
    half = 2.7764 * (5 / 5) ** 0.5
    found = verdicts.geometric([1, 1, 1, 1, 32])
    assert found == pytest.approx((2, 2 ** (1 - half), 2 ** (1 + half), 5, 1, 32), rel=1e-4)
    assert verdicts.geometric([2, 8]).value == pytest.approx(4) and math.isnan(verdicts.geometric([2, 8]).low)


def test_limits_in_words():
    assert NEAR.words(".1f") == "0.8 to 0.9" and Limits(1, 1, "").words(".0f") == "1"
    assert Limits(0.25, INF, "").words(".2f") == "at least 0.25" and Limits(-INF, 0, "").words(".0f") == "at most 0"
    assert Limits(-INF, INF, "").words(".2f") == "" and not Limits(-INF, INF, "").testable


ROW = verdicts.Row(
    "C7", "C7.cost", "Accuracy lost", "LeNet-5 on MNIST", 0.83, Estimate(0.85, 0.82, 0.88, 10, 0.8, 0.9), ".2f", NEAR,
    "MNIST", "08_optimal_amount", "wmgp sweep", ("a.csv",), ("0123",),
)  # fmt: skip


def test_sentences():
    assert ROW.sentence == "Reproduced: 0.85 (0.82 to 0.88), expected 0.80 to 0.90."
    assert replace(ROW, found=Estimate(0.85, 0.82, 0.95, 10, 0.8, 1)).sentence == (
        "Reproduced in part: 0.85 (0.82 to 0.95), expected 0.80 to 0.90; the interval reaches beyond."
    )
    one = replace(ROW, found=verdicts.mean([0.85]), note="Rests on 2% of the paper's grid.")
    assert one.sentence == (
        "Reproduced in part: 0.85, expected 0.80 to 0.90; one seed gives no interval. Rests on 2% of the paper's grid."
    )
    assert "4 seeds give no interval." in replace(one, found=verdicts.mean([0.85] * 4)).sentence
    assert "2 seeds give no interval, and not all lie outside." in replace(ROW, found=verdicts.mean([0.85, 1])).sentence
    away = replace(ROW, found=Estimate(0.5, 0.4, 0.6, 10, 0.3, 0.7))
    assert away.sentence.startswith("Not reproduced: 0.50 (0.40 to 0.60)")
    assert replace(ROW, found=NO_ESTIMATE).sentence == "Not testable here: not measured yet."
    assert replace(ROW, found=NO_ESTIMATE, missing="too few.").sentence == "Not testable here: too few."
    open_ended = replace(ROW, limits=Limits(-INF, INF, "The paper does not say."))
    assert open_ended.sentence == "Not testable here: 0.85 (0.82 to 0.88). The paper does not say."
