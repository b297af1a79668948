"""What a sweep runs over, and the sweeps that have a name."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from torch import nn

from .data import ImageData
from .recipes import DIGITS, Plan


def grid(steps: int) -> tuple[float, ...]:
    """`steps` + 1 amounts from 0 to 1, equally far apart."""
    return tuple((np.arange(steps + 1) / steps).round(10).tolist())


@dataclass(frozen=True)
class Sweep:
    """Every method at every amount for every seed, of one network on one data set.

    `recipe` is one of the network's in `recipes.PLANS`; a `plan` takes its place. `tuning_epochs` and
    `tuning_rate` are those of fine-tuning, where they are not the plan's. `build` (seed -> untrained network) and `load` (training images or not
    -> ImageData) take the place of the network and the data of that name.
    """

    network: str = "lenet5"
    data: str = "digits"
    methods: tuple[str, ...] = ("l1", "random")
    amounts: tuple[float, ...] = field(default=grid(20))
    seeds: tuple[int, ...] = tuple(range(10))
    recipe: str | None = None
    plan: Plan | None = None
    tuning_epochs: int | None = None
    tuning_rate: float | None = None
    build: Callable[[int], nn.Module] | None = None
    load: Callable[[bool], ImageData] | None = None


EVERY = ("l1", "random", "l1_local", "l1_normalized", "lamp")
FINE = grid(100)

LEARNT = (0, 1, *range(3, 11))  # seeds whose LeNet-5 parents on MNIST have learnt enough (`recipes.NEEDED`)
BENDS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)  # where a curve of few points is best measured
LONGER = (0.0, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98)  # small, middle and large prunes, fine-tuned for ten epochs

PRESETS: dict[str, tuple[Sweep, ...]] = {
    # Figures 1 and 2 as published, and the MobileNetV2 case: for GPUs.
    "paper": (
        *(Sweep(network, "cifar10", amounts=FINE) for network in ("resnet18", "vgg11_bn", "lenet_small")),
        Sweep("mobilenet_v2", "cifar10", EVERY, FINE, recipe="imagenet"),
        Sweep("mobilenet_v2", "cifar10", amounts=FINE),
    ),
    # What two CPU cores can do in a long night.
    "cpu": (
        Sweep("lenet5", "mnist", amounts=FINE, seeds=LEARNT),
        Sweep("lenet_small", "cifar10", amounts=FINE),
        Sweep("lenet5", "fashion_mnist", seeds=(0, 1, 2, 3, 4)),
        Sweep("resnet18", "cifar10", seeds=(0, 1, 2)),
        Sweep("mobilenet_v2", "cifar10", EVERY, grid(10), seeds=(0,), recipe="imagenet"),
        Sweep("mobilenet_v2", "cifar10", amounts=grid(10), seeds=(0,)),
        Sweep("vgg11_bn", "cifar10", amounts=BENDS, seeds=(0,)),
        Sweep("lenet_small", "cifar10", amounts=LONGER, seeds=(0, 1, 2, 3, 4), tuning_epochs=10),
        Sweep("resnet18", "cifar10", amounts=LONGER, seeds=(0,), tuning_epochs=10),
    ),
    # Two minutes on two cores, and no data needed.
    "quick": (Sweep(methods=EVERY, seeds=(0, 1, 2)),),
    # Seconds.
    "tiny": (Sweep(amounts=(0.0, 0.5, 0.9), seeds=(0,), plan=replace(DIGITS, epochs=1)),),
}
