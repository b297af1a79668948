"""Pruning strategies: a method and a schedule that lead from a trained parent to a pruned, trained network.

A schedule (column `rule`) turns an amount and a number of epochs into stages. A stage prunes the network, may rewind
the remaining weights to an earlier epoch of the parent's training, and trains for some epochs. All schedules train for
the same number of epochs. Unless stated otherwise, a stage that has n epochs left uses the learning rates of the
parent's last n epochs: learning-rate rewinding (Renda et al. 2020, arXiv:2003.02389).
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from wmgp.errors import InputError
from wmgp.experiments.data import ImageData
from wmgp.experiments.training.loop import train
from wmgp.experiments.training.recipes import ExperimentConfig
from wmgp.experiments.training.sgd import Recipe
from wmgp.pruning import apply_masks, global_masks
from wmgp.pruning_methods import METHODS

Weights = dict[str, Float[Tensor, "..."]]
Masks = dict[str, Bool[Tensor, "..."]]

SNIP = "snip"
ROUNDS = 3  # of iterative pruning
STAGE_SEED_STEP = 1000  # added to the seed at each stage, for other batches


@dataclass(frozen=True)
class ScheduleTail(Recipe):
    """Learning rates of `epochs` of a parent's `total_epochs`, from `first_epoch` on."""

    total_epochs: int = 1
    first_epoch: int = 0
    epochs: int = 1

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate at a step of the tail, which has `steps` steps."""
        epoch_steps = steps // self.epochs
        return super().learning_rate_at(self.first_epoch * epoch_steps + step, self.total_epochs * epoch_steps)


@dataclass(frozen=True)
class Stage:
    """Prune to `amount`, rewind the weights to epoch `rewind_to` of the parent's training unless None, and train."""

    amount: float
    epochs: int
    recipe: Recipe
    rewind_to: int | None = None


@dataclass(frozen=True)
class Start:
    """Input of every strategy: a parent, its training config, its early weights by epoch, and the training images.

    `epochs` is the number of training epochs after pruning. The seed decides the order of batches and random masks.
    """

    parent: nn.Module
    config: ExperimentConfig
    early: Mapping[int, Weights]
    data: ImageData
    epochs: int
    seed: int


def schedule_tail(config: ExperimentConfig, epochs_left: int, epochs: int) -> ScheduleTail:
    """Return the parent's learning rates from `epochs_left` epochs before its end, for `epochs` epochs."""
    if not 0 < epochs <= epochs_left <= config.epochs:
        raise InputError(f"epochs {epochs_left}: expected at most {config.epochs}, the parent's epochs")
    return ScheduleTail(
        **asdict(config.recipe), total_epochs=config.epochs, first_epoch=config.epochs - epochs_left, epochs=epochs
    )


def one_shot(config: ExperimentConfig, amount: float, epochs: int) -> list[Stage]:
    """Prune once; train at the learning rates of the parent's last epochs."""
    return [Stage(amount, epochs, schedule_tail(config, epochs, epochs))]


def small_rate(config: ExperimentConfig, amount: float, epochs: int) -> list[Stage]:
    """Prune once; train at the small, constant learning rate of fine-tuning (Han et al. 2015, arXiv:1506.02626)."""
    return [Stage(amount, epochs, config.tuning)]


def weights_rewound(config: ExperimentConfig, amount: float, epochs: int) -> list[Stage]:
    """Prune once; rewind the remaining weights by `epochs` epochs and train as the parent was trained from there."""
    return [Stage(amount, epochs, schedule_tail(config, epochs, epochs), config.epochs - epochs)]


def gradual(config: ExperimentConfig, amount: float, epochs: int) -> list[Stage]:
    """Prune a little more before each epoch, along a cubic, until a third of the epochs is left (`cubic_amount`)."""
    steps = max(epochs * 2 // 3, 1)
    lengths = [1] * (steps - 1) + [epochs - steps + 1]
    return [
        Stage(cubic_amount(amount, (i + 1) / steps), length, schedule_tail(config, epochs - i, length))
        for i, length in enumerate(lengths)
    ]


def iterative(config: ExperimentConfig, amount: float, epochs: int) -> list[Stage]:
    """Prune the same share of the remaining weights in each of `ROUNDS` rounds; train at the parent's last rates."""
    if epochs % ROUNDS:
        raise InputError(f"epochs {epochs}: expected a multiple of {ROUNDS}, the rounds of iterative pruning")
    length = epochs // ROUNDS
    amounts = [1 - (1 - amount) ** (i / ROUNDS) for i in range(1, ROUNDS)]
    return [Stage(each, length, schedule_tail(config, length, length)) for each in (*amounts, amount)]


def iterative_rewound(config: ExperimentConfig, amount: float, epochs: int) -> list[Stage]:
    """Prune iteratively, and rewind the remaining weights in each round (Frankle et al. 2020, arXiv:1912.05671)."""
    rewind_to = config.epochs - epochs // ROUNDS
    return [Stage(s.amount, s.epochs, s.recipe, rewind_to) for s in iterative(config, amount, epochs)]


SCHEDULES: dict[str, Callable[[ExperimentConfig, float, int], list[Stage]]] = {
    "one-shot": one_shot,
    "small rate": small_rate,
    "weights rewound": weights_rewound,
    "gradual": gradual,
    "iterative": iterative,
    "iterative, weights rewound": iterative_rewound,
}
# (method, schedule) -> name in the book: first all methods with one schedule, then all schedules of L1.
STRATEGIES = {
    ("l1", "one-shot"): "L1",
    ("l1_local", "one-shot"): "L1 per tensor",
    ("lamp", "one-shot"): "LAMP",
    (SNIP, "one-shot"): "SNIP",
    ("random", "one-shot"): "random",
    ("l1", "small rate"): "L1, small rate",
    ("l1", "weights rewound"): "L1, weights rewound",
    ("l1", "gradual"): "gradual L1",
    ("l1", "iterative"): "iterative L1",
    ("l1", "iterative, weights rewound"): "iterative L1, rewound",
}


def cubic_amount(amount: float, done: float) -> float:
    """Return the amount after a share `done` in [0, 1] of the schedule: amount (1 - (1 - done)^3).

    Zhu & Gupta 2017 (arXiv:1710.01878, equation 1), from an initial amount of 0.
    """
    return amount * (1 - (1 - done) ** 3)


def rewind_epochs(config: ExperimentConfig, epochs: int) -> list[int]:
    """Return the epochs of the parent's training that the schedules rewind to."""
    stages = [stage for schedule in SCHEDULES.values() for stage in schedule(config, 0.5, epochs)]
    return sorted({stage.rewind_to for stage in stages if stage.rewind_to is not None})


def prune_and_train(start: Start, method: str, rule: str, amount: float) -> tuple[nn.Module, Masks]:
    """Return the pruned, trained network and its masks. The parent is not changed; pruned weights stay zero.

    `method`: one of `wmgp.global_masks`, or "snip". `rule`: one of `SCHEDULES`.
    """
    if rule not in SCHEDULES:
        raise InputError(f"rule {rule!r}: expected one of {', '.join(SCHEDULES)}")
    model, masks = copy.deepcopy(start.parent), {}
    for i, stage in enumerate(SCHEDULES[rule](start.config, amount, start.epochs)):
        masks = compute_masks(model, method, stage.amount, start.data, start.seed)
        if stage.rewind_to is not None:
            model.load_state_dict(start.early[stage.rewind_to])
        apply_masks(model, masks)
        train(model, start.data, stage.epochs, start.seed + STAGE_SEED_STEP * i, stage.recipe, masks)
    return model, masks


def compute_masks(model: nn.Module, method: str, amount: float, data: ImageData, seed: int) -> Masks:
    """Return masks by a method. Weights that are already zero are pruned first."""
    if method == SNIP:
        return global_masks(saliency(model, data), amount)
    if method not in METHODS:
        raise InputError(f"method {method!r}: expected one of {', '.join((*METHODS, SNIP))}")
    return global_masks(model, amount, method, generator=[seed, round(amount * 1e9)])


def saliency(model: nn.Module, data: ImageData, batch_size: int = 1000) -> Weights:
    """Return |w dL/dw| of every parameter, float64; L is the mean cross-entropy over all images, without augmentation.

    SNIP's score (Lee et al. 2019, arXiv:1810.02340), here of trained weights. At a minimum reached with weight decay,
    dL/dw = -decay w, and the score orders the weights as the magnitude does.
    """
    probe = copy.deepcopy(model).eval().to(data.images.device)
    weights = dict(probe.named_parameters())
    sums = {name: torch.zeros_like(w, dtype=torch.float64) for name, w in weights.items()}
    for index in torch.arange(len(data), device=data.images.device).split(batch_size):
        images, labels = data.batch(index)
        loss = cross_entropy(probe(images), labels, reduction="sum")
        for total, gradient in zip(sums.values(), torch.autograd.grad(loss, list(weights.values())), strict=True):
            total += gradient
    return {name: (w.detach().double() * sums[name] / len(data)).abs() for name, w in weights.items()}
