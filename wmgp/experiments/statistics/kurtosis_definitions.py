"""Possible definitions of a network's kurtosis: the paper does not state which one it uses."""

from collections.abc import Mapping

import numpy as np
from torch import nn

from ...analysis import analyze
from ..models import build

POOLED = "weights and biases, pooled"  # the pool of the paper and of this package
DEFINITIONS = (
    POOLED,
    "the same without batch-norm, pooled",
    "tensors of 2 or more dimensions, pooled",
    "every parameter, pooled",
    "mean over the weight and bias tensors",
    "mean over the tensors of 2 or more dimensions",
)


def kurtosis_definitions(model: nn.Module) -> dict[str, float]:
    """Return the Pearson kurtosis of a network by each of `DEFINITIONS`; nan if undefined.

    Means omit tensors that are constant or have a single element.
    """
    norms = batch_norms(model)
    paper = analyze(model, amounts=2)
    pooled = [
        paper,
        analyze(model, amounts=2, pool=lambda name, _: is_weight_or_bias(name) and name not in norms),
        analyze(model, amounts=2, pool="weights"),
        analyze(model, amounts=2, pool="all"),
    ]
    table = paper.tensors
    named, many = table["name"].map(is_weight_or_bias), table["shape"].map(len) >= 2
    means = [_mean(table.loc[chosen, "kurtosis"].to_numpy()) for chosen in (named, many)]
    return dict(zip(DEFINITIONS, [*(a.kurtosis for a in pooled), *means], strict=True))


def at_initialisation(networks: Mapping[str, str], seed: int) -> dict[str, dict[str, float]]:
    """Return label -> kurtosis by definition, for untrained networks of `models.build` (label -> name) from `seed`."""
    return {label: kurtosis_definitions(build(name, seed)) for label, name in networks.items()}


def batch_norms(model: nn.Module) -> set[str]:
    """Return the names of the batch-norm parameters."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    modules = [(path, module) for path, module in model.named_modules() if isinstance(module, kinds)]
    return {f"{path}.{name}".lstrip(".") for path, module in modules for name, _ in module.named_parameters()}


def is_weight_or_bias(name: str) -> bool:
    """Return True if the paper's pool has parameters of this name."""
    return name.rpartition(".")[2] in ("weight", "bias")


def _mean(kurtoses: np.ndarray) -> float:
    defined = kurtoses[np.isfinite(kurtoses)]
    return float(defined.mean()) if defined.size else float("nan")
