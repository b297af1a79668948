"""The study of unseen weights: decay against torch's SGD, and shares and cosines by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from studies.unseen_weights import decay, measure, networks, recorded
from wmgp.analysis import analyze
from wmgp.experiments.data import load
from wmgp.experiments.models import build
from wmgp.experiments.training.loop import train
from wmgp.experiments.training.sgd import Recipe, make_optimizer
from wmgp.unseen_weights import unseen

RECIPE = Recipe(0.1, 0.9, 0.01, 10, nesterov=True, one_cycle=True)
PLAIN = replace(RECIPE, nesterov=False)


@pytest.mark.parametrize("recipe", [RECIPE, PLAIN, replace(PLAIN, momentum=0)])
def test_the_decay_is_that_of_torch(recipe):
    model = nn.Linear(3, 2, bias=False).double()
    before = model.weight.detach().clone()
    optimizer = make_optimizer(model, recipe, recipe.learning_rate)
    for step in range(50):
        optimizer.param_groups[0]["lr"] = recipe.learning_rate_at(step, 50)
        model.weight.grad = torch.zeros_like(model.weight)
        optimizer.step()
    factor = decay.decay_factor(recipe, 50)
    assert 0 < factor < 1
    torch.testing.assert_close(model.weight.detach(), factor * before, rtol=1e-12, atol=0)


def test_the_decay_for_small_rates():
    recipe = Recipe(1e-3, 0.9, 1e-2, 10)
    assert decay.decay_factor(recipe, 20_000) == pytest.approx(np.exp(-1e-2 * 20_000 * 1e-3 / 0.1), rel=3e-3)
    assert decay.decay_factor(replace(recipe, weight_decay=0), 100) == 1


def test_steps_count_the_smaller_batch():
    assert decay.steps_of(Recipe(batch_size=128), 10_000, 15) == 15 * 79


def test_only_weight_decay_moves_unseen_weights():
    images = load("digits", True).first(40)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 10, 3, padding=1), nn.Flatten())
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    masks = unseen(model, torch.zeros(1, 1, 28, 28))
    train(model, images, 5, 0, RECIPE)
    factor = decay.decay_factor(RECIPE, decay.steps_of(RECIPE, 40, 5))
    after = dict(model.named_parameters())
    hidden = masks["1.weight"]
    assert int(hidden.sum()) == 80
    torch.testing.assert_close(after["1.weight"][hidden], factor * before["1.weight"][hidden], rtol=1e-5, atol=1e-8)
    assert not torch.allclose(after["1.weight"][~hidden], factor * before["1.weight"][~hidden], rtol=1e-2)


@pytest.fixture
def pixel():
    """A kernel on a single pixel, and its unseen weights: all but the 5 in the centre."""
    model = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.arange(1.0, 10).reshape(1, 1, 3, 3))
    return model, unseen(model, torch.zeros(1, 1, 1, 1))


def test_shares_and_cosines_by_hand(pixel):
    model, masks = pixel
    kept = {"weight": model.weight.detach() > 3}  # 1, 2, 3 are pruned, all unseen
    found = measure.kept_shares(model, kept, masks)
    assert found == {"cosine": pytest.approx((271 / 285) ** 0.5), "cosine_seen": 1.0, "unseen_share": 1.0}
    found = measure.kept_shares(model, {"weight": model.weight.detach() > 5}, masks)
    assert found["cosine_seen"] == 0 and found["unseen_share"] == 0.8


def test_energies_by_hand(pixel):
    model, masks = pixel
    before = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    with torch.no_grad():
        before.weight.copy_(2 * model.weight)
    found = measure.energies(before, model, masks)
    assert found == {"unseen": 8, "energy_share": pytest.approx(260 / 285), "decay": pytest.approx(0.5)}


def test_shrunk_weights_by_hand(pixel):
    model, masks = pixel
    shrunk = decay.scaled(model, masks, 0.5)["weight"].flatten().tolist()
    assert shrunk == [0.5, 1, 1.5, 2, 5, 3, 3.5, 4, 4.5]
    with_all, without = decay.amounts_when_shrunk(model, masks, (1.0, 0.0))
    assert without > with_all and without == pytest.approx(8 / 9)  # zeros are free; the last weight is not


def test_only_the_stem_for_large_images_leaves_weights_unseen():
    for network, hidden in (("resnet18_w16", 434_176), ("resnet18_w16_stem32", 0)):
        model = networks.build(network, 0)
        found = unseen(model, torch.zeros(1, 3, 32, 32))
        assert sum(int(mask.sum()) for mask in found.values()) == hidden
        same = networks.build(network, 0)
        assert all(torch.equal(p, q) for p, q in zip(model.parameters(), same.parameters(), strict=True))


def test_measured_rows_of_a_few_images(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "RECIPE", replace(networks.RECIPE, bfloat16=False))
    digits = load("digits", True).first(64)
    images = replace(digits, images=digits.images.repeat(1, 3, 1, 1))
    (tmp_path / "1epochs").mkdir()
    row, rows, _ = measure.measure_network("resnet18_w16", 1, images, images, 0, tmp_path, (0.0, 0.5))
    assert row["accuracy"] == row["accuracy_without"] and row["unseen"] == 434_176
    assert row["at_099_times_0"] > row["at_099_times_1"] == row["at_099_all"]
    assert [each["method"] for each in rows] == ["l1"] * 2 + ["random"] * 3  # one mask for amount 0
    assert rows[0]["cosine"] == rows[0]["cosine_seen"] == 1 and rows[0]["accuracy"] == row["accuracy"]
    assert {each["unseen_share"] for each in rows if each["amount"] == 0.5 and each["method"] == "random"} != {0.5}


def test_a_front_gives_back_the_seen_and_the_unseen_weights():
    """Two normal distributions in one pool, of which only the front and the narrow one are given."""
    rng = np.random.default_rng(0)
    wide, narrow = rng.normal(size=200_000), 0.3 * rng.normal(size=300_000)
    both = analyze({"weight": np.concatenate([wide, narrow])})
    every = recorded.from_front(both.front.amount, both.front.cosine, 500_000, float(wide @ wide + narrow @ narrow))
    seen, inside = recorded.split(every, np.abs(narrow))
    assert every.amount_at(0.99) == pytest.approx(both.at_cosine(0.99).amount, abs=2e-3)
    assert seen.count.sum() == pytest.approx(200_000, rel=5e-3) and inside.sum() == 300_000
    assert seen.amount_at(0.99) == pytest.approx(analyze({"weight": wide}).at_cosine(0.99).amount, abs=5e-3)
    for factor in (1.0, 0.4):
        exact = analyze({"weight": np.concatenate([wide, factor * narrow])}).at_cosine(0.99).amount
        shrunk = seen.sorted_with(recorded.grouped(np.abs(narrow), factor)).amount_at(0.99)
        assert shrunk == pytest.approx(exact, abs=5e-3)


def test_recorded_initial_weights_are_drawn_again():
    masks = {name: torch.zeros(p.shape, dtype=torch.bool) for name, p in build("resnet18", 0).named_parameters()}
    masks["fc.bias"][:3] = True
    assert recorded.unseen_magnitudes(0, masks).shape == (3,)
