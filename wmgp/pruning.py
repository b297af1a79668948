"""Masks as data: which weights a prune keeps, as a dict from names to bool tensors (True = kept), and applying them.

A method is a function from the prunable parameters, an amount and a random generator to masks, one tensor at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from .amounts import chooser
from .errors import InputError
from .fitting import checked, refuse_others, refuse_unheld
from .measurement import CHUNK, measure
from .parameters import Parameter, Pool, collect
from .pareto import check_amount, rank

if TYPE_CHECKING:
    import torch
    from torch import nn

    Masks = dict[str, Bool[torch.Tensor, "..."]]

RANDOM_LIMIT = 10**9  # values: numpy draws the share of each tensor exactly up to here
Flat = Iterator[tuple[str, Bool[np.ndarray, " n"]]]


def l1(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> Flat:
    """Global L1: the smallest magnitudes of the whole pool go; equal ones in the order of the tensors."""
    n_pruned, measurement = int(rank(amount, sum(p.n for p in pool))), measure(pool)
    levels = measurement.levels(np.array([n_pruned]))
    threshold, ties = levels.threshold(np.array([n_pruned]))[0], levels.ties_pruned(n_pruned)
    if measurement.histogram is None:
        return _below(((p.name, _magnitude(p)) for p in pool), threshold, ties)
    return _below_in_blocks(pool, threshold, ties)


def l1_normalized(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> Flat:
    """Global L1 of magnitudes divided by the L2 norm of their tensor, so that no tensor goes for its scale alone.

    The normalisation of scores per layer is that of Molchanov et al. 2017 (arXiv:1611.06440, section 2.2).
    """

    def score(magnitude: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        relative = _relative(magnitude)
        return relative / max(float(np.sqrt(relative @ relative)), 1.0)

    return _lowest(pool, amount, score)


def lamp(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> Flat:
    """Layer-adaptive magnitudes: each square over the sum of those of its tensor that are not smaller, globally.

    score(u) = w[u]^2 / sum of w[v]^2 over v >= u, magnitudes in ascending order (Lee et al. 2021, arXiv:2010.07611,
    equation 6). The largest of every tensor scores 1, so no tensor loses everything before all are down to one value.
    """

    def score(magnitude: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        order, square = np.argsort(magnitude, kind="stable"), _relative(magnitude) ** 2
        not_smaller = np.cumsum(square[order][::-1])[::-1]
        scores = np.empty_like(square)
        scores[order] = square[order] / np.where(not_smaller > 0, not_smaller, 1)
        return scores

    return _lowest(pool, amount, score)


def l1_local(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> Flat:
    """Per-tensor L1: the smallest magnitudes of each tensor go, round(amount * n) of its n values."""
    for p in pool:
        kept = np.ones(p.n, dtype=bool)
        kept[np.argsort(_magnitude(p), kind="stable")[: int(rank(amount, p.n))]] = False
        yield p.name, kept


def random(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> Flat:
    """Random: every choice of round(amount * n) of the pool's n values is equally likely."""
    left = sum(p.n for p in pool)
    if left >= RANDOM_LIMIT:
        raise InputError(f"method random: expected fewer than {RANDOM_LIMIT:,} prunable values, found {left:,}")
    n_pruned = int(rank(amount, left))
    for p in pool:
        here = int(rng.hypergeometric(n_pruned, left - n_pruned, p.n)) if p.n else 0
        left, n_pruned = left - p.n, n_pruned - here
        kept = np.ones(p.n, dtype=bool)
        kept[rng.choice(p.n, here, replace=False, shuffle=False)] = False
        yield p.name, kept


METHODS: dict[str, Callable[[Sequence[Parameter], float, np.random.Generator], Flat]] = {
    "l1": l1,
    "l1_local": l1_local,
    "l1_normalized": l1_normalized,
    "lamp": lamp,
    "random": random,
}


def iter_masks(parameters: Sequence[Parameter], amount: float, method: str = "l1", generator: Any = None) -> Flat:
    """The masks of the prunable parameters, flat and one at a time, for what does not fit in memory at once."""
    if method not in METHODS:
        raise InputError(f"method {method!r}: expected one of {', '.join(METHODS)}")
    pool = [p for p in parameters if p.prunable]
    if not any(p.n for p in pool):
        raise InputError("no prunable tensor in the pool")
    return METHODS[method](pool, check_amount(amount), _rng(generator))


def global_masks(
    source: Any, amount: float, method: str = "l1", pool: Pool = "weight_bias", generator: Any = None
) -> "Masks":
    """Masks that prune a share of a source's pool: name -> bool tensor of the parameter's shape, True = kept.

    `amount` in [0, 1]; round(amount * n_prunable) values are pruned, exactly (with "l1_local", round(amount * n) of
    each tensor). `method`: "l1", "l1_local", "l1_normalized", "lamp" or "random". `generator`: a `torch.Generator`, a
    numpy Generator or a seed; the same one gives the same random masks. Source and pool as for `wmgp.analyze`. Changes
    nothing in the source.
    """
    import torch

    parameters = collect(source, pool)
    by_name = {p.name: p for p in parameters}
    masks = {}
    for name, kept in iter_masks(parameters, amount, method, generator):
        values = by_name[name].values
        mask = torch.from_numpy(kept).reshape(by_name[name].shape)
        masks[name] = mask.to(values.device) if isinstance(values, torch.Tensor) else mask
    return masks


def apply_masks(model: "nn.Module", masks: "Masks") -> None:
    """Set what the masks do not keep to zero, in place.

    Raises `InputError`, before anything is changed, for a name or shape not in the model and for a mask that is no bool
    tensor. Nothing holds the zeros afterwards: there are no hooks. Apply again after each step of a fine-tuning, or use
    `wmgp.pruning.to_torch_prune`.
    """
    import torch

    parameters = checked(model, masks)
    with torch.no_grad():
        for name, mask in masks.items():
            parameters[name].masked_fill_(~mask.to(parameters[name].device), 0)


def prune(
    model: "nn.Module",
    amount: float | str,
    method: str = "l1",
    pool: Pool = "weight_bias",
    generator: Any = None,
) -> "Masks":
    """Prune a module in place and return the masks (see `global_masks`).

    `amount`: a share in [0, 1], "optimal", "safe", "cosine=0.99" or "careful": the smaller of the safe amount and that
    of cosine 0.99, and the latter where no amount is safe. These two answer for method "l1" only.
    """
    refuse_others(model)
    if isinstance(amount, str):
        from .analysis import analyze

        amount = chooser(amount, method)(analyze(model, pool=pool)).amount
    masks = global_masks(model, amount, method, pool, generator)
    apply_masks(model, masks)
    return masks


def to_torch_prune(model: "nn.Module", masks: "Masks") -> None:
    """Hand the masks over to `torch.nn.utils.prune`, whose hooks then hold the zeros while the module is trained.

    Raises `InputError` where they would not, before anything is changed: for a parameter that two modules share, and
    for those of `nn.MultiheadAttention`. Use `apply_masks` there.
    """
    from torch.nn.utils.prune import custom_from_mask

    parameters = checked(model, masks)
    refuse_unheld(model, {name: parameters[name] for name in masks})
    for name, mask in masks.items():
        module, _, parameter = name.rpartition(".")
        custom_from_mask(model.get_submodule(module), parameter, mask.to(parameters[name].device))


def _lowest(pool: Sequence[Parameter], amount: float, score: Callable[[np.ndarray], np.ndarray]) -> Flat:
    """Prune the lowest scores (float64, of a tensor's magnitudes) of the whole pool, all held in memory at once."""
    scores = [(p.name, score(_magnitude(p))) for p in pool]
    every = np.concatenate([values for _, values in scores])
    n_pruned = int(rank(amount, every.size))
    threshold = np.partition(every, n_pruned - 1)[n_pruned - 1] if n_pruned else -np.inf
    return _below(iter(scores), threshold, n_pruned - int((every < threshold).sum()))


def _below(scores: Iterator[tuple[str, np.ndarray]], threshold: float | np.floating, ties: int) -> Flat:
    """Prune what scores below the threshold, and the first `ties` of those that equal it."""
    for name, score in scores:
        equal = np.flatnonzero(score == threshold)[:ties]
        ties -= equal.size
        kept = ~(score < threshold)
        kept[equal] = False
        yield name, kept


def _below_in_blocks(pool: Sequence[Parameter], threshold: float | np.floating, ties: int) -> Flat:
    """The same of magnitudes that are float32 values, a block at a time: no tensor is in memory but for its mask."""
    from .kernels import keep

    bits = np.float32(np.nan_to_num(threshold)).view(np.uint32)  # there is no threshold where nothing is pruned
    for p in pool:
        kept = np.empty(p.n, dtype=bool)
        for start in range(0, p.n, CHUNK):
            part = kept[start : start + CHUNK]
            ties = keep(_on_cpu(p.block(start, start + part.size)).view(np.uint32), bits, ties, part)
            p.release()
        yield p.name, kept


def _relative(magnitude: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Magnitudes over the largest of them, in float64, so that squares of tiny ones do not vanish; zeros stay zero."""
    largest = magnitude.max(initial=0)
    return magnitude / (np.float64(largest) if largest > 0 else 1.0)


def _magnitude(p: Parameter) -> Float[np.ndarray, " n"]:
    return np.abs(_on_cpu(p.block(0, p.n)))


def _on_cpu(block: Any) -> Float[np.ndarray, " n"]:
    return block if isinstance(block, np.ndarray) else block.cpu().numpy()


def _rng(generator: Any) -> np.random.Generator:
    if hasattr(generator, "get_state") and hasattr(generator, "initial_seed"):  # torch's
        import torch

        where = generator.device
        return np.random.default_rng(int(torch.randint(2**62, (), generator=generator, device=where)))
    try:
        return np.random.default_rng(generator)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"generator {generator!r}: expected a torch or numpy Generator, or a seed: a whole number from 0"
        ) from error
