"""Rescalings that preserve the outputs: property tests, and examples computed by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import wmgp
from studies.rescaling import transforms
from wmgp import InputError
from wmgp.experiments import models


def lenet(seed=1):
    return models.build("lenet5", seed)


def outputs(model, shape=(3, 1, 28, 28)):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.inference_mode():
        return model.double().eval()(images)


def factors(seed, spread):
    generator = torch.Generator().manual_seed(seed)
    return [torch.exp(spread * torch.randn(n, generator=generator, dtype=torch.float64)) for n in (6, 16, 120, 84)]


@settings(max_examples=15)
@given(st.integers(0, 99), st.floats(0, 2))
def test_any_channel_factors_keep_the_outputs(seed, spread):
    model = lenet(seed)
    torch.testing.assert_close(outputs(transforms.rescale_channels(model, factors(seed, spread))), outputs(model))


def test_rescaling_and_balancing_by_hand():
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        for parameter, values in zip(model.parameters(), ([[1.0], [2]], [3.0, 4], [[5.0, 6]], [7.0]), strict=True):
            parameter.copy_(torch.tensor(values))
    found = [p.flatten().tolist() for p in transforms.rescale_channels(model, [torch.tensor([2.0, 0.5])]).parameters()]
    assert found == [[2, 1], [6, 2], [2.5, 12], [7]]
    # Balancing equates incoming and outgoing norms: a^4 = 5^2 / (1^2 + 3^2), and a^4 = 6^2 / (2^2 + 4^2).
    first, second = (float(p) for p in transforms.balance(model).state_dict()["0.weight"].flatten())
    assert (first, second) == pytest.approx((2.5**0.25, 2 * 1.8**0.25))


@pytest.mark.slow
@settings(max_examples=8)
@given(st.integers(0, 99))
def test_balancing_does_not_depend_on_earlier_rescaling(seed):
    model = lenet(seed)
    here, there = (transforms.balance(each) for each in (model, transforms.rescale_channels(model, factors(seed, 1.0))))
    for a, b in zip(here.parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(outputs(here), outputs(model))
    norms = [sum(float(p.detach().double().pow(2).sum()) for p in net.parameters()) for net in (here, model)]
    assert norms[0] <= norms[1] * (1 + 1e-12)


def test_balancing_with_a_dead_channel_keeps_the_outputs():
    model = lenet()
    with torch.no_grad():
        for name in ("fc1.weight", "fc1.bias"):
            model.get_parameter(name)[3] = 0
    settled = transforms.balance(model)
    assert all(torch.isfinite(p).all() for p in settled.parameters())
    torch.testing.assert_close(outputs(settled), outputs(model))


def test_rescaling_changes_optimal_amount_and_kurtosis_but_not_the_outputs():
    """A factor of 1000 on the first layer puts nearly all energy into 156 of 61,706 parameters."""
    model = lenet()
    scaled = transforms.rescale_channels(model, [1000.0, 1.0, 1.0, 1.0])
    torch.testing.assert_close(outputs(scaled), outputs(model))
    before, after = (wmgp.analyze(each) for each in (model, scaled))
    assert before.optimal.amount == pytest.approx(0.79) and after.optimal.amount > 0.98
    assert after.kurtosis > 20 * before.kurtosis


class Small(nn.Module):
    """Two convolutions, each with batch normalisation."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.act = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU6()
        self.conv2, self.bn2 = nn.Conv2d(4, 3, 3, bias=False), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))


@pytest.fixture
def small():
    torch.manual_seed(0)
    model = Small().double()
    with torch.no_grad():
        for norm in (model.bn1, model.bn2):
            norm.get_buffer("running_mean").normal_()
            norm.get_buffer("running_var").uniform_(0.01, 3)
            norm.weight.normal_()
            norm.bias.normal_()
    return model.eval()


def test_rescaling_before_batch_normalisation_keeps_the_outputs(small):
    scaled = transforms.rescale_before_batch_norm(small, 2.0, 3)
    torch.testing.assert_close(outputs(scaled), outputs(small))
    assert not torch.allclose(scaled.get_parameter("conv1.weight"), small.conv1.weight)
    assert wmgp.analyze(scaled).kurtosis != pytest.approx(wmgp.analyze(small).kurtosis, rel=0.1)


def test_folding_batch_normalisation_removes_the_rescaling(small):
    plain, scaled = (
        transforms.fold_batch_norm(each) for each in (small, transforms.rescale_before_batch_norm(small, 2.0, 3))
    )
    torch.testing.assert_close(outputs(plain), outputs(small))
    assert isinstance(plain.get_submodule("bn1"), nn.Identity) and len(list(plain.parameters())) == 4
    for a, b in zip(plain.parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.slow
def test_all_batch_norms_of_torchvision_networks_are_found():
    for name, number in (("resnet18", 20), ("vgg11_bn", 8), ("mobilenet_v2", 52)):
        model = models.build(name, 0)
        assert (
            len(transforms.conv_batch_norm_pairs(model))
            == number
            == sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
        )
    small_images = (2, 3, 32, 32)
    model = models.build("resnet18", 0)
    torch.testing.assert_close(
        outputs(transforms.fold_batch_norm(transforms.rescale_before_batch_norm(model, 1.0)), small_images),
        outputs(model, small_images),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda: transforms.rescale_channels(lenet(), [1.0]),
            "factors: expected 4, one for each layer but the last, got 1",
        ),
        (lambda: transforms.rescale_channels(lenet(), [1.0, 1.0, -1.0, 1.0]), "factors: expected numbers above 0"),
        (lambda: transforms.balance(models.build("vgg11_bn", 0)), "BatchNorm2d: expected a chain"),
        (lambda: transforms.balance(nn.Sequential(nn.Linear(2, 2))), "expected at least two layers with weights"),
    ],
)
def test_invalid_rescalings_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        change()


def test_per_tensor_methods_do_not_depend_on_the_scale_of_layers():
    model = lenet()
    scaled = transforms.rescale_channels(model, [100.0, 0.1, 3.0, 1.0])
    for method in ("l1_normalized", "lamp", "l1_local"):
        # Each tensor is scaled by one factor, so the order of its magnitudes does not change.
        here, there = (wmgp.global_masks(each.double(), 0.5, method) for each in (model, scaled))
        same = np.mean([float((here[name] == there[name]).double().mean()) for name in here])
        assert same > 0.999, method
    assert any(not torch.equal(a, b) for a, b in zip(
        wmgp.global_masks(model, 0.5).values(), wmgp.global_masks(scaled, 0.5).values(), strict=True))  # fmt: skip
