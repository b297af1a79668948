"""Real architectures and a real checkpoint: the front equals the authors' method in float64."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import wmgp
from wmgp.experiments import published_method

AMOUNTS = [0.01, 0.5, 0.83]


def heavy_tailed(net, seed=0):
    """The network with Student-t(4) weights in place of its initial weights."""
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.tensor(generator.standard_t(4, tuple(p.shape)) * 0.02))
    return net


def encoder():
    """A transformer: attention's weights are fused, and its output bias comes after its weight is registered."""
    layer = nn.TransformerEncoderLayer(128, 4, 512, batch_first=True)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)


def network(name):
    if name == "transformer":
        return heavy_tailed(encoder())
    models = pytest.importorskip("torchvision.models")
    if name == "mobilenet_v2":
        return heavy_tailed(models.mobilenet_v2())
    net = getattr(models, name)(num_classes=10)
    if name == "vgg11_bn":  # for 32x32 pixels; wide hidden layers would only cost time
        net.classifier = nn.Linear(512, 10)
    return heavy_tailed(net)


@pytest.mark.parametrize("name", [
    pytest.param("resnet18", marks=pytest.mark.slow), pytest.param("vgg11_bn", marks=pytest.mark.slow),
    "mobilenet_v2", "transformer",
])  # fmt: skip
def test_the_front_equals_the_authors_pruning(name):
    net = network(name)
    expected = published_method.front(net, AMOUNTS, exact=True).numpy()
    np.testing.assert_allclose(wmgp.pareto_front(net, AMOUNTS).cosine, expected, atol=1e-9, rtol=0)


@pytest.mark.slow
def test_the_authors_float32_cosine_is_not_exact():
    net = network("resnet18")
    error = published_method.front(net, [0.5], exact=False).numpy() - wmgp.pareto_front(net, [0.5]).cosine
    assert 1e-7 < abs(error[0]) < 1e-2


@pytest.fixture
def mobilenet_file():
    path = Path(torch.hub.get_dir()) / "checkpoints" / "mobilenet_v2-b0353104.pth"
    if not path.exists():
        pytest.skip("needs torchvision's ImageNet weights of MobileNetV2 in TORCH_HOME")
    return path


def test_a_checkpoint_and_its_module_have_the_same_analysis(mobilenet_file):
    a = wmgp.analyze(mobilenet_file)
    assert a.n_parameters == 3_504_872  # batch-norm statistics are not counted
    assert a.kurtosis_of_kurtoses == pytest.approx(67.4, abs=0.05)
    state = torch.load(mobilenet_file, weights_only=True)
    net = pytest.importorskip("torchvision.models").mobilenet_v2()
    net.load_state_dict(state)
    module = wmgp.analyze(net)
    np.testing.assert_array_equal(module.front.cosine, a.front.cosine)
    assert module.optimal == a.optimal and module.safe == a.safe
    values = np.sort(torch.cat([p.detach().flatten() for p in net.parameters()]).abs().double().numpy())
    kept = (values[a.optimal.n_pruned :] ** 2).sum() / (values**2).sum()
    assert a.optimal.cosine == pytest.approx(np.sqrt(kept), abs=1e-12)
    assert a.optimal.threshold == values[a.optimal.n_pruned - 1]
