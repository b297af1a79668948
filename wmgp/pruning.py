"""Masks as data, and applying them: a dict from parameter names to bool tensors (True = kept)."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool
from torch.nn.utils.prune import custom_from_mask

from .amounts import parse_amount
from .errors import InputError
from .parameters import Pool, collect, source_name
from .pruning_methods import iter_masks

if TYPE_CHECKING:  # at run time, a model of another type raises an InputError with advice
    from torch import nn

Masks = dict[str, Bool[torch.Tensor, "..."]]
USE_APPLY_MASKS = "use wmgp.apply_masks after each step instead"


def global_masks(
    source: Any, amount: float, method: str = "l1", pool: Pool = "weight_bias", generator: Any = None
) -> Masks:
    """Masks that prune a share of a source's pool: name -> bool tensor of the parameter's shape, True = kept.

    `amount` in [0, 1]; round(amount * n_prunable) values are pruned, exactly (with "l1_local", round(amount * n) of
    each tensor). `method`: "l1", "l1_local", "l1_normalized", "lamp" or "random". `generator`: a `torch.Generator`, a
    numpy Generator or a seed; the same one gives the same random masks. Source and pool as for `wmgp.analyze`. Changes
    nothing in the source.
    """
    parameters = collect(source, pool)
    by_name = {p.name: p for p in parameters}
    masks = {}
    for name, kept in iter_masks(parameters, amount, method, generator):
        values = by_name[name].values
        mask = torch.from_numpy(kept).reshape(by_name[name].shape)
        masks[name] = mask.to(values.device) if isinstance(values, torch.Tensor) else mask
    return masks


def apply_masks(model: "nn.Module", masks: Masks) -> None:
    """Set what the masks do not keep to zero, in place.

    Raises `InputError`, before anything is changed, for a name or shape not in the model and for a mask that is no bool
    tensor. Nothing holds the zeros afterwards: there are no hooks. Apply again after each step of a fine-tuning, or use
    `wmgp.pruning.to_torch_prune`.
    """
    parameters = match_parameters(model, masks)
    with torch.no_grad():
        for name, mask in masks.items():
            parameters[name].masked_fill_(~mask.to(parameters[name].device), 0)


def prune(
    model: "nn.Module",
    amount: float | str,
    method: str = "l1",
    pool: Pool = "weight_bias",
    generator: Any = None,
) -> Masks:
    """Prune a module in place and return the masks (see `global_masks`).

    `amount`: a share in [0, 1], "optimal", "safe", "cosine=0.99" or "careful": the smaller of the safe amount and that
    of cosine 0.99, and the latter where no amount is safe. These two answer for method "l1" only.
    """
    require_module(model)
    if isinstance(amount, str):
        from .analysis import analyze

        amount = parse_amount(amount, method)(analyze(model, pool=pool)).amount
    masks = global_masks(model, amount, method, pool, generator)
    apply_masks(model, masks)
    return masks


def to_torch_prune(model: "nn.Module", masks: Masks) -> None:
    """Hand the masks over to `torch.nn.utils.prune`, whose hooks then hold the zeros while the module is trained.

    Raises `InputError` where they would not, before anything is changed: for a parameter that two modules share, and
    for those of `nn.MultiheadAttention`. Use `apply_masks` there.
    """
    parameters = match_parameters(model, masks)
    require_hookable(model, {name: parameters[name] for name in masks})
    for name, mask in masks.items():
        module, _, parameter = name.rpartition(".")
        custom_from_mask(model.get_submodule(module), parameter, mask.to(parameters[name].device))


def require_module(model: Any) -> None:
    """Raise `InputError` for what is no module: a state dict or a file, say, which are not pruned in place."""
    if not hasattr(model, "named_parameters"):
        raise InputError(
            f"model {source_name(model)}: expected a torch.nn.Module; global_masks takes mappings and files too, "
            "and the command wmgp prune writes files"
        )


def match_parameters(model: "nn.Module", masks: Mapping[str, Any]) -> "dict[str, nn.Parameter]":
    """The model's parameters by name, once every mask is known to fit; a pruned weight's is its NAME_orig."""
    require_module(model)
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


def require_hookable(model: "nn.Module", parameters: "Mapping[str, nn.Parameter]") -> None:
    """Raise `InputError` where one of the parameters is held by two modules, or belongs to nn.MultiheadAttention.

    A hook sets a weight anew when its own module is called. It leaves another module's copy as it was, and attention
    reads its projections without calling them.
    """
    holders: dict[int, list[str]] = defaultdict(list)
    for where, module in model.named_modules():  # a module of several names comes once
        for name, p in module.named_parameters(where, recurse=False, remove_duplicate=False):
            holders[id(p)].append(name)
    attention = {id(p) for m in model.modules() if isinstance(m, torch.nn.MultiheadAttention) for p in m.parameters()}
    for name, p in parameters.items():
        if len(holders[id(p)]) > 1:
            named = " and ".join(holders[id(p)])
            raise InputError(
                f"{name}: is both {named}, and torch's hooks hold the zeros of one of them; {USE_APPLY_MASKS}"
            )
        if id(p) in attention:
            raise InputError(f"{name}: torch's hooks do not work in nn.MultiheadAttention; {USE_APPLY_MASKS}")
