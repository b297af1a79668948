"""Ways from a trained parent to a pruned network, all in the same number of epochs: what is cut when, and the training.

A rule turns an amount and a number of epochs into stages. A stage prunes the network by a method, may set what it keeps
back to what the parent had earlier, and trains for some epochs. Wherever nothing else is said, a stage that is the
last n epochs of a way is trained at the rates of the parent's own last n epochs: learning-rate rewinding (Renda et al.
2020, arXiv:2003.02389).
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

SALIENCY = "snip"
ROUNDS = 3  # of iterative pruning
STAGE = 1000  # between the seeds of two stages, so that they do not see the same batches


@dataclass(frozen=True)
class Tail(Recipe):
    """A piece of a parent's training: `epochs` of its `whole` ones, from the epoch `first` on, at its rates there."""

    whole: int = 1
    first: int = 0
    epochs: int = 1

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step of the piece, which has `steps`."""
        an_epoch = steps // self.epochs
        return super().rate(self.first * an_epoch + step, self.whole * an_epoch)


@dataclass(frozen=True)
class Stage:
    """Prune to `amount`, go back to the weights of epoch `back_to` of the parent's training (None: do not), train."""

    amount: float
    epochs: int
    recipe: Recipe
    back_to: int | None = None


@dataclass(frozen=True)
class Start:
    """Where all ways begin: a parent, how it was trained, its weights after some earlier epochs, images, a seed.

    `epochs` are all that a way may train for. The seed decides the order of batches, and what a random prune takes.
    """

    parent: nn.Module
    config: ExperimentConfig
    early: Mapping[int, Weights]
    data: ImageData
    epochs: int
    seed: int


def tail(config: ExperimentConfig, left: int, epochs: int) -> Tail:
    """The parent's training from where it had `left` epochs to go, for `epochs` of them."""
    if not 0 < epochs <= left <= config.epochs:
        raise InputError(f"epochs {left}: expected at most those of the parent's training, {config.epochs}")
    return Tail(**asdict(config.recipe), whole=config.epochs, first=config.epochs - left, epochs=epochs)


def one_shot(config: ExperimentConfig, amount: float, epochs: int) -> list[Stage]:
    """Prune once; train at the rates of the parent's last epochs."""
    return [Stage(amount, epochs, tail(config, epochs, epochs))]


def small_rate(config: ExperimentConfig, amount: float, epochs: int) -> list[Stage]:
    """Prune once; train at the small constant rate of the config's fine-tuning (Han et al. 2015, arXiv:1506.02626)."""
    return [Stage(amount, epochs, config.tuning)]


def weights_rewound(config: ExperimentConfig, amount: float, epochs: int) -> list[Stage]:
    """Prune once; the kept weights go back to where they were so many epochs earlier, and are trained as then."""
    return [Stage(amount, epochs, tail(config, epochs, epochs), config.epochs - epochs)]


def gradual(config: ExperimentConfig, amount: float, epochs: int) -> list[Stage]:
    """Prune a little more before each epoch, along a cubic, until a third of the epochs is left (`cubic`)."""
    steps = max(epochs * 2 // 3, 1)
    lengths = [1] * (steps - 1) + [epochs - steps + 1]
    return [
        Stage(cubic(amount, (i + 1) / steps), length, tail(config, epochs - i, length))
        for i, length in enumerate(lengths)
    ]


def iterative(config: ExperimentConfig, amount: float, epochs: int) -> list[Stage]:
    """Prune in `ROUNDS` rounds, each the same share of what is left; in each, train at the parent's last rates."""
    if epochs % ROUNDS:
        raise InputError(f"epochs {epochs}: expected a multiple of {ROUNDS}, the rounds of iterative pruning")
    length = epochs // ROUNDS
    amounts = [1 - (1 - amount) ** (i / ROUNDS) for i in range(1, ROUNDS)]
    return [Stage(each, length, tail(config, length, length)) for each in (*amounts, amount)]


def iterative_rewound(config: ExperimentConfig, amount: float, epochs: int) -> list[Stage]:
    """The same, and in each round the kept weights go back (Frankle et al. 2020, arXiv:1912.05671)."""
    back_to = config.epochs - epochs // ROUNDS
    return [Stage(s.amount, s.epochs, s.recipe, back_to) for s in iterative(config, amount, epochs)]


RULES: dict[str, Callable[[ExperimentConfig, float, int], list[Stage]]] = {
    "one-shot": one_shot,
    "small rate": small_rate,
    "weights rewound": weights_rewound,
    "gradual": gradual,
    "iterative": iterative,
    "iterative, weights rewound": iterative_rewound,
}
# Method and rule of each way, and what the book calls it: at one schedule, who chooses; by one method, the schedules.
WAYS = {
    ("l1", "one-shot"): "L1",
    ("l1_local", "one-shot"): "L1 per tensor",
    ("lamp", "one-shot"): "LAMP",
    (SALIENCY, "one-shot"): "SNIP",
    ("random", "one-shot"): "random",
    ("l1", "small rate"): "L1, small rate",
    ("l1", "weights rewound"): "L1, weights rewound",
    ("l1", "gradual"): "gradual L1",
    ("l1", "iterative"): "iterative L1",
    ("l1", "iterative, weights rewound"): "iterative L1, rewound",
}


def cubic(amount: float, done: float) -> float:
    """The amount to have pruned when a share `done` of the way is gone: amount (1 - (1 - done)^3), from nothing.

    Zhu & Gupta 2017 (arXiv:1710.01878, equation 1): fast while there is much to prune, slow at the end.
    """
    return amount * (1 - (1 - done) ** 3)


def looked_back(config: ExperimentConfig, epochs: int) -> list[int]:
    """The epochs of the parent's training whose weights the rules go back to."""
    stages = [stage for rule in RULES.values() for stage in rule(config, 0.5, epochs)]
    return sorted({stage.back_to for stage in stages if stage.back_to is not None})


def follow(start: Start, method: str, rule: str, amount: float) -> tuple[nn.Module, Masks]:
    """The pruned and trained network of a way, and its masks; the parent stays as it is.

    `method`: one of `wmgp.global_masks`, or "snip". `rule`: one of `RULES`. What is pruned stays pruned.
    """
    if rule not in RULES:
        raise InputError(f"rule {rule!r}: expected one of {', '.join(RULES)}")
    model, masks = copy.deepcopy(start.parent), {}
    for number, stage in enumerate(RULES[rule](start.config, amount, start.epochs)):
        masks = chosen(model, method, stage.amount, start.data, start.seed)
        if stage.back_to is not None:
            model.load_state_dict(start.early[stage.back_to])
        apply_masks(model, masks)
        train(model, start.data, stage.epochs, start.seed + STAGE * number, stage.recipe, masks)
    return model, masks


def chosen(model: nn.Module, method: str, amount: float, data: ImageData, seed: int) -> Masks:
    """Masks by a method; what is zero already goes first, by magnitude and by saliency alike."""
    if method == SALIENCY:
        return global_masks(saliency(model, data), amount)
    if method not in METHODS:
        raise InputError(f"method {method!r}: expected one of {', '.join((*METHODS, SALIENCY))}")
    return global_masks(model, amount, method, generator=[seed, round(amount * 1e9)])


def saliency(model: nn.Module, data: ImageData, batch_size: int = 1000) -> Weights:
    """|w dL/dw| of every parameter, float64; L is the mean cross-entropy over the images, without augmentation.

    The score of SNIP (Lee et al. 2019, arXiv:1810.02340), here of trained weights and on all the images. Where training
    with a decay has come to rest, dL/dw = -decay w, and the order is that of the magnitudes.
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
