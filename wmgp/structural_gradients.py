"""Gradients that show the structure of a module: random weights and inputs, and no units that can be dead.

ReLU and its relatives become a leaky ReLU, and max-pooling becomes average pooling, for a random draw must not hide a
weight behind a unit that happens to be off. An embedding reads all its rows if its indices come from the inputs.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from .errors import InputError

if TYPE_CHECKING:
    Gradients = dict[str, Float[Tensor, "..."]]

DRAWS = 4  # of weights and inputs: routes that depend on values (a maximum, top-k) differ between them
SLOPE = 0.5  # of the leaky ReLU: a slope of 1 would cancel relu(x) - relu(-x) or relu(x) + relu(-x)


class _Indices(Tensor):
    """An integer input. Results of operations on it have this class too, which shows that they depend on the inputs."""


def _leaky(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return F.leaky_relu(x, SLOPE)


def _clamp(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`original`, a clamp, as a leaky ReLU if its lower bound is 0."""

    def clamp(x: Tensor, *bounds: Any, **named: Any) -> Tensor:
        low = named.get("min", bounds[0] if bounds else None)
        return _leaky(x) if isinstance(low, int | float) and low == 0 else original(x, *bounds, **named)

    return clamp


def _average(original: Callable[..., Any], average: Callable[..., Tensor]) -> Callable[..., Any]:
    """`original`, a max-pooling, as average pooling over the same windows; dilated windows stay as they are."""

    def pool(x: Tensor, size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
             return_indices: bool = False) -> Any:  # fmt: skip
        if return_indices or dilation not in (1, (1,), (1, 1), (1, 1, 1), [1], [1, 1], [1, 1, 1]):
            return original(x, size, stride, padding, dilation, ceil_mode, return_indices)
        return average(x, size, stride, padding, ceil_mode)

    return pool


def _adaptive_average(original: Callable[..., Any], average: Callable[..., Tensor]) -> Callable[..., Any]:
    def pool(x: Tensor, size: Any, return_indices: bool = False) -> Any:
        return original(x, size, return_indices) if return_indices else average(x, size)

    return pool


def _embedding(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`original`, an embedding, plus a random mixture of all its rows if its indices come from the inputs."""

    def embed(indices: Tensor, weight: Tensor, *rest: Any, **named: Any) -> Tensor:
        plain = indices.as_subclass(Tensor)
        return _mixed(original(plain, weight, *rest, **named), weight, isinstance(indices, _Indices))

    return embed


def _index(table: Tensor, index: Any) -> Tensor:
    """`table[index]`, plus a random mixture of all rows if the index is a tensor that comes from the inputs."""
    is_input = isinstance(index, _Indices) and index.dtype != torch.bool and table.is_floating_point()
    return _mixed(table[index.as_subclass(Tensor)] if is_input else table[index], table, is_input)


def _mixed(rows: Tensor, table: Tensor, is_input: bool) -> Tensor:
    if not is_input:
        return rows
    share = torch.randn(len(table), dtype=torch.float64).to(table) / math.sqrt(len(table))
    return rows + torch.tensordot(share, table, 1)


_LEAKY = (
    F.relu, F.relu6, F.hardtanh, F.hardswish, F.hardsigmoid, F.threshold, F.relu_, F.hardtanh_,
    torch.relu, torch.relu_, torch.threshold, Tensor.relu, Tensor.relu_,
)  # fmt: skip
_CLAMPS = (torch.clamp, torch.clamp_min, Tensor.clamp, Tensor.clamp_, Tensor.clamp_min, Tensor.clamp_min_)
SURROGATES: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(_LEAKY, _leaky),
    **{clamp: _clamp(clamp) for clamp in _CLAMPS},
    **{pool: _average(pool, average) for pool, average in (
        (F.max_pool1d, F.avg_pool1d), (F.max_pool2d, F.avg_pool2d), (F.max_pool3d, F.avg_pool3d),
        (torch.max_pool1d, F.avg_pool1d), (torch.max_pool2d, F.avg_pool2d), (torch.max_pool3d, F.avg_pool3d),
    )},
    **{pool: _adaptive_average(pool, average) for pool, average in (
        (F.adaptive_max_pool1d, F.adaptive_avg_pool1d), (F.adaptive_max_pool2d, F.adaptive_avg_pool2d),
        (F.adaptive_max_pool3d, F.adaptive_avg_pool3d),
    )},
    F.embedding: _embedding(F.embedding),
    F.embedding_bag: _embedding(F.embedding_bag),
    Tensor.__getitem__: _index,
}  # fmt: skip


class Surrogates(TorchFunctionMode):
    """Replaces the functions in `SURROGATES` while a module runs."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (SURROGATES.get(func) or func)(*args, **(kwargs or {}))


class Probe:
    """A copy of `model` in evaluation mode that runs with random weights on random inputs; the model never changes.

    `example_inputs`: a tensor, a tuple of positional or a mapping of named arguments. Runs are on the CPU. Floating
    inputs are drawn, in the examples' shapes; all others are used as they are.
    """

    def __init__(self, model: nn.Module, example_inputs: Any):
        self.name = type(model).__name__
        self.model = _detached_copy(model).eval()
        named = isinstance(example_inputs, Mapping)
        positional = isinstance(example_inputs, tuple | list)
        self.arguments = () if named else tuple(example_inputs) if positional else (example_inputs,)
        self.named: dict[str, Any] = dict(example_inputs) if named else {}
        self.parameters = {name: p for name, p in self.model.named_parameters() if p.is_floating_point()}
        masks = {name.removesuffix("_orig") + "_mask" for name in self.parameters if name.endswith("_orig")}
        self.buffers = {name: torch.ones_like(b) if name in masks else b for name, b in self.model.named_buffers()}

    def draw(self, seed: int, dtype: torch.dtype) -> dict[str, Tensor]:
        """Random weights of a seed: a leaf for each parameter. Other precisions give the same numbers, rounded."""
        generator = torch.Generator().manual_seed(seed)
        return {name: _random_weight(p, generator).to(dtype) for name, p in self.parameters.items()}

    def run(self, weights: Mapping[str, Tensor], seed: int, surrogates: bool = True) -> list[Tensor]:
        """The floating-point outputs with these weights on the random inputs of a seed, in the weights' precision."""
        dtype = next(iter(weights.values())).dtype
        buffers = {name: b.to(dtype) if b.is_floating_point() else b.clone() for name, b in self.buffers.items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            arguments, named = pytree.tree_map(lambda x: _random_input(x, dtype), (self.arguments, self.named))
            try:
                with Surrogates() if surrogates else nullcontext():
                    outputs = functional_call(self.model, {**weights, **buffers}, arguments, named)
            except Exception as error:
                said = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise InputError(f"model {self.name}: cannot run on these inputs in {dtype}: {said}") from error
        leaves = [x.as_subclass(Tensor) for x in _leaves(outputs) if isinstance(x, Tensor)]
        return [x for x in leaves if x.is_floating_point() or x.is_complex()]

    def gradients(self, seed: int, dtype: torch.dtype) -> "Gradients":
        """Gradients of a random combination of the outputs; zeros for a parameter that the outputs do not use."""
        with torch.inference_mode(False), torch.enable_grad():
            weights = {name: w.requires_grad_() for name, w in self.draw(seed, dtype).items()}
            outputs = [x for x in self.run(weights, seed) if x.requires_grad]
            if not outputs:
                raise InputError(f"model {self.name}: expected floating-point outputs that depend on a parameter")
            generator = torch.Generator().manual_seed(seed + 1)
            heads = [torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype) for x in outputs]
            parts = [(x * head).sum() for x, head in zip(outputs, heads, strict=True)]
            total = torch.stack([part.real if part.is_complex() else part for part in parts]).sum()
            found = torch.autograd.grad(total, list(weights.values()), allow_unused=True, materialize_grads=True)
        for name, gradient in zip(weights, found, strict=True):
            if not gradient.isfinite().all():
                raise InputError(f"{name}: its gradient is not finite for random weights and inputs")
        return dict(zip(weights, found, strict=True))

    def draws(self, dtype: torch.dtype) -> "Iterator[Gradients]":
        """The gradients of `DRAWS` draws."""
        return (self.gradients(2 * seed, dtype) for seed in range(DRAWS))


def _detached_copy(model: nn.Module) -> nn.Module:
    """A deep copy on the CPU. Tensors with a history, which torch's prune leaves behind, are detached in the copy."""
    with torch.inference_mode(False), torch.no_grad():
        memo = {
            id(value): value.detach().clone()
            for module in model.modules() for value in vars(module).values()
            if isinstance(value, Tensor) and not value.is_leaf
        }  # fmt: skip
        try:
            return copy.deepcopy(model, memo).cpu()
        except Exception as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"model {type(model).__name__}: cannot be copied: {said}") from error


def _random_weight(p: Tensor, generator: torch.Generator) -> Tensor:
    """Values of variance 1 / inputs for 2 or more dimensions; else of magnitude 0.5 to 1.5 and either sign."""
    if p.ndim < 2:
        sign = torch.randint(2, p.shape, generator=generator) * 2.0 - 1
        return sign * (torch.rand(p.shape, generator=generator, dtype=torch.float64) + 0.5)
    return torch.randn(p.shape, generator=generator, dtype=torch.float64) / math.sqrt(max(p[0].numel(), 1))


def _random_input(x: Any, dtype: torch.dtype) -> Any:
    """Normal values in the shape of a floating tensor, from torch's random state; other values as they are."""
    if not isinstance(x, Tensor):
        return x
    if x.is_floating_point():
        return torch.randn(x.shape, dtype=torch.float64).to(dtype)
    plain = x.detach().cpu().clone()
    return plain if x.dtype == torch.bool or x.is_complex() else plain.as_subclass(_Indices)


def _leaves(outputs: Any) -> Iterator[Any]:
    """The values of nested outputs, those of dataclasses included."""
    for leaf in pytree.tree_leaves(outputs):
        yield from _leaves(vars(leaf)) if hasattr(leaf, "__dataclass_fields__") else (leaf,)
