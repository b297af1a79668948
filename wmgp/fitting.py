"""Whether masks fit a module, and whether the hooks of `torch.nn.utils.prune` would hold their zeros."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .parameters import label

if TYPE_CHECKING:
    from torch import nn

INSTEAD = "use wmgp.apply_masks after each step instead"


def refuse_others(model: Any) -> None:
    """Raise `InputError` for what is no module: a state dict or a file, say, which are not pruned in place."""
    if not hasattr(model, "named_parameters"):
        raise InputError(
            f"model {label(model)}: expected a torch.nn.Module; global_masks takes mappings and files too, "
            "and the command wmgp prune writes files"
        )


def checked(model: "nn.Module", masks: "Mapping[str, Any]") -> "dict[str, nn.Parameter]":
    """The model's parameters by name, once every mask is known to fit; a pruned weight's is its NAME_orig."""
    import torch

    refuse_others(model)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    pruned = {name.removesuffix("_orig"): p for name, p in parameters.items() if name.endswith("_orig")}
    parameters = {**pruned, **parameters}
    for name, mask in masks.items():
        if name not in parameters:
            raise InputError(f"{name}: the model has no such parameter")
        if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
            raise InputError(
                f"{name}: expected a mask of dtype bool, found {getattr(mask, 'dtype', type(mask).__name__)}"
            )
        if mask.shape != parameters[name].shape:
            raise InputError(
                f"{name}: expected a mask of shape {tuple(parameters[name].shape)}, found {tuple(mask.shape)}"
            )
    return parameters


def refuse_unheld(model: "nn.Module", parameters: "Mapping[str, nn.Parameter]") -> None:
    """Raise `InputError` where one of the parameters is held by two modules, or belongs to nn.MultiheadAttention.

    A hook sets a weight anew when its own module is called. It leaves another module's copy as it was, and attention
    reads its projections without calling them.
    """
    from torch.nn import MultiheadAttention

    holders: dict[int, list[str]] = defaultdict(list)
    for where, module in model.named_modules():  # a module of several names comes once
        for name, p in module.named_parameters(where, recurse=False, remove_duplicate=False):
            holders[id(p)].append(name)
    attention = {id(p) for m in model.modules() if isinstance(m, MultiheadAttention) for p in m.parameters()}
    for name, p in parameters.items():
        if len(holders[id(p)]) > 1:
            named = " and ".join(holders[id(p)])
            raise InputError(f"{name}: is both {named}, and torch's hooks hold the zeros of one of them; {INSTEAD}")
        if id(p) in attention:
            raise InputError(f"{name}: torch's hooks do not work in nn.MultiheadAttention; {INSTEAD}")
