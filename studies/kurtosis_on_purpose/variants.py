"""One architecture, and the ways in which the kurtosis of its weights is moved on purpose.

Each `Variant` differs from the first in one thing: the law from which weights are drawn at the start (at the same
energy in every tensor), weight decay, an L1 penalty, the length of training, a reparameterisation that makes tails
heavy (`Power`), or a rescaling after training that leaves the outputs as they are (`rescaling`).
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
BASE = "nothing"  # is moved in the variant that all others are held against
PYTORCH_INIT = "uniform"  # PyTorch's law for convolutions and linear layers


@dataclass(frozen=True)
class Variant:
    """A way to train the network, and what of it was moved; the defaults are those of the base."""

    name: str
    moved: str
    law: str = PYTORCH_INIT  # of the weights at the start: one of `LAWS`
    decay: float | None = None  # weight decay; None: the config's
    penalty: float = 0.0  # the strength s of s sum |w| beside the loss
    length: float = 1.0  # of training, in multiples of the config's epochs
    power: float = 1.0  # alpha of `Power`
    rescaled: str = "as trained"  # what is done after training, by its name in `rescaled.of_chains`

    def config(self, base: ExperimentConfig) -> ExperimentConfig:
        """The config of this variant: the base's recipe and epochs, or others."""
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
    """The parameters of two or more dimensions: weights, without biases."""
    return [p for p in model.parameters() if p.ndim >= 2]


@torch.no_grad()
def redraw_weights(model: nn.Module, law: str, seed: int) -> None:
    """Draw the weights of two or more dimensions anew, in place; each tensor keeps its norm, and biases stay."""
    if law == PYTORCH_INIT:
        return
    generator = torch.Generator().manual_seed(seed)
    for weight in weight_tensors(model):
        drawn = INITIAL_DISTRIBUTIONS[law](tuple(weight.shape), generator)
        weight.copy_(drawn * (weight.double().norm() / drawn.norm()))


class PowerReparameterization(nn.Module):
    """w = v |v|^(alpha - 1): what is small learns slowly and stays small (Schwarz et al. 2021, arXiv:2110.00296).

    For alpha of 1, or of 2 or more: between them the gradient is not finite at zero.
    """

    def __init__(self, alpha: float):
        super().__init__()
        self.alpha = alpha

    def forward(self, v: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The weights of v."""
        return v * v.abs().pow(self.alpha - 1)

    def right_inverse(self, w: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The v of given weights, so that training begins from the same network."""
        return w.sign() * w.abs().pow(1 / self.alpha)


@contextmanager
def power_reparameterized(model: nn.Module, alpha: float) -> Generator[None, None, None]:
    """Meanwhile, the weights of two or more dimensions are `Power`s of what is trained; afterwards they are plain."""
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
    """Meanwhile, gradients of weights of two or more dimensions have that of strength sum |w| added: strength sign(w).

    Weights do not settle at zero but step about it, by no more than the learning rate times the strength.
    """
    weights = weight_tensors(model) if strength else []
    hooks = [w.register_hook(lambda g, w=w: g + strength * w.detach().sign()) for w in weights]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def train_variant(network: str, variant: Variant, seed: int, base: ExperimentConfig, data: ImageData) -> nn.Module:
    """The network of a variant, float32, trained on the data by its config; the same seed gives the same batches."""
    model, chosen = build(network, seed), variant.config(base)
    redraw_weights(model, variant.law, seed)
    with power_reparameterized(model, variant.power), l1_penalized(model, variant.penalty):
        train(model, data, chosen.epochs, seed, chosen.recipe)
    plain = build(network, seed)  # with its parameters in their usual order, which `powered` leaves changed
    plain.load_state_dict(model.state_dict())
    if variant.rescaled != "as trained":
        plain = chain_rescalings(plain, seed)[variant.rescaled](plain).float()
    return plain.to(data.images.device)


def layer_scale_spread(model: nn.Module) -> float:
    """The standard deviation of ln(root mean square) over the weights of two or more dimensions: 0 for equal scales."""
    logs = [math.log(w.detach().double().square().mean().sqrt().item()) for w in weight_tensors(model)]
    return float(torch.tensor(logs, dtype=torch.float64).std(correction=0))
