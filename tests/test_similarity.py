"""Cosine similarity by hand, by name, and after pruning."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import wmgp


def test_cosine_by_hand():
    a = {"x.weight": np.array([3.0, 0.0]), "y": np.array([[4.0]])}
    b = {"x.weight": np.array([3.0, 5.0]), "y": np.array([[0.0]])}
    assert wmgp.cosine_similarity(a, b) == pytest.approx(9 / (5 * math.sqrt(34)), abs=1e-15)
    assert wmgp.cosine_similarity(a, a) == pytest.approx(1, abs=1e-15)
    assert wmgp.cosine_similarity(a, {k: -v for k, v in a.items()}) == pytest.approx(-1, abs=1e-15)


def test_tensors_are_matched_by_name_not_by_position():
    a = {"x": torch.tensor([1.0, 2.0]), "y": torch.tensor([3.0, 4.0])}
    assert wmgp.cosine_similarity(a, dict(reversed(a.items()))) == pytest.approx(1, abs=1e-15)


def test_half_precision_is_summed_in_float64():
    a = {"x": torch.full((300_000,), 0.1, dtype=torch.bfloat16)}
    assert wmgp.cosine_similarity(a, a) == pytest.approx(1, abs=1e-12)


def test_cosine_is_undefined_for_a_zero_vector():
    assert math.isnan(wmgp.cosine_similarity({"x": np.zeros(3)}, {"x": np.ones(3)}))


def test_mismatches_are_errors_with_the_tensors_name():
    with pytest.raises(wmgp.InputError, match=r"^1\.weight: Linear has no such parameter"):
        wmgp.cosine_similarity({"weight": np.ones((2, 2)), "bias": np.ones(2), "1.weight": np.ones(1)}, nn.Linear(2, 2))
    with pytest.raises(wmgp.InputError, match=r"^x: expected the same shape in both, found \(2,\) and \(3,\)"):
        wmgp.cosine_similarity({"x": np.ones(2)}, {"x": np.ones(3)})
