"""The networks of the experiments, initialised from a seed."""

from collections import OrderedDict

import torch
from torch import nn

from ..errors import InputError

# Network -> shape of an image: channels, height, width.
IMAGE_SHAPES = {
    "lenet5": (1, 28, 28),
    **dict.fromkeys(("lenet_small", "resnet18", "vgg11_bn", "mobilenet_v2"), (3, 32, 32)),
}
NETWORKS = tuple(IMAGE_SHAPES)
DROPOUT_NETWORKS = ("vgg11_bn", "mobilenet_v2")


def build(name: str, seed: int, weights: str | None = None) -> nn.Module:
    """Return a network of `NETWORKS` with 10 outputs and PyTorch's default initialisation, drawn from `seed`.

    `lenet5` takes [n, 1, 28, 28] and has 61,706 parameters; `lenet_small` takes [n, 3, 32, 32] and has 62,006. The
    others are torchvision's networks for larger images. `weights`: name of torchvision's weights to start from, such as
    "IMAGENET1K_V1"; then only the last layer is drawn. The global random state does not change. Raises InputError if
    the network or its weights are unknown.
    """
    if name not in NETWORKS:
        raise InputError(f"network {name!r}: expected one of {', '.join(NETWORKS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == "lenet5":
            return _lenet(channels=1, padding=2)
        if name == "lenet_small":
            return _lenet(channels=3, padding=0)
        from torchvision import models

        if weights is None:
            return getattr(models, name)(num_classes=10)
        return _with_ten_outputs(_pretrained(name, weights))


def _pretrained(name: str, weights: str) -> nn.Module:
    """Return torchvision's pretrained network; its weights are downloaded unless torch's hub folder has them."""
    from torchvision import models

    try:
        return models.get_model(name, weights=weights)
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # no internet, a broken file, unknown weights
        folder = f"{torch.hub.get_dir()}/checkpoints"
        raise InputError(
            f"network {name!r}: weights {weights}: {error}; expected torchvision's file in {folder}"
        ) from error


def _with_ten_outputs(model: nn.Module) -> nn.Module:
    """Replace the last linear layer by a new one of 10 outputs."""
    name, last = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Linear)][-1]
    module, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(module), attribute, nn.Linear(last.in_features, 10))
    return model


def _lenet(channels: int, padding: int) -> nn.Sequential:
    """LeNet-5 with ReLU and max-pooling (LeCun et al. 1998, doi:10.1109/5.726791, used tanh and average pooling).

    ReLU follows max-pooling because it then has a quarter of the values. The two commute: outputs and gradients are
    bitwise those of ReLU before max-pooling.
    """
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(channels, 6, 5, padding=padding),  # [n, 6, 28, 28]
        "pool1": nn.MaxPool2d(2),  # [n, 6, 14, 14]
        "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(6, 16, 5),  # [n, 16, 10, 10]
        "pool2": nn.MaxPool2d(2),  # [n, 16, 5, 5]
        "relu2": nn.ReLU(),
        "flatten": nn.Flatten(),  # [n, 400]
        "fc1": nn.Linear(400, 120),
        "relu3": nn.ReLU(),
        "fc2": nn.Linear(120, 84),
        "relu4": nn.ReLU(),
        "fc3": nn.Linear(84, 10),  # [n, 10]
    }
    return nn.Sequential(OrderedDict(layers))
