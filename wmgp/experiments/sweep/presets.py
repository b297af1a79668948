"""Settings of a sweep, and the presets."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from torch import nn

from ..data import ImageData
from ..results.formatting import format_amounts, format_integer_ranges
from ..training.recipes import DIGITS_CONFIG, ExperimentConfig


def grid(steps: int) -> tuple[float, ...]:
    """Return `steps` + 1 equally spaced amounts from 0 to 1."""
    return tuple((np.arange(steps + 1) / steps).round(10).tolist())


@dataclass(frozen=True)
class Sweep:
    """A sweep of every method, amount and seed, with one network and one data set.

    `recipe` names the network's recipe in `recipes.CONFIGS`; a `config` replaces it. `tuning_epochs` and `tuning_rate`
    replace the epochs and the learning rate of fine-tuning. `build` (seed -> untrained network) and `load` (True for
    the training split -> ImageData) replace the network and the data of the same name. `command` runs the sweep again,
    without its option --out; the default is `wmgp sweep` with these settings.
    """

    network: str = "lenet5"
    data: str = "digits"
    methods: tuple[str, ...] = ("l1", "random")
    amounts: tuple[float, ...] = field(default=grid(20))
    seeds: tuple[int, ...] = tuple(range(10))
    recipe: str | None = None
    config: ExperimentConfig | None = None
    tuning_epochs: int | None = None
    tuning_rate: float | None = None
    command: str | None = None
    build: Callable[[int], nn.Module] | None = None
    load: Callable[[bool], ImageData] | None = None


ALL_METHODS = ("l1", "random", "l1_local", "l1_normalized", "lamp")
PERCENT_GRID = grid(100)

CONVERGED_SEEDS = (0, 1, *range(3, 11))  # LeNet-5 parents on MNIST above `MIN_PARENT_ACCURACY`
HIGH_AMOUNTS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)  # for curves with few points
TEN_EPOCH_AMOUNTS = (0.0, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98)  # small, middle and large prunes, fine-tuned for ten epochs

PRESETS: dict[str, tuple[Sweep, ...]] = {
    # The paper's Figures 1 and 2, and its MobileNetV2 case. Needs a GPU.
    "paper": (
        *(Sweep(network, "cifar10", amounts=PERCENT_GRID) for network in ("resnet18", "vgg11_bn", "lenet_small")),
        Sweep("mobilenet_v2", "cifar10", ALL_METHODS, PERCENT_GRID, recipe="imagenet"),
        Sweep("mobilenet_v2", "cifar10", amounts=PERCENT_GRID),
    ),
    # One night on two CPU cores.
    "cpu": (
        Sweep("lenet5", "mnist", amounts=PERCENT_GRID, seeds=CONVERGED_SEEDS),
        Sweep("lenet_small", "cifar10", amounts=PERCENT_GRID),
        Sweep("lenet5", "fashion_mnist", seeds=(0, 1, 2, 3, 4)),
        Sweep("resnet18", "cifar10", seeds=(0, 1, 2)),
        Sweep("mobilenet_v2", "cifar10", ALL_METHODS, grid(10), seeds=(0,), recipe="imagenet"),
        Sweep("mobilenet_v2", "cifar10", amounts=grid(10), seeds=(0,)),
        Sweep("vgg11_bn", "cifar10", amounts=HIGH_AMOUNTS, seeds=(0,)),
        Sweep("lenet_small", "cifar10", amounts=TEN_EPOCH_AMOUNTS, seeds=(0, 1, 2, 3, 4), tuning_epochs=10),
        Sweep("resnet18", "cifar10", amounts=TEN_EPOCH_AMOUNTS, seeds=(0,), tuning_epochs=10),
    ),
    # Two minutes on two cores, with scikit-learn's digits.
    "quick": (Sweep(methods=ALL_METHODS, seeds=(0, 1, 2)),),
    # Seconds, for tests.
    "tiny": (Sweep(amounts=(0.0, 0.5, 0.9), seeds=(0,), config=replace(DIGITS_CONFIG, epochs=1)),),
}


def sweep_command(sweep: Sweep, out: Path) -> str:
    """Return the command that measures the sweep again, into the table of the same name in results/.

    Empty if the command line cannot express the sweep, such as one with a user's own network.
    """
    if sweep.command is None and (sweep.build or sweep.load or sweep.config):
        presets = [name for name, sweeps in PRESETS.items() if sweep in sweeps]
        command = f"wmgp sweep --preset {presets[0]}" if presets else ""
    else:
        command = sweep.command or f"wmgp sweep {_options(sweep)}"
    return command and f"{command} --out {shlex.quote(f'results/{out.name}')}"


def _options(sweep: Sweep) -> str:
    options = {
        "network": sweep.network,
        "data": sweep.data,
        "methods": " ".join(sweep.methods),
        "amounts": format_amounts(sweep.amounts),
        "seeds": format_integer_ranges(sweep.seeds),
        "recipe": sweep.recipe,
        "tuning-epochs": sweep.tuning_epochs,
        "tuning-rate": sweep.tuning_rate,
    }
    return " ".join(f"--{name} {value}" for name, value in options.items() if value is not None)
