"""On a CUDA device, if available: histograms, masks and training equal the CPU's; CUDA graphs equal single steps."""

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
def test_the_histogram_and_the_analysis_equal_the_cpus(rng, dtype):
    """A tensor of several blocks, a tensor of mostly zeros, and a small unprunable tensor."""
    values = {
        "a.weight": torch.tensor(rng.standard_t(3, 40_000_000), dtype=dtype).reshape(4000, -1),
        "b.bias": torch.tensor(rng.standard_normal(2_000_000) * (rng.random(2_000_000) < 0.1), dtype=dtype),
        "token": torch.randn(500).to(dtype),
    }
    cuda_values = {name: tensor.cuda() for name, tensor in values.items()}
    cpu, cuda = (measure(collect(source)).histogram for source in (values, cuda_values))
    for field in ("bins", "count", "low", "square"):
        np.testing.assert_array_equal(getattr(cuda, field), getattr(cpu, field))
    cpu, cuda = wmgp.analyze(values), wmgp.analyze(cuda_values)
    np.testing.assert_array_equal(cuda.front.cosine, cpu.front.cosine)
    np.testing.assert_array_equal(cuda.front.threshold, cpu.front.threshold)
    assert cuda.kurtosis == pytest.approx(cpu.kurtosis, rel=1e-10)
    assert cuda.tensors.pruned_at_optimal.tolist() == cpu.tensors.pruned_at_optimal.tolist()


@pytest.mark.parametrize("method", ["l1", "random", "l1_local", "l1_normalized", "lamp"])
def test_masks_equal_the_cpus(method):
    on_cpu = models.build("resnet18", 0)
    on_cuda = models.build("resnet18", 0).cuda()
    expected, masks = (wmgp.global_masks(model, 0.37, method, generator=3) for model in (on_cpu, on_cuda))
    assert all(mask.is_cuda and torch.equal(mask.cpu(), expected[name]) for name, mask in masks.items())
    wmgp.apply_masks(on_cuda, masks)
    wmgp.apply_masks(on_cpu, expected)
    parent = models.build("resnet18", 0)
    assert wmgp.cosine_similarity(parent.cuda(), on_cuda) == pytest.approx(
        wmgp.cosine_similarity(parent.cpu(), on_cpu), abs=1e-12
    )


@pytest.mark.parametrize("recipe", [
    PLAIN,
    Recipe(0.05, 0.9, 0.01, 64, bfloat16=True),
    Recipe(0.05, 0.9, 0.01, 64, nesterov=True, one_cycle=True, crop=2, flip=True),
])  # fmt: skip
def test_training_equals_the_cpus_and_a_graph_equals_its_steps(recipe, monkeypatch):
    """One epoch of masked steps: on the CPU, on the GPU kernel by kernel, and on the GPU as a graph."""

    def train(device, graphed_step):
        monkeypatch.setattr(loop, "GraphedStep", graphed_step)
        model, images = small(), data.load("digits", True, device)
        masks = wmgp.prune(model, 0.5)
        loop.train(model, images, 1, 0, recipe, masks)
        assert not any(p.cpu()[~masks[name]].any() for name, p in model.named_parameters())
        return flat(model)

    cpu, plain = train("cpu", cuda_graphs.GraphedStep), train("cuda", lambda step: step)
    graph, repeated = train("cuda", cuda_graphs.GraphedStep), train("cuda", cuda_graphs.GraphedStep)
    assert torch.equal(graph, repeated)
    torch.testing.assert_close(graph, plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(graph, cpu, rtol=0.05, atol=0.05 if recipe.bfloat16 else 2e-3)


@pytest.mark.parametrize("network", ["resnet18", "vgg11_bn", "mobilenet_v2"])
def test_training_with_the_same_seed_gives_equal_weights(network):
    """One epoch of the parent's recipe."""
    images, config = (
        data.to_device(noise(models.IMAGE_SHAPES[network], 3000), "cuda"),
        recipes.experiment_config(network, "cifar10"),
    )
    trained = []
    for _ in range(2):
        trained.append(models.build(network, 0))
        loop.train(trained[-1], images, 1, 0, config.recipe)
    assert torch.equal(*map(flat, trained))


def test_fine_tuning_side_by_side_equals_one_by_one():
    """Prunes of a ResNet, each on its own CUDA stream at the same time, and one after another."""
    images = data.to_device(noise((3, 32, 32), 3000), "cuda")
    parent, tuning = (
        models.build("resnet18", 0).cuda(),
        recipes.experiment_config("resnet18", "cifar10", device="cuda").tuning,
    )
    before = loop.evaluate(parent, images)
    prunes = [("l1", 0.0), ("l1", 0.5), ("random", 0.5), ("l1", 0.99)]
    side_by_side = job.prune_and_finetune_side_by_side(parent, before, prunes, images, images, 1, tuning, 2)
    for prune, row in zip(prunes, side_by_side, strict=True):
        alone = job.prune_and_finetune(parent, before, *prune, images, images, 1, tuning, 2)
        assert {**row, "seconds": 0} == {**alone, "seconds": 0}


def test_a_sweep_on_a_gpu(tmp_path):
    table = tmp_path / "sweep.csv"
    assert runner.run([few(("l1", "random"))], table, 2, "cuda") == 32
    rows = tables.read(table)
    assert set(rows["device"]) == {"cuda"} and rows["accuracy"].between(0, 1).all()
