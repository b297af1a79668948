"""Rescalings that change a network's weights but not its function.

Multiply the weights and bias of a channel by a > 0, and divide the next layer's weights for this channel by a. ReLU and
max-pooling commute with positive factors, so the outputs do not change. A convolution before batch normalisation can be
scaled alone, because the normalisation divides by its scale. Statistics of the weights (data-free measures) differ
between such networks (Mason-Williams et al. 2025 for their measures; Dinh et al. 2017, arXiv:1703.04933, for
sharpness).

`balance` returns the network of least norm among all channel rescalings, which is unique (Stock et al. 2019,
arXiv:1902.10416). `fold_batch_norm` merges batch normalisation into the convolutions, which removes their free scale.
"""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from wmgp.errors import InputError

SCALE_EQUIVARIANT = (nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Identity, nn.Dropout)  # commute with positive factors
MAX_ITERATIONS, TOLERANCE = 1000, 1e-12  # of balancing: stop if all log factors are below the tolerance

WeightedLayer = nn.Conv2d | nn.Linear


def chain_layers(model: nn.Module) -> list[WeightedLayer]:
    """Return the weighted layers of a chain, whose other layers must commute with positive factors; else InputError."""
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
    """Return an equivalent float64 copy of a chain: one factor, or one per channel, for each layer but the last."""
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
    """Multiply each channel's incoming weights and bias by its factor, and divide its outgoing weights."""
    layer.weight.mul_(_along_first_dimension(factor, layer.weight.ndim))
    if layer.bias is not None:
        layer.bias.mul_(factor)
    uses = factor.repeat_interleave(after.weight.shape[1] // factor.numel())  # a flattened channel has several inputs
    after.weight.div_(_along_first_dimension(uses, after.weight.ndim).transpose(0, 1))


def _along_first_dimension(factor: Float[Tensor, " n"], ndim: int) -> Tensor:
    """Return the factors along the first of `ndim` dimensions."""
    return factor.reshape(-1, *[1] * (ndim - 1))


@torch.no_grad()
def balance(model: nn.Module) -> nn.Module:
    """Return the float64 copy of a chain with the least norm among its channel rescalings.

    In it each channel's incoming weights and bias have the norm of its outgoing weights. The solver balances one layer
    after the other until convergence.
    """
    settled = copy.deepcopy(model).double()
    layers = chain_layers(settled)
    for _ in range(MAX_ITERATIONS):
        farthest = 0.0
        for layer, after in zip(layers, layers[1:], strict=False):
            channels = layer.weight.shape[0]
            made = layer.weight.flatten(1).pow(2).sum(1) + (0 if layer.bias is None else layer.bias.pow(2))
            used = after.weight.transpose(0, 1).reshape(channels, -1).pow(2).sum(1)
            live = (made > 0) & (used > 0)  # a channel with zero weights on one side cannot be balanced
            factor = torch.where(live, (used / made.clamp(min=1e-300)).pow(0.25), 1.0)
            _scale_channels(layer, after, factor)
            farthest = max(farthest, float((factor.log()).abs().max()))
        if farthest < TOLERANCE:
            break
    return settled


def conv_batch_norm_pairs(model: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return the pairs of a convolution and the batch normalisation registered next, as in torchvision's networks."""
    leaves = [m for m in model.modules() if not list(m.children())]
    return [(a, b) for a, b in zip(leaves, leaves[1:], strict=False)
            if isinstance(a, nn.Conv2d) and isinstance(b, nn.BatchNorm2d)]  # fmt: skip


@torch.no_grad()
def rescale_before_batch_norm(model: nn.Module, spread: float, seed: int = 0) -> nn.Module:
    """Return an equivalent float64 copy in evaluation mode, with each channel before batch normalisation rescaled.

    Factors are exp(spread z), z standard normal; the running statistics are adapted to the scaled channels.
    """
    scaled, generator = copy.deepcopy(model).double().eval(), torch.Generator().manual_seed(seed)
    for conv, norm in conv_batch_norm_pairs(scaled):
        assert norm.running_var is not None and norm.running_mean is not None
        factor = torch.exp(spread * torch.randn(conv.weight.shape[0], generator=generator, dtype=torch.float64))
        smallest = (norm.eps / (norm.running_var + norm.eps)).sqrt()  # below it a running variance would be negative
        factor = torch.maximum(factor, smallest)
        conv.weight.mul_(_along_first_dimension(factor, 4))
        if conv.bias is not None:
            conv.bias.mul_(factor)
        norm.running_mean.mul_(factor)
        norm.running_var.copy_(factor**2 * (norm.running_var + norm.eps) - norm.eps)
    return scaled


@torch.no_grad()
def fold_batch_norm(model: nn.Module) -> nn.Module:
    """Return an equivalent float64 copy in evaluation mode, with batch normalisation merged into the convolutions."""
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
