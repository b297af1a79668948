"""Rescalings that leave what a network computes as it is, and move what its weights say.

Multiply the weights and bias of a channel by a > 0, and divide by a what the next layer does with it: ReLU and
max-pooling pass positive factors on, so the outputs stay. A convolution before batch normalisation may be scaled by
itself, for its scale is divided away. Numbers that are read off the weights, and data-free in that sense, differ
between such networks (Mason-Williams et al. 2025 say so of theirs; Dinh et al. 2017, arXiv:1703.04933, of sharpness).

`balanced` is one network of all that can be reached by channels: that of the least norm, which is unique (Stock et al.
2019, arXiv:1902.10416). `folded` takes batch normalisation into the convolutions, so that their scale is gone.
"""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from wmgp.errors import InputError

SCALE_EQUIVARIANT = (nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Identity, nn.Dropout)  # what factors pass through
MAX_ITERATIONS, TOLERANCE = 1000, 1e-12  # of balancing: at most so many, and until no factor is farther from 1

WeightedLayer = nn.Conv2d | nn.Linear


def chain_layers(model: nn.Module) -> list[WeightedLayer]:
    """The layers of a network that is one chain of them, with nothing between that would not pass a factor on."""
    layers = [m for m in model.modules() if not list(m.children())]
    for layer in layers:
        grouped = isinstance(layer, nn.Conv2d) and layer.groups != 1
        if grouped or not isinstance(layer, (nn.Conv2d, nn.Linear, *SCALE_EQUIVARIANT)):
            raise InputError(f"{type(layer).__name__}: expected a chain of convolutions, linear layers and ReLU")
    found = [layer for layer in layers if isinstance(layer, WeightedLayer)]
    if len(found) < 2:
        raise InputError(f"{type(model).__name__}: expected at least two layers with weights")
    return found


@torch.no_grad()
def rescale_channels(model: nn.Module, factors: Sequence[float | Float[Tensor, " _"]]) -> nn.Module:
    """A copy of a chain that computes the same, in float64: a factor, or one a channel, for each layer but the last."""
    scaled = copy.deepcopy(model).double()
    layers = chain_layers(scaled)
    if len(factors) != len(layers) - 1:
        raise InputError(f"factors: expected {len(layers) - 1}, one for each layer but the last, got {len(factors)}")
    for layer, after, factor in zip(layers, layers[1:], factors, strict=False):
        each = torch.as_tensor(factor, dtype=torch.float64).expand(layer.weight.shape[0])
        if not bool((each > 0).all()):
            raise InputError("factors: expected numbers above 0")
        _scale_channels(layer, after, each)
    return scaled


def _scale_channels(layer: WeightedLayer, after: WeightedLayer, factor: Float[Tensor, " channels"]) -> None:
    """Multiply what makes each channel by its factor, and divide what uses it."""
    layer.weight.mul_(_along_first_dimension(factor, layer.weight.ndim))
    if layer.bias is not None:
        layer.bias.mul_(factor)
    uses = factor.repeat_interleave(after.weight.shape[1] // factor.numel())  # a flattened map has several
    after.weight.div_(_along_first_dimension(uses, after.weight.ndim).transpose(0, 1))


def _along_first_dimension(factor: Float[Tensor, " n"], ndim: int) -> Tensor:
    """The factors along the first of `ndim` dimensions."""
    return factor.reshape(-1, *[1] * (ndim - 1))


@torch.no_grad()
def balance(model: nn.Module) -> nn.Module:
    """The copy of a chain, in float64, with the least norm of all that compute the same by rescaled channels.

    There each channel's incoming weights and bias have the norm of its outgoing weights; found by setting one layer's
    channels after the other, round and round.
    """
    settled = copy.deepcopy(model).double()
    layers = chain_layers(settled)
    for _ in range(MAX_ITERATIONS):
        farthest = 0.0
        for layer, after in zip(layers, layers[1:], strict=False):
            channels = layer.weight.shape[0]
            made = layer.weight.flatten(1).pow(2).sum(1) + (0 if layer.bias is None else layer.bias.pow(2))
            used = after.weight.transpose(0, 1).reshape(channels, -1).pow(2).sum(1)
            live = (made > 0) & (used > 0)  # a channel that is dead on either side has no balance
            factor = torch.where(live, (used / made.clamp(min=1e-300)).pow(0.25), 1.0)
            _scale_channels(layer, after, factor)
            farthest = max(farthest, float((factor.log()).abs().max()))
        if farthest < TOLERANCE:
            break
    return settled


def conv_batch_norm_pairs(model: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Every convolution that is followed by its batch normalisation, as torchvision's networks register them."""
    leaves = [m for m in model.modules() if not list(m.children())]
    return [(a, b) for a, b in zip(leaves, leaves[1:], strict=False)
            if isinstance(a, nn.Conv2d) and isinstance(b, nn.BatchNorm2d)]  # fmt: skip


@torch.no_grad()
def rescale_before_batch_norm(model: nn.Module, spread: float, seed: int = 0) -> nn.Module:
    """A copy that computes the same in evaluation, in float64, each channel before batch normalisation scaled.

    By exp(spread z), z standard normal; the running statistics are those of the scaled channels.
    """
    scaled, generator = copy.deepcopy(model).double().eval(), torch.Generator().manual_seed(seed)
    for conv, norm in conv_batch_norm_pairs(scaled):
        assert norm.running_var is not None and norm.running_mean is not None
        factor = torch.exp(spread * torch.randn(conv.weight.shape[0], generator=generator, dtype=torch.float64))
        smallest = (norm.eps / (norm.running_var + norm.eps)).sqrt()  # below it a variance would be negative
        factor = torch.maximum(factor, smallest)
        conv.weight.mul_(_along_first_dimension(factor, 4))
        if conv.bias is not None:
            conv.bias.mul_(factor)
        norm.running_mean.mul_(factor)
        norm.running_var.copy_(factor**2 * (norm.running_var + norm.eps) - norm.eps)
    return scaled


@torch.no_grad()
def fold_batch_norm(model: nn.Module) -> nn.Module:
    """A copy that computes the same in evaluation, in float64, batch normalisation taken into the convolutions."""
    whole = copy.deepcopy(model).double().eval()
    norms = {}
    for conv, norm in conv_batch_norm_pairs(whole):
        assert norm.running_var is not None and norm.running_mean is not None
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        norms[norm] = nn.Identity()
    for parent in list(whole.modules()):
        for name, child in list(parent.named_children()):
            if child in norms:
                setattr(parent, name, norms[child])
    return whole
