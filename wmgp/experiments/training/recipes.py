"""How parents are trained and their prunes fine-tuned: one table, and what each choice rests on.

Stated by the authors, and for LeNet-5 on MNIST only: `REFERENCE`, for 25 epochs and for one epoch of fine-tuning. What
they do not state is chosen here:

- Fine-tuning is the reference recipe for every network, but on digits, where an epoch of it has six steps.
- A parent of another network is trained by a `strong` recipe: momentum with a triangle of learning rates (Smith &
  Topin 2019, arXiv:1708.07120), crops and flips as He et al. 2016 (arXiv:1512.03385, section 4.2), the decay of VGG
  from Simonyan & Zisserman 2015 (arXiv:1409.1556, section 3.1). Peak rates and epochs are ours: enough for a parent
  that is worth pruning and few enough for two CPU cores, where batches of 512 halve the time of ResNet18 and VGG11.
- `imagenet` starts torchvision's networks from its ImageNet weights, with a new last layer, and lower rates.
"""

from dataclasses import dataclass, replace
from typing import Any

from ...errors import InputError
from .sgd import REFERENCE, Recipe

RECIPES = ("reference", "strong", "imagenet")


@dataclass(frozen=True)
class ExperimentConfig:
    """A parent's recipe, epochs and starting weights (torchvision's, None: from scratch), and the fine-tuning's."""

    recipe: Recipe
    epochs: int
    weights: str | None = None
    tuning: Recipe = REFERENCE
    tuning_epochs: int = 1

    def settings(self) -> dict[str, Any]:
        """What decides the result, by name; the epochs of fine-tuning are named unless there is one."""
        epochs = {"tuning_epochs": self.tuning_epochs} if self.tuning_epochs != 1 else {}
        return {
            "parent_epochs": self.epochs,
            "recipe": self.recipe.settings(),
            "start": self.weights or "scratch",
            "tuning": self.tuning.settings(),
            **epochs,
        }

    def parent(self) -> tuple[Recipe, int, str | None]:
        """What decides the parent."""
        return self.recipe, self.epochs, self.weights


CROPPED = Recipe(0.1, 0.9, 5e-4, 128, nesterov=True, one_cycle=True, crop=4, flip=True)

# Network, recipe -> config.
CONFIGS = {
    ("lenet5", "reference"): ExperimentConfig(REFERENCE, 25),
    ("lenet5", "strong"): ExperimentConfig(Recipe(0.05, 0.9, 5e-4, 128, nesterov=True, one_cycle=True), 10),
    ("lenet_small", "reference"): ExperimentConfig(REFERENCE, 25),
    ("lenet_small", "strong"): ExperimentConfig(
        Recipe(0.05, 0.9, 5e-4, 128, nesterov=True, one_cycle=True, flip=True), 30
    ),
    ("resnet18", "reference"): ExperimentConfig(REFERENCE, 25),
    ("resnet18", "strong"): ExperimentConfig(replace(CROPPED, learning_rate=0.2, batch_size=512), 15),
    ("resnet18", "imagenet"): ExperimentConfig(replace(CROPPED, learning_rate=0.02), 10, "IMAGENET1K_V1"),
    ("vgg11_bn", "reference"): ExperimentConfig(REFERENCE, 25),
    ("vgg11_bn", "strong"): ExperimentConfig(
        replace(CROPPED, batch_size=512, crop=0), 8
    ),  # so few epochs see enough as it is
    ("vgg11_bn", "imagenet"): ExperimentConfig(replace(CROPPED, learning_rate=0.01), 10, "IMAGENET1K_V1"),
    ("mobilenet_v2", "reference"): ExperimentConfig(REFERENCE, 25),
    ("mobilenet_v2", "strong"): ExperimentConfig(replace(CROPPED, weight_decay=1e-4), 60),
    ("mobilenet_v2", "imagenet"): ExperimentConfig(
        replace(CROPPED, learning_rate=0.02, weight_decay=1e-4), 10, "IMAGENET1K_V1"
    ),
}
# 1,437 images: an epoch of the reference recipe has six steps, too few to learn or to recover anything.
DIGITS = ExperimentConfig(
    Recipe(0.05, 0.9, 5e-4, 32, nesterov=True, one_cycle=True), 20, tuning=Recipe(learning_rate=0.01, batch_size=32)
)

# Where half precision is faster, by network and device; elsewhere everything is float32.
BFLOAT16 = {
    *(("resnet18", "cpu"), ("vgg11_bn", "cpu")),
    *(("resnet18", "cuda"), ("vgg11_bn", "cuda"), ("mobilenet_v2", "cuda")),
}

# Test accuracy below which a parent is no evidence: it has not learnt what its prunes could lose.
MIN_PARENT_ACCURACY = {
    ("lenet5", "mnist"): 0.97,
    ("lenet5", "fashion_mnist"): 0.80,
    ("lenet_small", "cifar10"): 0.60,
    ("resnet18", "cifar10"): 0.78,
    ("vgg11_bn", "cifar10"): 0.80,
    ("mobilenet_v2", "cifar10"): 0.70,
    ("mobilenet_v2", "imagenet-sample"): 0.70,
    ("vit", "fashion_mnist"): 0.85,
}


def min_parent_accuracy(network: str, data: str) -> float | None:
    """The accuracy in `NEEDED` of a network on data of this name, JPEG copies among them; None where none is set."""
    return MIN_PARENT_ACCURACY.get((network, data.removesuffix("-jpeg")))


def default_recipe(network: str, data: str) -> str:
    """The recipe of a sweep that names none: as published where it is known to do, else the strong one."""
    return "reference" if network == "lenet5" and data in ("mnist", "fashion_mnist") else "strong"


def experiment_config(network: str, data: str, recipe: str | None = None, device: str = "cpu") -> ExperimentConfig:
    """The config of the table, with half precision where that is faster on this type of device (`cpu`, `cuda`)."""
    recipe = recipe or default_recipe(network, data)
    if (network, recipe) not in CONFIGS:
        known = ", ".join(name for which, name in CONFIGS if which == network) or "none"
        raise InputError(f"recipe {recipe!r}: expected one of {known} for network {network!r}")
    chosen = DIGITS if data == "digits" and recipe == "strong" else CONFIGS[network, recipe]
    if (network, device) not in BFLOAT16:
        return chosen
    faster = (replace(which, bfloat16=True) for which in (chosen.recipe, chosen.tuning))
    return replace(chosen, **dict(zip(("recipe", "tuning"), faster, strict=True)))
