"""Stages of pruning schedules: amounts, learning rates, rewound weights and masks."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from studies.beyond_l1 import measure, schedules
from wmgp import InputError, apply_masks, global_masks
from wmgp.experiments import data
from wmgp.experiments.training.recipes import DIGITS_CONFIG, ExperimentConfig
from wmgp.experiments.training.sgd import REFERENCE, Recipe

CONFIG = replace(DIGITS_CONFIG, epochs=30)


def images(n, shape=(1, 1, 4), seed=0):
    rng = np.random.default_rng(seed)
    return data.image_data_from_arrays("few", rng.integers(0, 256, (n, *shape)), rng.integers(0, 3, n), classes=3)


def small(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def make_start(recipe=None, epochs=3, parent_epochs=6):
    """Return a start whose early weights differ from the parent's."""
    config = ExperimentConfig(recipe or Recipe(0.1, 0.9, batch_size=8), parent_epochs)
    early = {epoch: small(epoch + 1).state_dict() for epoch in schedules.rewind_epochs(config, epochs)}
    return schedules.Start(small(), config, early, images(20), epochs, 5)


@given(st.sampled_from(list(schedules.SCHEDULES)), st.floats(0, 1), st.sampled_from([3, 6, 9, 30]))
def test_every_schedule_trains_equally_long_and_ends_at_the_amount(rule, amount, epochs):
    stages = schedules.SCHEDULES[rule](CONFIG, amount, epochs)
    amounts = [stage.amount for stage in stages]
    assert sum(stage.epochs for stage in stages) == epochs and amounts[-1] == amount
    assert amounts == sorted(amounts) and all(stage.epochs > 0 for stage in stages)
    for stage in stages:
        if isinstance(stage.recipe, schedules.ScheduleTail):
            assert stage.recipe.epochs == stage.epochs
            assert stage.recipe.first_epoch + stage.recipe.epochs <= CONFIG.epochs == stage.recipe.total_epochs
    last = stages[-1].recipe
    if rule != "small rate":
        assert isinstance(last, schedules.ScheduleTail) and last.first_epoch + last.epochs == CONFIG.epochs


def first_epochs(stages):
    """Return the epoch of the parent's training at which each stage begins."""
    assert all(isinstance(stage.recipe, schedules.ScheduleTail) for stage in stages)
    return [stage.recipe.first_epoch for stage in stages]


def test_gradual_amounts_follow_the_cubic_schedule():
    """0.64 (1 - (3/4)^3) = 0.37, 0.64 (1 - 1/8) = 0.56, 0.64 (1 - 1/64) = 0.63, and 0.64."""
    stages = schedules.gradual(CONFIG, 0.64, 6)
    assert [stage.amount for stage in stages] == pytest.approx([0.37, 0.56, 0.63, 0.64], abs=1e-12)
    assert [stage.epochs for stage in stages] == [1, 1, 1, 3]
    assert first_epochs(stages) == [24, 25, 26, 27]
    assert [schedules.cubic_amount(0.9, done) for done in (0, 1)] == [0, 0.9]
    assert [len(schedules.gradual(CONFIG, 0.64, epochs)) for epochs in (1, 2, 3)] == [1, 1, 2]


def test_iterative_rounds_prune_the_same_share_of_the_remaining_weights():
    """1/2 of the weights remain, then 1/4, then 1/8."""
    stages = schedules.iterative(CONFIG, 0.875, 6)
    assert [stage.amount for stage in stages] == pytest.approx([0.5, 0.75, 0.875])
    assert first_epochs(stages) == [28, 28, 28] and {stage.rewind_to for stage in stages} == {None}
    assert {stage.rewind_to for stage in schedules.iterative_rewound(CONFIG, 0.875, 6)} == {28}
    assert schedules.weights_rewound(CONFIG, 0.5, 6)[0].rewind_to == 24 and schedules.rewind_epochs(CONFIG, 6) == [
        24,
        28,
    ]


def test_a_tail_has_the_learning_rates_of_the_parent():
    parent_rates = [CONFIG.recipe.learning_rate_at(step, 300) for step in range(300)]  # ten steps an epoch
    tail = schedules.schedule_tail(CONFIG, 6, 2)
    assert [tail.learning_rate_at(step, 20) for step in range(20)] == parent_rates[240:260]
    assert {name: getattr(tail, name) for name in vars(CONFIG.recipe)} == vars(CONFIG.recipe)
    assert (
        schedules.schedule_tail(ExperimentConfig(REFERENCE, 25), 6, 6).learning_rate_at(3, 60)
        == REFERENCE.learning_rate
    )


@pytest.mark.parametrize("strategy", schedules.STRATEGIES, ids=" ".join)
def test_pruned_weights_stay_zero_and_the_parent_is_not_changed(strategy):
    start, (method, rule) = make_start(), strategy
    before = copy.deepcopy(start.parent.state_dict())
    model, masks = schedules.prune_and_train(start, method, rule, 0.7)
    assert sum(int((~mask).sum()) for mask in masks.values()) == pytest.approx(0.7 * 51, abs=2)
    for name, weight in model.named_parameters():
        assert not weight[~masks[name]].any() and weight[masks[name]].all()
    assert all(torch.equal(weight, before[name]) for name, weight in start.parent.state_dict().items())
    again, _ = schedules.prune_and_train(start, method, rule, 0.7)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("rule", ["gradual", "iterative", "iterative, weights rewound"])
def test_later_stages_keep_a_subset_of_the_weights(rule, monkeypatch):
    stage_masks = []

    def apply_and_record(model, masks):
        stage_masks.append(masks)
        apply_masks(model, masks)

    monkeypatch.setattr(schedules, "apply_masks", apply_and_record)
    _, masks = schedules.prune_and_train(make_start(epochs=6), "l1", rule, 0.8)
    assert len(stage_masks) == len(schedules.SCHEDULES[rule](make_start(epochs=6).config, 0.8, 6)) > 2
    for wide, narrow in zip(stage_masks, stage_masks[1:], strict=False):
        assert all((wide[name] | ~narrow[name]).all() for name in narrow)
    assert masks is stage_masks[-1]


@pytest.mark.parametrize(("rule", "rewind_to"), [("weights rewound", 3), ("iterative, weights rewound", 5)])
def test_remaining_weights_are_rewound(rule, rewind_to):
    """A learning rate of 0 leaves the rewound weights unchanged."""
    start = make_start(Recipe(0.0, batch_size=8))
    model, masks = schedules.prune_and_train(start, "l1", rule, 0.6)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, start.early[rewind_to][name] * masks[name])
    single = global_masks(start.parent, 0.6)
    assert rule != "weights rewound" or all(torch.equal(masks[name], single[name]) for name in masks)


def test_without_training_every_l1_schedule_equals_one_shot():
    start = make_start(Recipe(0.0, batch_size=8))
    single = global_masks(start.parent, 0.6)
    for rule in ("one-shot", "gradual", "iterative"):
        model, masks = schedules.prune_and_train(start, "l1", rule, 0.6)
        for name, weight in model.state_dict().items():
            assert torch.equal(masks[name], single[name])
            assert torch.equal(weight, start.parent.state_dict()[name] * single[name])


def test_stages_see_different_batches(monkeypatch):
    seeds, stage_epochs = [], []

    def record_arguments(model, images, epochs, seed, recipe, masks):
        seeds.append(seed)
        stage_epochs.append(epochs)

    monkeypatch.setattr(schedules, "train", record_arguments)
    schedules.prune_and_train(make_start(epochs=6), "l1", "gradual", 0.5)
    assert len(set(seeds)) == 4 and sum(stage_epochs) == 6


def test_saliency_of_a_linear_model_by_hand():
    """dL/dW = mean of (softmax - one-hot) x': for W = 0 on two classes that is -x/2 and x/2 for an image of class 0."""
    few = data.image_data_from_arrays("few", np.array([[[[51, 255]]], [[[102, 0]]]]), np.array([0, 1]), classes=2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    weight = torch.tensor([[1.0, 2.0], [1.0, 2.0]])  # equal rows: the softmax is one half everywhere
    with torch.no_grad():
        model.get_parameter("1.weight").copy_(weight)
        model.get_parameter("1.bias").copy_(torch.tensor([3.0, 3.0]))
    scores = schedules.saliency(model, few)
    gradient = torch.tensor([[-0.2 + 0.4, -1.0], [0.2 - 0.4, 1.0]], dtype=torch.float64) / 4  # half, and mean of two
    torch.testing.assert_close(scores["1.weight"], (weight * gradient).abs(), rtol=1e-6, atol=0)
    assert scores["1.bias"].tolist() == [0, 0] and model[1].weight.grad is None
    kept = global_masks(scores, 0.5)  # prunes the biases and the first of two equal weights
    assert kept["1.weight"].tolist() == [[False, True], [True, True]] and kept["1.bias"].tolist() == [False, False]


def test_saliency_in_batches_agrees_with_autograd():
    model, few = small(), images(23)
    found = schedules.saliency(model, few, batch_size=5)
    loss = nn.functional.cross_entropy(model(few.batch(torch.arange(23))[0]), few.labels)
    loss.backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None
        torch.testing.assert_close(found[name], (weight * weight.grad).abs().double(), rtol=1e-4, atol=1e-8)


def test_at_a_minimum_with_weight_decay_saliency_orders_as_magnitude():
    """Where the gradient of L + decay |w|^2 / 2 is 0, |w dL/dw| is decay w^2."""
    decay, few = 0.01, images(30)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).double()
    few_images = few.batch(torch.arange(30))[0].double()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=500, tolerance_grad=1e-12, tolerance_change=0)

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(few_images), few.labels)
        loss = loss + decay / 2 * sum((p**2).sum() for p in model.parameters())
        loss.backward()
        return loss

    optimizer.step(closure)
    found = schedules.saliency(model.float(), few)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(found[name], decay * weight.detach().double() ** 2, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: schedules.prune_and_train(make_start(), "l1", "twice", 0.5),
            "rule 'twice': expected one of one-shot, small rate",
        ),
        (
            lambda: schedules.prune_and_train(make_start(), "l2", "one-shot", 0.5),
            "method 'l2': expected one of l1, .*snip",
        ),
        (lambda: schedules.iterative(CONFIG, 0.5, 5), "epochs 5: expected a multiple of 3, the rounds"),
        (lambda: schedules.one_shot(CONFIG, 0.5, 31), "epochs 31: expected at most 30, the parent's epochs"),
    ],
)
def test_invalid_arguments_raise_an_input_error(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_every_strategy_is_measured_once():
    jobs = measure.strategy_jobs((0.5, 0.9))
    assert len(jobs) == len(set(jobs)) == 2 * len(schedules.STRATEGIES) + 1 and jobs[0] == ("l1", "one-shot", 0.0)
    assert {rule for _, rule in schedules.STRATEGIES} == set(schedules.SCHEDULES)
