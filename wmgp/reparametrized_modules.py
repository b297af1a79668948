"""Weights that a module computes from other parameters: weight norm, spectral norm, and torch's parametrizations.

`reparametrizations` does the same for files.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .reparametrizations import DEFAULT_MIN_NORM, MIN_NORM, REMOVE, kept_axis

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

# The ends of the names of what torch's older hooks compute from; torch.nn.utils.prune adds the last _orig.
HOOK_PARTS = ("_g", "_v", "_orig", "_g_orig", "_v_orig", "_orig_orig")


@dataclass(frozen=True)
class Reparametrized:
    """A weight that its module computes; `hook` is torch's hook, or the module's list of parametrizations."""

    name: str  # of the weight, from the model's root
    tensor: str  # the weight's name in its module
    module: "nn.Module"
    hook: Any
    parts: tuple[str, ...]  # names of the parameters that it is computed from

    @property
    def is_parametrization(self) -> bool:
        """True for torch.nn.utils.parametrize, False for the older hooks."""
        return hasattr(self.hook, "original") or hasattr(self.hook, "original0")

    @property
    def kind(self) -> str:
        """The class of the hook or of the parametrizations, such as WeightNorm."""
        steps = self.hook if self.is_parametrization else [self.hook]
        return " and ".join(type(step).__name__.removeprefix("_") for step in steps)

    @property
    def removal(self) -> str:
        """The call that leaves the weight as an ordinary parameter."""
        if self.is_parametrization:
            return f"torch.nn.utils.parametrize.{REMOVE.format(self.tensor)}"
        norm = "weight_norm" if self.kind == "WeightNorm" else "spectral_norm"
        return f"torch.nn.utils.remove_{norm}(module, {self.tensor!r})"

    @property
    def device(self) -> "torch.device":
        """The device of its parts."""
        return next(self._parameters()).device

    @property
    def shape(self) -> "torch.Size":
        """The weight's shape."""
        return self.weight_norm[1].shape if self.weight_norm else self.effective().shape

    def effective(self) -> "Tensor":
        """The weight as the module computes it in evaluation. The module does not change."""
        import torch

        trains = any(p.requires_grad for p in self._parameters())
        with torch.no_grad():
            values = self._compute().detach()
        return values.clone().requires_grad_(trains) if values.is_floating_point() else values

    def _compute(self) -> "Tensor":
        if self.kind == "SpectralNorm" and not self.is_parametrization:
            return self.hook.compute_weight(self.module, do_power_iteration=False)
        if not self.is_parametrization:
            return self.hook.compute_weight(self.module)
        try:
            return copy.deepcopy(self.hook).eval()()  # a copy: its buffers may change, and its mode does
        except Exception as error:
            raise InputError(f"{self.name}: cannot be computed from its {self.kind}; use {self.removal}") from error

    def _parameters(self) -> "Iterator[nn.Parameter]":
        if self.is_parametrization:
            return iter(self.hook.parameters())
        own = dict(self.module.named_parameters(recurse=False))
        return (own[self.tensor + end] for end in HOOK_PARTS if self.tensor + end in own)

    @property
    def weight_norm(self) -> "tuple[nn.Parameter, nn.Parameter] | None":
        """Weight norm's g and v; None for anything else."""
        if self.kind != "WeightNorm":
            return None
        names = ("original0", "original1") if self.is_parametrization else (f"{self.tensor}_g", f"{self.tensor}_v")
        own = dict((self.hook if self.is_parametrization else self.module).named_parameters(recurse=False))
        g, v = (own.get(name) for name in names)
        return None if g is None or v is None else (g, v)

    def apply_mask(self, mask: "Tensor") -> None:
        """Change weight norm's g and v such that the weight is the masked one, as `stored_masks` does for a file."""
        import torch

        assert self.weight_norm
        g, v = self.weight_norm
        with torch.inference_mode() if v.is_inference() else torch.no_grad():
            kept, new_g = pruned_weight_norm(g, v, mask.to(v.device))
            v.masked_fill_(~kept, 0)
            g.copy_(new_g)
            if not self.is_parametrization:
                setattr(self.module, self.tensor, self.hook.compute_weight(self.module))


def pruned_weight_norm(g: "Tensor", v: "Tensor", mask: "Tensor") -> "tuple[Tensor, Tensor]":
    """The mask of v, and the new g, that make g v / |v| the masked weight (see `reparametrizations.stored_masks`)."""
    import torch

    axis = kept_axis(tuple(g.shape), tuple(v.shape))
    assert axis
    exact = torch.float32 if v.device.type == "mps" else torch.float64
    before = v.detach().to(exact).reshape(-1, *axis)  # [outer, factors, values that share one]
    norms, new_norms = (x.square().sum((0, 2)).sqrt() for x in (before, before * mask.reshape(-1, *axis)))
    vanishes = ~(new_norms >= MIN_NORM.get(str(v.dtype).removeprefix("torch."), DEFAULT_MIN_NORM))
    new_g = torch.where(vanishes, 0.0, g.detach().to(exact).reshape(-1) * new_norms / norms)
    kept = mask.reshape(-1, *axis) | vanishes[None, :, None]
    return kept.reshape(v.shape), new_g.reshape(g.shape)


def find_reparametrized(model: "nn.Module") -> dict[str, Reparametrized]:
    """The weights that the modules of a model compute, by name."""
    from torch.nn.utils.parametrize import is_parametrized
    from torch.nn.utils.spectral_norm import SpectralNorm
    from torch.nn.utils.weight_norm import WeightNorm

    found = {}
    for prefix, module in model.named_modules():
        start = f"{prefix}." if prefix else ""
        hooks: dict[int, Any] = vars(module)["_forward_pre_hooks"]
        for hook in hooks.values():
            if isinstance(hook, WeightNorm | SpectralNorm):
                parts = tuple(start + hook.name + end for end in HOOK_PARTS)
                found[start + hook.name] = Reparametrized(start + hook.name, hook.name, module, hook, parts)
        if is_parametrized(module):
            lists: Any = module.parametrizations
            for tensor, steps in lists.items():
                inner = f"{start}parametrizations.{tensor}."
                parts = tuple(inner + name for name, _ in steps.named_parameters(remove_duplicate=False))
                found[start + tensor] = Reparametrized(start + tensor, tensor, module, steps, parts)
    return found


def module_tensors(model: "nn.Module") -> dict[str, Any]:
    """The parameters of a module by name, with each effective weight in the place of its parts."""
    found = find_reparametrized(model)
    whole = {part: each for each in found.values() for part in each.parts}
    tensors: dict[str, Any] = {}
    for name, p in model.named_parameters():
        if name not in whole:
            tensors[name] = p
        elif whole[name].name not in tensors:
            tensors[whole[name].name] = whole[name].effective()
    return tensors
