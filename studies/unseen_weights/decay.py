"""Closed form of weight decay: the factor by which SGD shrinks a weight whose gradient is always zero."""

import numpy as np
from jaxtyping import Bool
from torch import Tensor, nn

from wmgp.analysis import analyze
from wmgp.experiments.training.sgd import Recipe


def decay_factor(recipe: Recipe, steps: int) -> float:
    """Return final weight / initial weight after `steps` steps of torch.optim.SGD without a gradient from the loss.

    The weight and its momentum obey a linear recursion (torch's documentation of SGD), run here in float64. For a small
    rate it is about exp(-weight decay x sum of rates / (1 - momentum)).
    """
    weight, buffer = 1.0, 0.0
    for step in range(steps):
        gradient = recipe.weight_decay * weight
        buffer = gradient if step == 0 else recipe.momentum * buffer + gradient
        change = gradient + recipe.momentum * buffer if recipe.nesterov else buffer
        weight -= recipe.learning_rate_at(step, steps) * change
    return weight


def steps_of(recipe: Recipe, images: int, epochs: int) -> int:
    """Return the number of steps: the last, smaller batch of an epoch is not dropped."""
    return epochs * -(-images // recipe.batch_size)


def scaled(model: nn.Module, unseen: dict[str, Bool[Tensor, "..."]], factor: float) -> dict[str, Tensor]:
    """Return the model's parameters, the unseen ones multiplied by `factor`."""
    return {
        name: p.detach() * (1 + (factor - 1) * unseen[name].to(p.dtype).cpu()) for name, p in model.named_parameters()
    }


def amounts_when_shrunk(
    model: nn.Module, unseen: dict[str, Bool[Tensor, "..."]], factors: tuple[float, ...], cosine: float = 0.99
) -> np.ndarray:
    """Return the largest amounts of L1 pruning at this cosine, with the unseen weights shrunk by each factor."""
    return np.array([analyze(scaled(model, unseen, factor)).at_cosine(cosine).amount for factor in factors])
