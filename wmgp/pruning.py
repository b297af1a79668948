"""Compute masks, apply them to a module, and hand them to `torch.nn.utils.prune`.

Masks are a dict from parameter names to bool tensors of the parameters' shapes (True = kept).
"""

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool
from torch.nn.utils.prune import custom_from_mask

from .amounts import parse_amount
from .diagnostics import accumulated_zeros
from .errors import InputError
from .parameters import Pool, collect, source_name
from .pruning_methods import iter_masks
from .reparametrized_modules import Reparametrized, find_reparametrized

if TYPE_CHECKING:  # at run time, a model of another type raises an InputError with advice
    from torch import nn

Masks = dict[str, Bool[torch.Tensor, "..."]]
USE_APPLY_MASKS = "use wmgp.apply_masks after each step instead"
SAVE_AFTER_REMOVE = (
    "the state dict now holds NAME_orig and NAME_mask: call torch.nn.utils.prune.remove for each before saving"
)


def global_masks(
    source: Any,
    amount: float,
    method: str = "l1",
    pool: Pool = "weight_bias",
    generator: Any = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Masks:
    """Masks that prune a share of a source's pool: a dict of bool tensors of the parameters' shapes, True = kept.

    `amount` in [0, 1]: exactly round(amount * n_prunable) values are pruned ("l1_local": round(amount * n) of each
    tensor). `method`: "l1", "l1_local", "l1_normalized", "lamp" or "random". `generator`: a `torch.Generator`, a numpy
    Generator or a seed, for reproducible random masks. `source`, `pool`, `include` and `exclude` are those of
    `wmgp.analyze`. The source is not changed.

    Example:
        >>> import torch, wmgp
        >>> wmgp.global_masks({"a.weight": torch.tensor([3.0, -4.0, 1.0, 2.0])}, amount=0.5)
        {'a.weight': tensor([ True,  True, False, False])}
    """
    parameters = collect(source, pool, None, include, exclude)
    by_name = {p.name: p for p in parameters}
    masks = {}
    for name, kept in iter_masks(parameters, amount, method, generator):
        values = by_name[name].values
        mask = torch.from_numpy(kept).reshape(by_name[name].shape)
        masks[name] = mask.to(values.device) if isinstance(values, torch.Tensor) else mask
    return masks


def apply_masks(model: "nn.Module", masks: Masks) -> None:
    """Set the pruned values of a module to zero, in place.

    Raises `InputError`, before any change, for a name or shape that the model does not have and for a mask that is not
    a bool tensor. An optimizer step can change the zeros again: apply the masks after each step of fine-tuning, or use
    `wmgp.pruning.to_torch_prune`. Under weight norm, v gets zeros and g is scaled such that the effective weight is the
    masked one; a row that vanishes keeps its v and gets g = 0. Other parametrizations are refused.

    Example:
        >>> import torch, wmgp
        >>> model = torch.nn.Linear(10, 2)
        >>> masks = wmgp.global_masks(model, amount=0.5)
        >>> wmgp.apply_masks(model, masks)
        >>> sum(int((p == 0).sum()) for p in model.parameters())
        11
    """
    parameters = match_parameters(model, masks)
    for name in masks:
        require_maskable(name, parameters[name])
    for name, mask in masks.items():
        p = parameters[name]
        if isinstance(p, Reparametrized):
            p.apply_mask(mask)
            continue
        with torch.inference_mode() if p.is_inference() else torch.no_grad():  # inference tensors change only there
            p.masked_fill_(~mask.to(p.device), 0)


def prune(
    model: "nn.Module",
    amount: float | str,
    method: str = "l1",
    pool: Pool = "weight_bias",
    generator: Any = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Masks:
    """Prune a module in place and return the masks (see `wmgp.global_masks`).

    `amount`: a share in [0, 1], "optimal", "safe", "cosine=0.99", or "careful" (see `wmgp.Analysis`). "cosine=..." and
    "careful" require method "l1". Raises `InputError` for an invalid amount, method or model. A `UserWarning` says if
    method "random" adds to the zeros of an earlier prune.

    Example:
        >>> import torch, wmgp
        >>> model = torch.nn.Linear(10, 2)
        >>> masks = wmgp.prune(model, 0.5)
        >>> bool((model.weight[~masks["weight"]] == 0).all())
        True
    """
    require_module(model)
    if isinstance(amount, str):
        from .analysis import analyze

        amount = parse_amount(amount, method)(analyze(model, pool=pool, include=include, exclude=exclude)).amount
    masks = global_masks(model, amount, method, pool, generator, include, exclude)
    warned = list(accumulated_zeros(*_count_zeros(model, masks))) if method == "random" else []
    apply_masks(model, masks)
    for warning in warned:
        warnings.warn(warning, stacklevel=2)
    return masks


def _count_zeros(model: "nn.Module", masks: Masks) -> tuple[int, int, int]:
    """The numbers of values under the masks that are zero, that are pruned, and of all."""
    tensors = {p.name: p.tensor() for p in collect(model, "all") if p.name in masks}
    zeros = sum(int((p == 0).sum()) for p in tensors.values())
    return zeros, sum(int((~mask).sum()) for mask in masks.values()), sum(mask.numel() for mask in masks.values())


def to_torch_prune(model: "nn.Module", masks: Masks) -> None:
    """Prune a module by `torch.nn.utils.prune`, whose hooks keep the zeros during fine-tuning.

    The module's state dict then holds NAME_orig and NAME_mask instead of NAME. Before you save the network, call
    `torch.nn.utils.prune.remove(module, "NAME")` for each, or the file loads only into a module pruned in the same way.
    A `UserWarning` says so.

    Raises `InputError`, before any change, for parameters where these hooks fail: parameters that two modules share,
    parameters of `nn.MultiheadAttention`, and weights that their module computes (weight norm, spectral norm, other
    parametrizations). Use `wmgp.apply_masks` for them.

    Example:
        >>> import torch, warnings, wmgp
        >>> from wmgp.pruning import to_torch_prune
        >>> model = torch.nn.Linear(10, 2)
        >>> with warnings.catch_warnings(action="ignore"):
        ...     to_torch_prune(model, wmgp.global_masks(model, amount=0.5))
        >>> [name for name, _ in model.named_buffers()]
        ['weight_mask', 'bias_mask']
        >>> for name in ("weight", "bias"):
        ...     _ = torch.nn.utils.prune.remove(model, name)
        >>> [name for name, _ in model.named_buffers()]
        []
    """
    parameters = match_parameters(model, masks)
    require_hookable(model, {name: parameters[name] for name in masks})
    warnings.warn(SAVE_AFTER_REMOVE, stacklevel=2)
    for name, mask in masks.items():
        module, _, parameter = name.rpartition(".")
        custom_from_mask(model.get_submodule(module), parameter, mask.to(parameters[name].device))


def require_module(model: Any) -> None:
    """Raise `InputError` if the model is not a module: state dicts and files are not pruned in place."""
    if not hasattr(model, "named_parameters"):
        raise InputError(
            f"model {source_name(model)}: expected a torch.nn.Module; global_masks takes mappings and files too, "
            "and the command wmgp prune writes files"
        )


def match_parameters(model: "nn.Module", masks: Mapping[str, Any]) -> "dict[str, nn.Parameter | Reparametrized]":
    """The model's parameters by name (NAME_orig if torch pruned NAME), and the weights that modules compute.

    Raises `InputError` for a mask that does not fit.
    """
    require_module(model)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    pruned = {name.removesuffix("_orig"): p for name, p in parameters.items() if name.endswith("_orig")}
    reparametrized = find_reparametrized(model)
    parts = {part: name for name, each in reparametrized.items() for part in each.parts}
    parameters = {**pruned, **parameters, **reparametrized}
    for name, mask in masks.items():
        if name in parts:
            raise InputError(f"{name}: is a part of {parts[name]}; expected a mask of {parts[name]}")
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


def require_maskable(name: str, parameter: "nn.Parameter | Reparametrized") -> None:
    """Raise `InputError` for a weight that its module computes in a way that a mask does not survive."""
    if isinstance(parameter, Reparametrized) and parameter.weight_norm is None:
        raise InputError(f"{name}: is computed by {parameter.kind} and cannot be masked; use {parameter.removal} first")


def require_hookable(model: "nn.Module", parameters: "Mapping[str, nn.Parameter | Reparametrized]") -> None:
    """Raise `InputError` for a parameter that two modules share or that belongs to nn.MultiheadAttention.

    A hook masks the weight when its own module is called. It does not mask another module's reference to the weight,
    and attention reads the weights of its projections without calling them. On a weight that the module computes, the
    order of the hooks would decide, and the weight would be that of the step before.
    """
    names: dict[int, list[str]] = defaultdict(list)
    for prefix, module in model.named_modules():  # yields a module once, even if it has several names
        for name, p in module.named_parameters(prefix, recurse=False, remove_duplicate=False):
            names[id(p)].append(name)
    attention = {id(p) for m in model.modules() if isinstance(m, torch.nn.MultiheadAttention) for p in m.parameters()}
    for name, p in parameters.items():
        if isinstance(p, Reparametrized):
            use = f"{USE_APPLY_MASKS}, or {p.removal} first" if p.weight_norm else f"use {p.removal} first"
            raise InputError(f"{name}: torch's hooks do not work on a weight computed by {p.kind}; {use}")
        if len(names[id(p)]) > 1:
            shared = " and ".join(names[id(p)])
            raise InputError(f"{name}: is both {shared}, and torch's hooks mask only one of them; {USE_APPLY_MASKS}")
        if id(p) in attention:
            raise InputError(f"{name}: torch's hooks do not work in nn.MultiheadAttention; {USE_APPLY_MASKS}")
