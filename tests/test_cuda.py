"""On a CUDA device, where there is one: the CPU's bits and its training, graphs for steps, side by side as alone."""

import numpy as np
import pytest
import torch
from sweeping import few
from torch import nn

import wmgp
from benchmarks.sweep import noise
from wmgp._histogram.measurement import measure
from wmgp.experiments import data, models
from wmgp.experiments.results import tables
from wmgp.experiments.sweep import job, runner
from wmgp.experiments.training import cuda_graphs, loop, recipes
from wmgp.experiments.training.sgd import Recipe
from wmgp.parameters import collect

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

PLAIN = Recipe(0.05, 0.9, 0.01, 64)


def small():
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(216, 10)
    return nn.Sequential(*layers)


def flat(model):
    return torch.cat([p.detach().cpu().flatten() for p in model.parameters()])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_histogram_and_all_that_follows_from_it_are_the_cpus(rng, dtype):
    """Two blocks and more of one tensor; nine in ten of another are zero; a small one that is not pruned."""
    values = {
        "a.weight": torch.tensor(rng.standard_t(3, 40_000_000), dtype=dtype).reshape(4000, -1),
        "b.bias": torch.tensor(rng.standard_normal(2_000_000) * (rng.random(2_000_000) < 0.1), dtype=dtype),
        "token": torch.randn(500).to(dtype),
    }
    there = {name: tensor.cuda() for name, tensor in values.items()}
    cpu, cuda = (measure(collect(source)).histogram for source in (values, there))
    for field in ("bins", "count", "low", "square"):
        np.testing.assert_array_equal(getattr(cuda, field), getattr(cpu, field))
    cpu, cuda = wmgp.analyze(values), wmgp.analyze(there)
    np.testing.assert_array_equal(cuda.front.cosine, cpu.front.cosine)
    np.testing.assert_array_equal(cuda.front.threshold, cpu.front.threshold)
    assert cuda.kurtosis == pytest.approx(cpu.kurtosis, rel=1e-10)
    assert cuda.tensors.pruned_at_optimal.tolist() == cpu.tensors.pruned_at_optimal.tolist()


@pytest.mark.parametrize("method", ["l1", "random", "l1_local", "l1_normalized", "lamp"])
def test_masks_are_the_cpus(method):
    here = models.build("resnet18", 0)
    there = models.build("resnet18", 0).cuda()
    expected, masks = (wmgp.global_masks(model, 0.37, method, generator=3) for model in (here, there))
    assert all(mask.is_cuda and torch.equal(mask.cpu(), expected[name]) for name, mask in masks.items())
    wmgp.apply_masks(there, masks)
    wmgp.apply_masks(here, expected)
    whole = models.build("resnet18", 0)
    assert wmgp.cosine_similarity(whole.cuda(), there) == pytest.approx(
        wmgp.cosine_similarity(whole.cpu(), here), abs=1e-12
    )


@pytest.mark.parametrize("recipe", [
    PLAIN,
    Recipe(0.05, 0.9, 0.01, 64, bfloat16=True),
    Recipe(0.05, 0.9, 0.01, 64, nesterov=True, one_cycle=True, crop=2, flip=True),
])  # fmt: skip
def test_cuda_trains_as_the_cpu_does_and_a_graph_as_its_steps(recipe, monkeypatch):
    """An epoch of masked steps: on the CPU, on the GPU one kernel after another, and there as a graph."""

    def weights(device, replayed):
        monkeypatch.setattr(loop, "GraphedStep", replayed)
        model, images = small(), data.load("digits", True, device)
        masks = wmgp.prune(model, 0.5)
        loop.train(model, images, 1, 0, recipe, masks)
        assert not any(p.cpu()[~masks[name]].any() for name, p in model.named_parameters())
        return flat(model)

    cpu, plain = weights("cpu", cuda_graphs.GraphedStep), weights("cuda", lambda step: step)
    graph, again = weights("cuda", cuda_graphs.GraphedStep), weights("cuda", cuda_graphs.GraphedStep)
    assert torch.equal(graph, again)
    torch.testing.assert_close(graph, plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(graph, cpu, rtol=0.05, atol=0.05 if recipe.bfloat16 else 2e-3)


@pytest.mark.parametrize("network", ["resnet18", "vgg11_bn", "mobilenet_v2"])
def test_a_seed_repeats_itself(network):
    """Parents by their recipe, an epoch of them."""
    images, config = (
        data.to_device(noise(models.IMAGE_SHAPES[network], 3000), "cuda"),
        recipes.experiment_config(network, "cifar10"),
    )
    trained = []
    for _ in range(2):
        trained.append(models.build(network, 0))
        loop.train(trained[-1], images, 1, 0, config.recipe)
    assert torch.equal(*map(flat, trained))


def test_side_by_side_is_as_alone():
    """Rows of a ResNet's prunes: fine-tuned on streams of their own at once, and one after another."""
    images = data.to_device(noise((3, 32, 32), 3000), "cuda")
    parent, tuning = (
        models.build("resnet18", 0).cuda(),
        recipes.experiment_config("resnet18", "cifar10", device="cuda").tuning,
    )
    before = loop.evaluate(parent, images)
    prunes = [("l1", 0.0), ("l1", 0.5), ("random", 0.5), ("l1", 0.99)]
    together = job.prune_and_finetune_side_by_side(parent, before, prunes, images, images, 1, tuning, 2)
    for prune, row in zip(prunes, together, strict=True):
        alone = job.prune_and_finetune(parent, before, *prune, images, images, 1, tuning, 2)
        assert {**row, "seconds": 0} == {**alone, "seconds": 0}


def test_a_sweep_on_a_gpu(tmp_path):
    table = tmp_path / "sweep.csv"
    assert runner.run([few(("l1", "random"))], table, 2, "cuda") == 32
    rows = tables.read(table)
    assert set(rows["device"]) == {"cuda"} and rows["accuracy"].between(0, 1).all()
