"""What the book calls networks, data sets and sweeps."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

NETWORKS = {
    "lenet5": "LeNet-5",
    "lenet_small": "LeNet Small",
    "resnet18": "ResNet18",
    "vgg11_bn": "VGG11 BN",
    "mobilenet_v2": "MobileNetV2",
    "vit": "small ViT",
}
DATA = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar10-jpeg": "CIFAR-10 (JPEG)",
    "digits": "digits",
    "imagenet-sample": "ImageNet sample",
}
SCRATCH = "scratch"  # the start of a network that was trained from its random initialisation


def display_name(network: str, data: str, start: str = SCRATCH) -> str:
    """A network on a data set, such as "LeNet-5 on MNIST"; names that the book does not know stay as they are.

    `start` is what a network's training began from; for all but random weights the name says so.
    """
    name = f"{NETWORKS.get(network, network)} on {DATA.get(data, data)}"
    return name if start == SCRATCH or data == "imagenet-sample" else f"{name}, from ImageNet"


def sweep_display_name(rows: "DataFrame") -> str:
    """A sweep by its rows (`results.with_facts`), which are of one kind: with its epochs unless there is one."""
    first = rows.iloc[0]
    epochs = int(first["epochs"])
    tuned = {0: ", not tuned", 1: ""}.get(epochs, f", {epochs} epochs")
    return display_name(first["network"], first["data"], first["start"]) + tuned
