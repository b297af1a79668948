"""Recipes for training parents and for fine-tuning, and the reasons for them.

The authors only state the recipe of LeNet-5 on MNIST: `REFERENCE`, for 25 epochs and for one epoch of fine-tuning. We
chose the rest:

- Fine-tuning uses the reference recipe for every network, except on digits, where its epoch has only six steps.
- Parents of other networks use a `strong` recipe: momentum with a 1cycle learning rate (Smith & Topin 2019,
  arXiv:1708.07120), crops and flips as He et al. 2016 (arXiv:1512.03385, section 4.2), the weight decay of VGG
  (Simonyan & Zisserman 2015, arXiv:1409.1556, section 3.1). Peak rates and epochs suffice for a parent worth pruning
  and are affordable on two CPU cores, where batches of 512 halve the time of ResNet18 and VGG11.
- `imagenet` starts from torchvision's ImageNet weights with a new last layer, and has lower learning rates.
"""

from dataclasses import dataclass, replace
from typing import Any

from ...errors import InputError
from .sgd import REFERENCE, Recipe


@dataclass(frozen=True)
class ExperimentConfig:
    """How parents are trained (`weights`: torchvision's initial weights; None: from scratch) and fine-tuned."""

    recipe: Recipe
    epochs: int
    weights: str | None = None
    tuning: Recipe = REFERENCE
    tuning_epochs: int = 1

    def settings(self) -> dict[str, Any]:
        """Return the settings that decide the result; `tuning_epochs` only if it is not 1."""
        epochs = {"tuning_epochs": self.tuning_epochs} if self.tuning_epochs != 1 else {}
        return {
            "parent_epochs": self.epochs,
            "recipe": self.recipe.settings(),
            "start": self.weights or "scratch",
            "tuning": self.tuning.settings(),
            **epochs,
        }

    def parent_training(self) -> tuple[Recipe, int, str | None]:
        """Return the fields that decide the parent: recipe, epochs, initial weights."""
        return self.recipe, self.epochs, self.weights


AUGMENTED_RECIPE = Recipe(0.1, 0.9, 5e-4, 128, nesterov=True, one_cycle=True, crop=4, flip=True)

# (network, recipe) -> config
CONFIGS = {
    ("lenet5", "reference"): ExperimentConfig(REFERENCE, 25),
    ("lenet5", "strong"): ExperimentConfig(Recipe(0.05, 0.9, 5e-4, 128, nesterov=True, one_cycle=True), 10),
    ("lenet_small", "reference"): ExperimentConfig(REFERENCE, 25),
    ("lenet_small", "strong"): ExperimentConfig(
        Recipe(0.05, 0.9, 5e-4, 128, nesterov=True, one_cycle=True, flip=True), 30
    ),
    ("resnet18", "reference"): ExperimentConfig(REFERENCE, 25),
    ("resnet18", "strong"): ExperimentConfig(replace(AUGMENTED_RECIPE, learning_rate=0.2, batch_size=512), 15),
    ("resnet18", "imagenet"): ExperimentConfig(replace(AUGMENTED_RECIPE, learning_rate=0.02), 10, "IMAGENET1K_V1"),
    ("vgg11_bn", "reference"): ExperimentConfig(REFERENCE, 25),
    # With only 8 epochs, crops are not needed.
    ("vgg11_bn", "strong"): ExperimentConfig(replace(AUGMENTED_RECIPE, batch_size=512, crop=0), 8),
    ("vgg11_bn", "imagenet"): ExperimentConfig(replace(AUGMENTED_RECIPE, learning_rate=0.01), 10, "IMAGENET1K_V1"),
    ("mobilenet_v2", "reference"): ExperimentConfig(REFERENCE, 25),
    ("mobilenet_v2", "strong"): ExperimentConfig(replace(AUGMENTED_RECIPE, weight_decay=1e-4), 60),
    ("mobilenet_v2", "imagenet"): ExperimentConfig(
        replace(AUGMENTED_RECIPE, learning_rate=0.02, weight_decay=1e-4), 10, "IMAGENET1K_V1"
    ),
}
# 1,437 images: an epoch of the reference recipe has six steps, too few to learn or to recover accuracy.
DIGITS_CONFIG = ExperimentConfig(
    Recipe(0.05, 0.9, 5e-4, 32, nesterov=True, one_cycle=True), 20, tuning=Recipe(learning_rate=0.01, batch_size=32)
)

# (network, device) pairs for which bfloat16 is faster; all others use float32.
BFLOAT16 = {
    *(("resnet18", "cpu"), ("vgg11_bn", "cpu")),
    *(("resnet18", "cuda"), ("vgg11_bn", "cuda"), ("mobilenet_v2", "cuda")),
}

# Least test accuracy of a parent. Below it, the parent has learnt too little to measure what pruning costs.
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
    """Return the entry of `MIN_PARENT_ACCURACY` for a network and data set (or its JPEG copy), if any."""
    return MIN_PARENT_ACCURACY.get((network, data.removesuffix("-jpeg")))


def default_recipe(network: str, data: str) -> str:
    """Return the published recipe if it is known to suffice, else `strong`."""
    return "reference" if network == "lenet5" and data in ("mnist", "fashion_mnist") else "strong"


def experiment_config(network: str, data: str, recipe: str | None = None, device: str = "cpu") -> ExperimentConfig:
    """Return the config of a network and data set, with bfloat16 if it is faster on the device type (`cpu`, `cuda`).

    `recipe`: "reference", "strong" or "imagenet"; the default is `default_recipe`. Raises InputError if the network has
    no such recipe.
    """
    recipe = recipe or default_recipe(network, data)
    if (network, recipe) not in CONFIGS:
        known = ", ".join(name for owner, name in CONFIGS if owner == network) or "none"
        raise InputError(f"recipe {recipe!r}: expected one of {known} for network {network!r}")
    config = DIGITS_CONFIG if data == "digits" and recipe == "strong" else CONFIGS[network, recipe]
    if (network, device) not in BFLOAT16:
        return config
    recipes = {"recipe": config.recipe, "tuning": config.tuning}
    return replace(config, **{name: replace(recipe, bfloat16=True) for name, recipe in recipes.items()})
