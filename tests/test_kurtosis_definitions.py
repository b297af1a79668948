"""The definitions of a network's kurtosis, on networks small enough to work out by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import wmgp
from wmgp.experiments.statistics import kurtosis_definitions as definitions
from wmgp.experiments.statistics.kurtosis_definitions import DEFINITIONS, kurtosis_definitions


@pytest.fixture
def model():
    """A convolution, its batch-norm and a parameter that is neither weight nor bias."""
    net = nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2))
    net.scale = nn.Parameter(torch.tensor([[5.0, -5.0, 1.0]]))
    values = {
        "0.weight": [1.0, -1, 2, -2, 1, -1, 2, -2],
        "0.bias": [3.0, -3],
        "1.weight": [1.0, 1],
        "1.bias": [0.5, -1.5],
    }
    with torch.no_grad():
        for name, value in values.items():
            net.get_parameter(name).copy_(torch.tensor(value).reshape(net.get_parameter(name).shape))
    return net


def test_every_definition_by_hand(model):
    conv, bias, norm, shift = [1.0, -1, 2, -2, 1, -1, 2, -2], [3.0, -3], [1.0, 1], [0.5, -1.5]
    scale = [5.0, -5, 1]
    expected = [
        wmgp.kurtosis([*conv, *bias, *norm, *shift]),
        wmgp.kurtosis([*conv, *bias]),
        wmgp.kurtosis([*conv, *scale]),
        wmgp.kurtosis([*conv, *bias, *norm, *shift, *scale]),
        np.mean([wmgp.kurtosis(conv), 1, 1]),  # two distinct values have kurtosis 1, a constant none
        np.mean([wmgp.kurtosis(conv), wmgp.kurtosis(scale)]),
    ]
    assert list(kurtosis_definitions(model)) == list(DEFINITIONS)
    assert list(kurtosis_definitions(model).values()) == pytest.approx(expected, rel=1e-6)
    assert wmgp.kurtosis(conv) == pytest.approx((4 * 1 + 4 * 16) / 8 / 2.5**2)


def test_without_batch_norm_two_definitions_agree():
    found = kurtosis_definitions(nn.Linear(3, 4))
    assert found[DEFINITIONS[0]] == found[DEFINITIONS[1]] == found[DEFINITIONS[3]]


def test_a_mean_over_no_tensor_is_undefined():
    net = nn.Linear(1, 1)  # a weight and a bias of one element each
    assert math.isnan(kurtosis_definitions(net)[DEFINITIONS[4]])


def test_batch_norms_are_found_by_their_module(model):
    assert definitions.batch_norms(model) == {"1.weight", "1.bias"}
    assert definitions.batch_norms(nn.BatchNorm1d(3)) == {"weight", "bias"}


def test_at_initialisation_uses_the_network_of_the_seed():
    found = definitions.at_initialisation({"LeNet": "lenet5"}, 3)["LeNet"]
    assert found == kurtosis_definitions(definitions.build("lenet5", 3))
    assert found != definitions.at_initialisation({"LeNet": "lenet5"}, 4)["LeNet"]
