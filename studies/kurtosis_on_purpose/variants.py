"""Variants of the training of one architecture that change the kurtosis of its weights.

Each `Variant` differs from the base, the first, in one setting: the distribution of the initial weights (with the same
energy in every tensor), weight decay, an L1 penalty, the length of training, a reparameterisation that makes tails
heavy (`PowerReparameterization`), or a rescaling after training that does not change the outputs (`studies.rescaling`).
"""

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from studies.rescaling.measure import chain_rescalings
from wmgp.experiments.data import ImageData
from wmgp.experiments.models import build
from wmgp.experiments.training.loop import train
from wmgp.experiments.training.recipes import ExperimentConfig

Shape = tuple[int, ...]
BASE = "nothing"  # column `moved` of the base variant, which the others are compared with
PYTORCH_INIT = "uniform"  # PyTorch's default for convolutions and linear layers


@dataclass(frozen=True)
class Variant:
    """Training settings and the name of the changed setting (`moved`); the defaults are the base variant's."""

    name: str
    moved: str
    law: str = PYTORCH_INIT  # distribution of the initial weights: `PYTORCH_INIT` or a key of `INITIAL_DISTRIBUTIONS`
    decay: float | None = None  # weight decay; None: the config's
    penalty: float = 0.0  # strength s of the penalty s sum |w|
    length: float = 1.0  # of training, in multiples of the config's epochs
    power: float = 1.0  # alpha of `PowerReparameterization`
    rescaled: str = "as trained"  # rescaling after training: a key of `chain_rescalings`

    def config(self, base: ExperimentConfig) -> ExperimentConfig:
        """Return the config of this variant: the base's, with this variant's weight decay and epochs."""
        decay = base.recipe.weight_decay if self.decay is None else self.decay
        epochs = max(1, round(self.length * base.epochs))
        return replace(base, recipe=replace(base.recipe, weight_decay=decay), epochs=epochs)


VARIANTS = (
    Variant("as usual", BASE),
    Variant("two values", "initialisation", law="two values"),
    Variant("normal", "initialisation", law="normal"),
    Variant("Student-t", "initialisation", law="Student-t"),
    Variant("no decay", "weight decay", decay=0.0),
    Variant("decay 0.005", "weight decay", decay=5e-3),
    Variant("penalty 0.00003", "L1 penalty", penalty=3e-5),
    Variant("penalty 0.0001", "L1 penalty", penalty=1e-4),
    Variant("short", "training length", length=0.4),
    Variant("long", "training length", length=2.0),
    Variant("power 2", "power of the weights", power=2.0),
    Variant("power 3", "power of the weights", power=3.0),
    Variant("balanced", "rescaling", rescaled="balanced"),
    Variant("channels by chance", "rescaling", rescaled="channels by chance"),
)


def _two_values(shape: Shape, generator: torch.Generator) -> Tensor:
    """-1 or 1, kurtosis 1: no tails at all."""
    return torch.randint(2, shape, generator=generator).double() * 2 - 1


def _normal(shape: Shape, generator: torch.Generator) -> Tensor:
    """Gauss's, kurtosis 3."""
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _student_t(shape: Shape, generator: torch.Generator) -> Tensor:
    """Student's t with 3 degrees of freedom, whose kurtosis is infinite: a normal over the root of a mean square."""
    squares = torch.randn((3, *shape), generator=generator, dtype=torch.float64).square()
    return _normal(shape, generator) / squares.mean(0).sqrt()


INITIAL_DISTRIBUTIONS: dict[str, Callable[[Shape, torch.Generator], Tensor]] = {
    "two values": _two_values,
    "normal": _normal,
    "Student-t": _student_t,
}


def weight_tensors(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of two or more dimensions: weights, without biases."""
    return [p for p in model.parameters() if p.ndim >= 2]


@torch.no_grad()
def redraw_weights(model: nn.Module, law: str, seed: int) -> None:
    """Redraw the weights of two or more dimensions in place; each tensor keeps its norm, and biases do not change."""
    if law == PYTORCH_INIT:
        return
    generator = torch.Generator().manual_seed(seed)
    for weight in weight_tensors(model):
        drawn = INITIAL_DISTRIBUTIONS[law](tuple(weight.shape), generator)
        weight.copy_(drawn * (weight.double().norm() / drawn.norm()))


class PowerReparameterization(nn.Module):
    """w = v |v|^(alpha - 1): small weights learn slowly and stay small (Schwarz et al. 2021, arXiv:2110.00296).

    alpha must be 1, or at least 2: between 1 and 2 the gradient is not finite at zero.
    """

    def __init__(self, alpha: float):
        super().__init__()
        self.alpha = alpha

    def forward(self, v: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the weights w of v."""
        return v * v.abs().pow(self.alpha - 1)

    def right_inverse(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the v of given weights, so that training starts from the same network."""
        return w.sign() * w.abs().pow(1 / self.alpha)


@contextmanager
def power_reparameterized(model: nn.Module, alpha: float) -> Generator[None, None, None]:
    """Reparameterise the weights of convolutions and linear layers within the context; afterwards they are plain."""
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)] if alpha != 1 else []
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", PowerReparameterization(alpha))
    try:
        yield
    finally:
        for layer in layers:
            parametrize.remove_parametrizations(layer, "weight")


@contextmanager
def l1_penalized(model: nn.Module, strength: float) -> Generator[None, None, None]:
    """Add strength sign(w), the gradient of strength sum |w|, to gradients of weights of two or more dimensions.

    This holds within the context. Weights do not reach exactly zero: they oscillate around it, by at most the learning
    rate times the strength.
    """
    weights = weight_tensors(model) if strength else []
    hooks = [w.register_hook(lambda g, w=w: g + strength * w.detach().sign()) for w in weights]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def train_variant(network: str, variant: Variant, seed: int, base: ExperimentConfig, data: ImageData) -> nn.Module:
    """Return the network of a variant, float32, trained on the data by its config; equal seeds give equal batches."""
    model, chosen = build(network, seed), variant.config(base)
    redraw_weights(model, variant.law, seed)
    with power_reparameterized(model, variant.power), l1_penalized(model, variant.penalty):
        train(model, data, chosen.epochs, seed, chosen.recipe)
    plain = build(network, seed)  # parameters in their usual order, which parametrization changes
    plain.load_state_dict(model.state_dict())
    if variant.rescaled != "as trained":
        plain = chain_rescalings(plain, seed)[variant.rescaled](plain).float()
    return plain.to(data.images.device)


def layer_scale_spread(model: nn.Module) -> float:
    """Return the standard deviation of ln(RMS) over the tensors of two or more dimensions: 0 for equal scales."""
    logs = [math.log(w.detach().double().square().mean().sqrt().item()) for w in weight_tensors(model)]
    return float(torch.tensor(logs, dtype=torch.float64).std(correction=0))
