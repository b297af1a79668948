"""Find the weights that cannot change a network's outputs for inputs of one shape, and those that act through sums.

At 32 by 32 pixels, the last stage of torchvision's ResNet18 has maps of one pixel: only the centre of a 3 by 3 kernel
meets it, and eight of nine weights multiply padding.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .errors import InputError
from .pruning import require_module
from .structural_gradients import DRAWS, Probe

if TYPE_CHECKING:
    from torch import nn

ROUNDING = 1e-5  # a gradient this much smaller than float32's error in it is zero: rounding of float64 leaves 1e-9
UNCHANGED = 1e-6  # relative change of an output below which an unseen weight has no effect
SAME = 1e-10  # relative difference of equal gradients


def unseen(model: "nn.Module", example_inputs: Any) -> dict[str, Bool[Tensor, "..."]]:
    """Masks of a module's parameters, True for weights whose gradient is zero for every input of that shape.

    `example_inputs`: a tensor, a tuple of positional arguments or a mapping of named ones, as the model takes them in
    evaluation mode. Only the shapes of floating inputs count; an embedding that integer inputs index is seen in all its
    rows. The masks have the parameters' names (NAME for torch's NAME_orig), shapes and devices.

    Weights are unseen by the module's structure, whatever their values: gradients are taken at random weights and
    inputs, in float64, with leaky ReLU for ReLU and average for max-pooling, so that neither a dead unit nor a pruned
    weight counts. Examples are kernels that meet only padding, modules that nothing calls, and the biases of an
    attention's keys, which softmax cancels. The module does not change. Raises `InputError` for a module that cannot
    run on such inputs, and for a parameter without a gradient that changes the outputs all the same (`detach`, a
    rounding).

    Example:
        >>> import torch, wmgp
        >>> convolution = torch.nn.Conv2d(1, 1, 3, padding=1)
        >>> wmgp.unseen(convolution, torch.zeros(1, 1, 1, 1))["weight"].int()
        tensor([[[[1, 1, 1],
                  [1, 0, 1],
                  [1, 1, 1]]]], dtype=torch.int32)
    """
    require_module(model)
    probe = Probe(model, example_inputs)
    if not probe.parameters:
        return {}
    largest = {name: torch.zeros(p.shape, dtype=torch.float64) for name, p in probe.parameters.items()}
    error = dict.fromkeys(largest, 0.0)
    for exact, rounded in zip(probe.draws(torch.float64), probe.draws(torch.float32), strict=True):
        for name, gradient in exact.items():
            largest[name] = torch.maximum(largest[name], gradient.abs())
            error[name] = max(error[name], _root_mean_square(rounded[name] - gradient))
    masks = {name: gradient <= ROUNDING * error[name] for name, gradient in largest.items()}
    _require_no_effect(probe, masks)
    devices = {name: p.device for name, p in model.named_parameters()}
    return {name.removesuffix("_orig"): mask.to(devices[name]) for name, mask in masks.items()}


def summed(model: "nn.Module", example_inputs: Any) -> dict[str, int]:
    """Number of weights of each parameter that a sum makes redundant: name -> number, at most n - 1 for n equal inputs.

    A tensor of 2 or more dimensions can receive inputs that are always equal; its outputs then depend only on the sum
    of their weights. k equal inputs leave (k - 1) x outputs redundant weights. Unseen weights are not counted. Inputs
    count as equal if their weights have equal gradients in every random draw (arguments and errors as in `unseen`).

    Example:
        >>> import torch
        >>> from wmgp.unseen_weights import summed
        >>> pixel_to_map = torch.nn.AdaptiveAvgPool2d(7)  # 49 copies of a pixel
        >>> model = torch.nn.Sequential(pixel_to_map, torch.nn.Flatten(), torch.nn.Linear(3 * 49, 10))
        >>> summed(model, torch.zeros(1, 3, 1, 1))
        {'2.weight': 1440, '2.bias': 0}
    """
    require_module(model)
    probe = Probe(model, example_inputs)
    columns: dict[str, list[Tensor]] = {name: [] for name in probe.parameters}
    for gradients in probe.draws(torch.float64) if columns else ():
        for name, gradient in gradients.items():
            if gradient.ndim >= 2 and gradient.numel():
                columns[name].append(_projection(gradient.flatten(1)))
    sizes = {name: len(p) if p.ndim else 1 for name, p in probe.parameters.items()}
    redundant = {name: sizes[name] * _repeats(torch.stack(found)) if found else 0 for name, found in columns.items()}
    return {name.removesuffix("_orig"): number for name, number in redundant.items()}


def _root_mean_square(x: Float[Tensor, "*shape"]) -> float:
    return float(torch.linalg.vector_norm(x)) / max(x.numel(), 1) ** 0.5


def _projection(matrix: Float[Tensor, "outputs inputs"]) -> Float[Tensor, " inputs"]:
    """A random combination of the rows: equal columns give equal numbers, others almost surely do not."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(len(matrix), generator=generator, dtype=matrix.dtype) @ matrix


def _repeats(columns: Float[Tensor, "draws inputs"]) -> int:
    """Number of columns that equal an earlier one in every draw, without columns of zeros."""
    scale = columns.abs().amax(1, keepdim=True).clamp_min(torch.finfo(columns.dtype).tiny)
    columns = (columns / scale)[:, (columns.abs() > SAME * scale).any(0)]
    ordered = columns[:, columns[0].argsort()]
    return int(((ordered[:, 1:] - ordered[:, :-1]).abs() <= SAME).all(0).sum())


def _require_no_effect(probe: Probe, masks: Mapping[str, Tensor]) -> None:
    """Raise `InputError` if other values of the unseen weights change an output of the module itself."""
    if not any(mask.any() for mask in masks.values()):
        return
    with torch.inference_mode(False), torch.no_grad():
        for seed in range(DRAWS):
            if name := _name_of_change(probe, masks, 2 * seed):
                raise InputError(
                    f"{name.removesuffix('_orig')}: changes the outputs without a gradient; "
                    "expected a model without detach, no_grad or rounding"
                )


def _name_of_change(probe: Probe, masks: Mapping[str, Tensor], seed: int) -> str | None:
    """The first parameter whose masked values change an output, or None."""
    weights, others = (probe.draw(each, torch.float64) for each in (seed, 2 * DRAWS + seed))
    before = probe.run(weights, seed, surrogates=False)

    def differs(names: list[str]) -> bool:
        changed = {name: torch.where(masks[name], others[name], weights[name]) for name in names}
        after = probe.run({**weights, **changed}, seed, surrogates=False)
        return any(_differ(*pair) for pair in zip(before, after, strict=True))

    if not differs(list(masks)):
        return None
    return next((name for name in masks if differs([name])), next(iter(masks)))


def _differ(before: Tensor, after: Tensor) -> bool:
    if before.shape != after.shape:
        return True
    return bool(before.numel()) and bool((before - after).abs().max() > UNCHANGED * before.abs().max())
