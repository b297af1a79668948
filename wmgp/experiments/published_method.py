"""The authors' method as they published it, kept as the reference: an actual prune for every amount of the grid.

Used to check the package's fast way and to time it against. Their notebook's dot products are float32; `exact` takes
them in float64, without which the cosine of large networks is wrong in the third digit and exceeds 1.
"""

import copy
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, prune


def pool(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """Every weight and bias Parameter of every module: the pairs that torch's `global_unstructured` takes."""
    return [
        (module, name)
        for module in model.modules()
        for name in ("weight", "bias")
        if isinstance(getattr(module, name, None), nn.Parameter)
    ]


def pruned_copy(model: nn.Module, amount: float) -> nn.Module:
    """A copy of the model after a global L1 prune of this amount, made permanent."""
    pruned = copy.deepcopy(model)
    members = pool(pruned)
    prune.global_unstructured(members, pruning_method=prune.L1Unstructured, amount=float(amount))
    for module, name in members:
        prune.remove(module, name)
    return pruned


@torch.no_grad()
def cosine(parent: nn.Module, pruned: nn.Module, exact: bool = False) -> float:
    """Cosine similarity of the two networks' parameters, clipped to 1 as published; `exact`: by name, in float64.

    The published vector is in the order of `parameters()`, which torch's `prune.remove` can change: where a module's
    parameters are not weight then bias, two such vectors do not line up.
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
    """The cosine (float64) of a prune at each of these amounts, one prune after the other."""
    return torch.tensor([cosine(model, pruned_copy(model, a), exact) for a in amounts], dtype=torch.float64)
