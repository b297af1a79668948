"""Pruning methods: which weights of the pool to keep, as flat masks, one tensor at a time.

A method is a function from the prunable parameters, an amount and a random generator to masks.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ._histogram.measurement import CHUNK, measure
from .errors import InputError
from .parameters import Parameter
from .pareto import check_amount, n_to_prune

RANDOM_LIMIT = 10**9  # values: numpy draws the share of each tensor exactly up to here


FlatMasks = Iterator[tuple[str, Bool[np.ndarray, " n"]]]


def l1(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> FlatMasks:
    """Global L1: the smallest magnitudes of the whole pool go; equal ones in the order of the tensors."""
    n_pruned, measurement = int(n_to_prune(amount, sum(p.n for p in pool))), measure(pool)
    levels = measurement.levels(np.array([n_pruned]))
    threshold, ties = levels.threshold(np.array([n_pruned]))[0], levels.ties_pruned(n_pruned)
    if measurement.histogram is None:
        return _prune_below(((p.name, _magnitudes(p)) for p in pool), threshold, ties)
    return _prune_below_in_blocks(pool, threshold, ties)


def l1_normalized(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> FlatMasks:
    """Global L1 of magnitudes divided by the L2 norm of their tensor, so that no tensor goes for its scale alone.

    The normalisation of scores per layer is that of Molchanov et al. 2017 (arXiv:1611.06440, section 2.2).
    """

    def score(magnitude: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        relative = _divide_by_largest(magnitude)
        return relative / max(float(np.sqrt(relative @ relative)), 1.0)

    return _prune_lowest_scores(pool, amount, score)


def lamp(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> FlatMasks:
    """Layer-adaptive magnitudes: each square over the sum of those of its tensor that are not smaller, globally.

    score(u) = w[u]^2 / sum of w[v]^2 over v >= u, magnitudes in ascending order (Lee et al. 2021, arXiv:2010.07611,
    equation 6). The largest of every tensor scores 1, so no tensor loses everything before all are down to one value.
    """

    def score(magnitude: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        order, square = np.argsort(magnitude, kind="stable"), _divide_by_largest(magnitude) ** 2
        not_smaller = np.cumsum(square[order][::-1])[::-1]
        scores = np.empty_like(square)
        scores[order] = square[order] / np.where(not_smaller > 0, not_smaller, 1)
        return scores

    return _prune_lowest_scores(pool, amount, score)


def l1_local(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> FlatMasks:
    """Per-tensor L1: the smallest magnitudes of each tensor go, round(amount * n) of its n values."""
    for p in pool:
        kept = np.ones(p.n, dtype=bool)
        kept[np.argsort(_magnitudes(p), kind="stable")[: int(n_to_prune(amount, p.n))]] = False
        yield p.name, kept


def random(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> FlatMasks:
    """Random: every choice of round(amount * n) of the pool's n values is equally likely."""
    left = sum(p.n for p in pool)
    if left >= RANDOM_LIMIT:
        raise InputError(f"method random: expected fewer than {RANDOM_LIMIT:,} prunable values, found {left:,}")
    n_pruned = int(n_to_prune(amount, left))
    for p in pool:
        here = int(rng.hypergeometric(n_pruned, left - n_pruned, p.n)) if p.n else 0
        left, n_pruned = left - p.n, n_pruned - here
        kept = np.ones(p.n, dtype=bool)
        kept[rng.choice(p.n, here, replace=False, shuffle=False)] = False
        yield p.name, kept


METHODS: dict[str, Callable[[Sequence[Parameter], float, np.random.Generator], FlatMasks]] = {
    "l1": l1,
    "l1_local": l1_local,
    "l1_normalized": l1_normalized,
    "lamp": lamp,
    "random": random,
}


def iter_masks(parameters: Sequence[Parameter], amount: float, method: str = "l1", generator: Any = None) -> FlatMasks:
    """The masks of the prunable parameters, flat and one at a time, for what does not fit in memory at once."""
    if method not in METHODS:
        raise InputError(f"method {method!r}: expected one of {', '.join(METHODS)}")
    pool = [p for p in parameters if p.prunable]
    if not any(p.n for p in pool):
        raise InputError("no prunable tensor in the pool")
    return METHODS[method](pool, check_amount(amount), _numpy_generator(generator))


def _prune_lowest_scores(
    pool: Sequence[Parameter], amount: float, score: Callable[[np.ndarray], np.ndarray]
) -> FlatMasks:
    """Prune the lowest scores (float64, of a tensor's magnitudes) of the whole pool, all held in memory at once."""
    scores = [(p.name, score(_magnitudes(p))) for p in pool]
    every = np.concatenate([values for _, values in scores])
    n_pruned = int(n_to_prune(amount, every.size))
    threshold = np.partition(every, n_pruned - 1)[n_pruned - 1] if n_pruned else -np.inf
    return _prune_below(iter(scores), threshold, n_pruned - int((every < threshold).sum()))


def _prune_below(scores: Iterator[tuple[str, np.ndarray]], threshold: float | np.floating, ties: int) -> FlatMasks:
    """Prune what scores below the threshold, and the first `ties` of those that equal it."""
    for name, score in scores:
        equal = np.flatnonzero(score == threshold)[:ties]
        ties -= equal.size
        kept = ~(score < threshold)
        kept[equal] = False
        yield name, kept


def _prune_below_in_blocks(pool: Sequence[Parameter], threshold: float | np.floating, ties: int) -> FlatMasks:
    """The same of magnitudes that are float32 values, a block at a time: no tensor is in memory but for its mask."""
    from ._histogram.kernels import keep

    bits = np.float32(np.nan_to_num(threshold)).view(np.uint32)  # there is no threshold where nothing is pruned
    for p in pool:
        kept = np.empty(p.n, dtype=bool)
        for start in range(0, p.n, CHUNK):
            part = kept[start : start + CHUNK]
            ties = keep(_to_cpu_array(p.block(start, start + part.size)).view(np.uint32), bits, ties, part)
            p.release()
        yield p.name, kept


def _divide_by_largest(magnitude: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Magnitudes over the largest of them, in float64, so that squares of tiny ones do not vanish; zeros stay zero."""
    largest = magnitude.max(initial=0)
    return magnitude / (np.float64(largest) if largest > 0 else 1.0)


def _magnitudes(p: Parameter) -> Float[np.ndarray, " n"]:
    return np.abs(_to_cpu_array(p.block(0, p.n)))


def _to_cpu_array(block: Any) -> Float[np.ndarray, " n"]:
    return block if isinstance(block, np.ndarray) else block.cpu().numpy()


def _numpy_generator(generator: Any) -> np.random.Generator:
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
