"""The variants that change kurtosis: closed forms, and single steps worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from studies.kurtosis_on_purpose import variants
from studies.kurtosis_on_purpose.variants import VARIANTS, PowerReparameterization, Variant
from wmgp import kurtosis
from wmgp.experiments import data, models
from wmgp.experiments.training import recipes
from wmgp.experiments.training.loop import train
from wmgp.experiments.training.sgd import Recipe


@pytest.fixture(scope="module")
def few():
    return data.load("digits", True).first(64)


SHORT = replace(recipes.DIGITS_CONFIG, epochs=2)


def weights(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


@pytest.mark.parametrize(("law", "expected", "tolerance"), [("two values", 1, 1e-9), ("normal", 3, 0.1)])
def test_initial_distributions_have_their_kurtosis_at_the_same_norm(law, expected, tolerance):
    model, before = models.build("lenet5", 0), models.build("lenet5", 0)
    variants.redraw_weights(model, law, 1)
    for (name, new), old in zip(model.named_parameters(), before.parameters(), strict=True):
        assert new.double().norm().item() == pytest.approx(old.double().norm().item(), rel=1e-6)
        assert torch.equal(new, old) == name.endswith("bias")
    largest = model.get_parameter("fc1.weight").detach().double()
    assert float((largest**4).mean() / (largest**2).mean() ** 2) == pytest.approx(expected, abs=tolerance)


def test_the_student_t_initialisation_has_the_quantiles_of_student_t():
    from scipy.stats import kstest, t

    drawn = variants.INITIAL_DISTRIBUTIONS["Student-t"]((4000,), torch.Generator().manual_seed(0)).numpy()
    assert kstest(drawn, t(3).cdf).pvalue > 0.05 and kurtosis(drawn) > 9


def test_the_default_initialisation_is_not_redrawn():
    model, before = models.build("lenet5", 0), models.build("lenet5", 0)
    variants.redraw_weights(model, "uniform", 1)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))


def test_power_reparameterization_keeps_the_initial_network_and_ends_with_plain_weights(few):
    model = models.build("lenet5", 0).double()
    before, images = weights(model), torch.rand(2, 1, 28, 28, dtype=torch.float64)
    plain = model(images)
    with variants.power_reparameterized(model, 3.0):
        torch.testing.assert_close(model(images), plain)
        assert {name for name, _ in model.named_parameters() if "original" in name}
    assert set(model.state_dict()) == set(before)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, before[name])
    with variants.power_reparameterized(model, 1.0):
        assert not [name for name, _ in model.named_parameters() if "original" in name]


def test_a_power_moves_large_weights_more():
    """dL/dv = alpha |v|^(alpha - 1) dL/dw: with alpha 2, v = 0.1 and 1 and dL/dw = 1 that is 0.2 and 2."""
    v = torch.tensor([0.1, -1.0], requires_grad=True)
    PowerReparameterization(2.0)(v).sum().backward()
    assert v.grad is not None and v.grad.tolist() == pytest.approx([0.2, 2.0])
    assert PowerReparameterization(2.0).right_inverse(torch.tensor([0.04, -0.09])).tolist() == pytest.approx(
        [0.2, -0.3]
    )


def test_a_penalty_adds_the_sign_of_the_weight_to_its_gradient(few):
    """In one SGD step, it moves each weight by rate times strength towards zero, and no bias."""
    step = Recipe(learning_rate=0.1, momentum=0.0, batch_size=64)
    plain, penalised = models.build("lenet5", 0), models.build("lenet5", 0)
    start = weights(plain)
    train(plain, few, 1, 0, step)
    with variants.l1_penalized(penalised, 0.01):
        train(penalised, few, 1, 0, step)
    for name, weight in penalised.state_dict().items():
        expected = plain.state_dict()[name] - (0.001 * start[name].sign() if weight.ndim > 1 else 0)
        torch.testing.assert_close(weight, expected, rtol=0, atol=1e-7)
    after = weights(penalised)  # the hooks are gone
    train(penalised, few, 1, 0, step)
    other = models.build("lenet5", 0)
    other.load_state_dict(after)
    train(other, few, 1, 0, step)
    assert all(torch.equal(a, b) for a, b in zip(penalised.parameters(), other.parameters(), strict=True))


@pytest.mark.slow
def test_every_variant_is_another_network_of_the_same_shape(few):
    found = {v.name: variants.train_variant("lenet5", v, 0, SHORT, few) for v in VARIANTS}
    names = list(models.build("lenet5", 0).state_dict())
    assert all([name for name, _ in model.named_parameters()] == names for model in found.values())
    assert all(p.dtype == torch.float32 and p.isfinite().all() for model in found.values() for p in model.parameters())
    flat = [torch.cat([p.detach().flatten() for p in model.parameters()]) for model in found.values()]
    assert not [1 for i, a in enumerate(flat) for b in flat[:i] if torch.equal(a, b)]
    images = few.batch(torch.arange(64))[0]
    outputs = {name: found[name].eval()(images) for name in ("as usual", "balanced", "channels by chance")}
    for name in ("balanced", "channels by chance"):
        torch.testing.assert_close(outputs[name], outputs["as usual"], rtol=1e-4, atol=1e-5)


def test_the_base_variant_is_trained_as_any_parent(few):
    model = models.build("lenet5", 3)
    train(model, few, 2, 3, SHORT.recipe)
    mine = variants.train_variant("lenet5", VARIANTS[0], 3, SHORT, few)
    assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), model.parameters(), strict=True))


def test_variants_change_the_training_config():
    base = replace(SHORT, epochs=5)
    configs = {v.name: v.config(base) for v in VARIANTS}
    assert [configs[name].epochs for name in ("short", "as usual", "long")] == [2, 5, 10]
    assert configs["no decay"].recipe.weight_decay == 0 and configs["as usual"].recipe == base.recipe
    assert Variant("x", "y", length=0.01).config(base).epochs == 1
    assert len({v.name for v in VARIANTS}) == len(VARIANTS) and VARIANTS[0].moved == variants.BASE


def test_spread_of_layers_by_hand():
    """Root mean squares of 1 and e^2: logarithms 0 and 2, a standard deviation of 1; biases do not count."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with torch.no_grad():
        model.get_parameter("0.weight").fill_(-1)
        model.get_parameter("1.weight").fill_(np.exp(2))
    assert variants.layer_scale_spread(model) == pytest.approx(1, abs=1e-6)
