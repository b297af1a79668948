"""Agreement, Jensen-Shannon divergence and linear CKA of two networks' outputs, computed by hand."""

import inspect

import numpy as np
import pytest

from wmgp import InputError
from wmgp.similarity import agreement, js_divergence, linear_cka


def logits(*probabilities):
    with np.errstate(divide="ignore"):
        return np.log(np.array(probabilities))


def test_agreement_counts_equal_predictions():
    a = np.array([[3.0, 1, 2], [0, 5, 0], [1, 2, 9], [4, 4, 0]])  # predictions 0 1 2 0; ties go to the first class
    b = np.array([[1.0, 0, 0], [7, 6, 5], [0, 0, 1], [0, 1, 0]])  # predictions 0 0 2 1
    assert agreement(a, b) == 0.5
    assert agreement(a, 100 * a - 3) == 1


def test_js_divergence_by_hand():
    # p = (1/2, 1/2), q = (1/4, 3/4), mean (3/8, 5/8)
    by_hand = 0.5 * (0.5 * np.log(4 / 3) + 0.5 * np.log(4 / 5) + 0.25 * np.log(2 / 3) + 0.75 * np.log(6 / 5))
    a, b = logits([0.5, 0.5], [0.3, 0.7]), logits([0.25, 0.75], [0.3, 0.7])
    assert js_divergence(a, b) == pytest.approx(by_hand / 2, rel=1e-12)  # the second input contributes 0
    assert js_divergence(b, a) == pytest.approx(by_hand / 2, rel=1e-12)


def test_js_divergence_lies_between_0_and_ln_2():
    a, b = np.array([[1000.0, 0, 0]]), np.array([[0.0, 1000, 0]])
    assert js_divergence(a, b) == pytest.approx(np.log(2), rel=1e-12)
    assert js_divergence(a, a) == 0
    shifted = np.array([[1, 2, 3]], dtype=np.float32)
    assert js_divergence(shifted, shifted + 50) == pytest.approx(0, abs=1e-12)  # adding a constant changes nothing


def test_linear_cka_by_hand():
    # Centred: a = (-1, 0, 1), b = ((-1, 1), (0, -2), (1, 1)). a'b = (2, 0), |a'a| = 2, b'b = diag(2, 6).
    a, b = np.array([[4.0], [5], [6]]), np.array([[0.0, 7], [1, 4], [2, 7]])
    assert linear_cka(a, b) == pytest.approx(4 / (2 * np.sqrt(40)), rel=1e-12)
    assert linear_cka(b, a) == pytest.approx(4 / (2 * np.sqrt(40)), rel=1e-12)


def test_linear_cka_ignores_rotation_shift_and_scale(rng):
    a = rng.normal(size=(50, 4))
    rotation, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    assert linear_cka(a, 3 * a @ rotation - 8) == pytest.approx(1, rel=1e-12)
    assert linear_cka(a, rng.normal(size=(50, 4))) < 0.5


def test_linear_cka_of_a_constant_is_undefined():
    assert np.isnan(linear_cka(np.ones((3, 2)), np.eye(3)))


@pytest.mark.parametrize("function", [agreement, js_divergence, linear_cka])
def test_outputs_for_different_inputs_are_errors(function):
    function = inspect.unwrap(function)  # without the shape checks of the tests
    for a, b in ((np.ones((3, 2)), np.ones((4, 2))), (np.ones((0, 2)), np.ones((0, 2)))):
        with pytest.raises(InputError, match="outputs: expected"):
            function(a, b)
