"""Stochastic gradient descent in which pruned weights stay zero, and its hyperparameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ...errors import InputError
from .cuda_graphs import combine_steps


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of SGD on cross-entropy; the defaults are the paper's (LeNet-5 on MNIST)."""

    learning_rate: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 256
    nesterov: bool = False
    one_cycle: bool = False  # the rate rises linearly over the first quarter of the steps, then falls to zero
    crop: int = 0  # pixels of padding for random crops; 0: no crops
    flip: bool = False  # mirror half of the images
    channels_last: bool = True  # memory format
    bfloat16: bool = False  # forward and backward pass; weights stay float32

    def settings(self) -> dict[str, Any]:
        """Return the first four fields, and every other field that differs from its default."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        required = list(values)[:4]
        return {name: value for name, (value, default) in values.items() if name in required or value != default}

    def learning_rate_at(self, step: int, steps: int) -> float:
        """Return the learning rate of a step in [0, `steps`) (1cycle: Smith & Topin 2019, arXiv:1708.07120)."""
        if not self.one_cycle:
            return self.learning_rate
        up = max(steps // 4, 1)
        return self.learning_rate * min((step + 1) / up, (steps - step) / max(steps - up, 1))


REFERENCE = Recipe()


class MaskedSGD:
    """SGD steps of several networks on the same batches, which set pruned weights back to zero after each update.

    `masks`: for each network, parameter name -> bool of the parameter's shape, True = kept. Raises InputError if a mask
    names no parameter.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        recipe: Recipe,
        masks: Sequence[Mapping[str, Bool[Tensor, "..."]]],
        device: torch.device,
    ):
        # A CUDA graph captures a float as a constant, but reads a tensor at every replay.
        rate = torch.tensor(recipe.learning_rate, device=device) if device.type == "cuda" else recipe.learning_rate
        self.recipe, self.device, self.rate = recipe, device, rate
        self.optimizers = [make_optimizer(model, recipe, rate) for model in models]
        self.pruned_bits = [_pruned_bits(*pair) for pair in zip(models, masks, strict=True)]
        self.models = list(models)
        self.step = combine_steps([self._step_function(number) for number in range(len(models))], device)

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the following steps."""
        if isinstance(self.rate, Tensor):
            self.rate.fill_(rate)
            return
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = rate

    def _step_function(self, number: int):
        """Return the step of one network."""
        model, optimizer, pruned_bits = self.models[number], self.optimizers[number], self.pruned_bits[number]

        def step(images: Tensor, labels: Tensor) -> None:
            optimizer.zero_grad()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bfloat16):
                loss = cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            _zero_pruned_weights(pruned_bits)

        return step


def make_optimizer(model: nn.Module, recipe: Recipe, rate: float | Tensor) -> torch.optim.SGD:
    """Return the recipe's optimizer: fused if the rate is a tensor, because others copy its value to the CPU."""
    implementation = {"fused": True} if isinstance(rate, Tensor) else {"foreach": True}
    sgd = torch.optim.SGD(
        model.parameters(), rate, recipe.momentum,
        weight_decay=recipe.weight_decay, nesterov=recipe.nesterov, **implementation,
    )  # fmt: skip
    sgd.param_groups[0]["lr"] = rate  # the same tensor, not a copy
    return sgd


INTEGER_DTYPES = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes per value


def _pruned_bits(model: nn.Module, masks: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Return, for each parameter with pruned weights, an integer view of its bits and its mask as integers.

    The mask is -1 (all bits set) where a weight is kept and 0 where it is pruned.
    """
    parameters = dict(model.named_parameters())
    if unknown := set(masks) - set(parameters):
        raise InputError(f"mask {sorted(unknown)[0]!r}: the network has no such parameter")
    pruned_bits = []
    for name, mask in masks.items():
        if not mask.all():
            bits = parameters[name].detach().view(INTEGER_DTYPES[parameters[name].element_size()])
            pruned_bits.append((bits, torch.empty_like(bits).copy_(mask).neg_()))
    return pruned_bits


def _zero_pruned_weights(pruned_bits: list[tuple[Tensor, Tensor]]) -> None:
    """Set pruned weights to +0 by a bitwise AND: a product would keep NaN and -0, and `masked_fill_` is slower."""
    for bits, mask in pruned_bits:
        bits.bitwise_and_(mask)
