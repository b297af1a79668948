"""The authors' published method: prune a copy of the network at every amount of the grid.

The tests compare the package with it, and the benchmarks time it. The authors' notebook computes dot products in
float32, which for large networks gives a cosine that is wrong in the third digit or above 1; `exact` uses float64.
"""

import copy
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, prune


def pool(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """Return the prunable pool, (module, "weight" or "bias") pairs, as torch's `global_unstructured` takes it."""
    return [
        (module, name)
        for module in model.modules()
        for name in ("weight", "bias")
        if isinstance(getattr(module, name, None), nn.Parameter)
    ]


def pruned_copy(model: nn.Module, amount: float) -> nn.Module:
    """Return a copy of the model after a permanent global L1 prune of this amount, in [0, 1]."""
    pruned = copy.deepcopy(model)
    members = pool(pruned)
    prune.global_unstructured(members, pruning_method=prune.L1Unstructured, amount=float(amount))
    for module, name in members:
        prune.remove(module, name)
    return pruned


@torch.no_grad()
def cosine(parent: nn.Module, pruned: nn.Module, exact: bool = False) -> float:
    """Return the cosine similarity of two networks' parameters, clipped to 1 as published.

    `exact` matches parameters by name and computes in float64. The published vector has the order of `parameters()`.
    torch's `prune.remove` changes this order in modules whose parameters are not weight, then bias: the vectors of
    parent and pruned network then do not match.
    """
    if not exact:
        a, b = parameters_to_vector(parent.parameters()), parameters_to_vector(pruned.parameters())
        return float(torch.clip(torch.dot(a, b) / (torch.linalg.norm(a) * torch.linalg.norm(b)), max=1.0))
    others = dict(pruned.named_parameters())
    dots = torch.zeros(3, dtype=torch.float64)
    for name, p in parent.named_parameters():
        a, b = p.double().flatten(), others[name].double().flatten()
        dots += torch.stack([torch.dot(a, b), torch.dot(a, a), torch.dot(b, b)])
    return float(dots[0] / dots[1].sqrt() / dots[2].sqrt())


def front(model: nn.Module, amounts: Iterable[float], exact: bool = False) -> Float[Tensor, " grid"]:
    """Return the cosine (float64) of an L1 prune at each of these amounts, in [0, 1]."""
    return torch.tensor([cosine(model, pruned_copy(model, a), exact) for a in amounts], dtype=torch.float64)
