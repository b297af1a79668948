"""Stochastic gradient descent: its recipe, and its steps, in which what is pruned stays zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ...errors import InputError
from .cuda_graphs import side_by_side


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent on cross-entropy; the defaults are the published run's."""

    learning_rate: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 256
    nesterov: bool = False
    one_cycle: bool = False  # the rate rises over the first quarter of the steps, then falls to nothing
    crop: int = 0  # crops at random from the image with a border of so many pixels
    flip: bool = False  # left to right, one image in two
    channels_last: bool = True  # in memory
    bfloat16: bool = False  # the forward and backward pass; the weights stay float32

    def settings(self) -> dict[str, Any]:
        """What decides the result, by name: the first four, and whatever else is not as published."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        always = list(values)[:4]
        return {name: value for name, (value, default) in values.items() if name in always or value != default}

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, from 0, out of `steps` (a triangle: Smith & Topin 2019, arXiv:1708.07120)."""
        if not self.one_cycle:
            return self.learning_rate
        up = max(steps // 4, 1)
        return self.learning_rate * min((step + 1) / up, (steps - step) / max(steps - up, 1))


REFERENCE = Recipe()


class MaskedSGD:
    """Steps of several networks on the same batches: forward, backward, update, and the pruned weights back to zero.

    `masks`: for each network, name -> bool of the parameter's shape, True = kept.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        recipe: Recipe,
        masks: Sequence[Mapping[str, Bool[Tensor, "..."]]],
        device: torch.device,
    ):
        # A graph keeps the numbers it was recorded with; a tensor it reads anew at every step.
        rate = torch.tensor(recipe.learning_rate, device=device) if device.type == "cuda" else recipe.learning_rate
        self.recipe, self.device, self.rate = recipe, device, rate
        self.optimizers = [optimizer(model, recipe, rate) for model in models]
        self.held = [_masked_parameters(*both) for both in zip(models, masks, strict=True)]
        self.models = list(models)
        self.step = side_by_side([self._stepping(number) for number in range(len(models))], device)

    def set_rate(self, rate: float) -> None:
        """The learning rate of the steps to come."""
        if isinstance(self.rate, Tensor):
            self.rate.fill_(rate)
            return
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = rate

    def _stepping(self, number: int):
        """The step of one of the networks."""
        model, optimizer, held = self.models[number], self.optimizers[number], self.held[number]

        def step(images: Tensor, labels: Tensor) -> None:
            optimizer.zero_grad()
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.bfloat16):
                loss = cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            _hold_at_zero(held)

        return step


def optimizer(model: nn.Module, recipe: Recipe, rate: float | Tensor) -> torch.optim.SGD:
    """The recipe's; with a rate that is a tensor the fused one, for the others would ask the device for its value."""
    way = {"fused": True} if isinstance(rate, Tensor) else {"foreach": True}
    made = torch.optim.SGD(
        model.parameters(), rate, recipe.momentum,
        weight_decay=recipe.weight_decay, nesterov=recipe.nesterov, **way,
    )  # fmt: skip
    made.param_groups[0]["lr"] = rate  # this very tensor
    return made


WHOLE = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # the integer of as many bytes


def _masked_parameters(model: nn.Module, masks: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """The bits of each parameter of which something is pruned, and what of them is kept: all ones, or all zeros."""
    parameters = dict(model.named_parameters())
    if unknown := set(masks) - set(parameters):
        raise InputError(f"mask {sorted(unknown)[0]!r}: the network has no such parameter")
    held = []
    for name, mask in masks.items():
        if not mask.all():
            bits = parameters[name].detach().view(WHOLE[parameters[name].element_size()])
            held.append((bits, torch.empty_like(bits).copy_(mask).neg_()))
    return held


def _hold_at_zero(held: list[tuple[Tensor, Tensor]]) -> None:
    """By bits: a product would leave NaN and the sign of zero behind, and `masked_fill_` is many times as slow."""
    for bits, kept in held:
        bits.bitwise_and_(kept)
