"""Names of networks, data sets and sweeps in the book."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

NETWORK_NAMES = {
    "lenet5": "LeNet-5",
    "lenet_small": "LeNet Small",
    "resnet18": "ResNet18",
    "vgg11_bn": "VGG11 BN",
    "mobilenet_v2": "MobileNetV2",
    "vit": "small ViT",
}
DATA_NAMES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar10-jpeg": "CIFAR-10 (JPEG)",
    "digits": "digits",
    "imagenet-sample": "ImageNet sample",
}
SCRATCH = "scratch"  # the start of a network trained from a random initialisation


def display_name(network: str, data: str, start: str = SCRATCH) -> str:
    """Return the name of a network on a data set, such as "LeNet-5 on MNIST"; unknown names stay unchanged.

    `start`: the weights from which training started. The name mentions pretrained weights.
    """
    name = f"{NETWORK_NAMES.get(network, network)} on {DATA_NAMES.get(data, data)}"
    return name if start == SCRATCH or data == "imagenet-sample" else f"{name}, from ImageNet"


def sweep_display_name(rows: "DataFrame") -> str:
    """Return the name of a sweep from its rows (`tables.with_facts`); it has the epochs of fine-tuning unless 1."""
    first = rows.iloc[0]
    epochs = int(first["epochs"])
    tuned = {0: ", not tuned", 1: ""}.get(epochs, f", {epochs} epochs")
    return display_name(first["network"], first["data"], first["start"]) + tuned
