"""Pruning methods: functions from the prunable parameters, an amount and a random generator to flat masks.

Masks are computed tensor by tensor, because the masks of a large checkpoint do not fit in memory together.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from ._histogram.blocks import CHUNK
from ._histogram.measurement import is_counted, measure
from ._histogram.scores import Score, lowest_scores
from .errors import InputError
from .parameters import Parameter
from .pareto import check_amount, n_to_prune

RANDOM_LIMIT = 10**9  # prunable values; numpy's hypergeometric distribution has this limit

FlatMasks = Iterator[tuple[str, Bool[np.ndarray, " n"]]]  # (name, mask of the flattened tensor), True = kept


def l1(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> FlatMasks:
    """Global L1: prune the smallest magnitudes of the whole pool; ties in the order of the tensors."""
    n_pruned, measurement = int(n_to_prune(amount, sum(p.n for p in pool))), measure(pool)
    levels = measurement.levels(np.array([n_pruned]))
    threshold, ties = levels.threshold(np.array([n_pruned]))[0], levels.ties_pruned(n_pruned)
    if measurement.histogram is None:
        return _prune_below(((p.name, _magnitudes(p)) for p in pool), threshold, ties)
    return _prune_below_in_blocks(pool, threshold, ties)


def l1_normalized(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> FlatMasks:
    """Global L1 of magnitudes divided by their tensor's L2 norm, which removes the tensor's scale.

    Molchanov et al. 2017 normalise scores per layer in the same way (arXiv:1611.06440, section 2.2).
    """

    if is_counted(pool):
        return _prune_lowest_by_counting(pool, amount, lambda value, _, norm: value / np.maximum(norm, 1.0))

    def score(magnitude: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        relative = _divide_by_largest(magnitude)
        return relative / max(float(np.sqrt(relative @ relative)), 1.0)

    return _prune_lowest_scores(pool, amount, score)


def lamp(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> FlatMasks:
    """Layer-adaptive magnitude pruning: prune the lowest LAMP scores of the whole pool.

    score(u) = w[u]^2 / sum of w[v]^2 over v >= u, with each tensor's magnitudes in ascending order (Lee et al. 2021,
    arXiv:2010.07611, equation 6). The largest magnitude of every tensor scores 1: no tensor is pruned completely until
    all tensors have one value left.
    """

    if is_counted(pool):
        return _prune_lowest_by_counting(pool, amount, lambda value, tail, _: value**2 / np.where(tail > 0, tail, 1))

    def score(magnitude: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        order, square = np.argsort(magnitude, kind="stable"), _divide_by_largest(magnitude) ** 2
        tail_sum = np.cumsum(square[order][::-1])[::-1]
        scores = np.empty_like(square)
        scores[order] = square[order] / np.where(tail_sum > 0, tail_sum, 1)
        return scores

    return _prune_lowest_scores(pool, amount, score)


def l1_local(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> FlatMasks:
    """Local L1: prune the smallest round(amount * n) of the n magnitudes of each tensor."""
    for p in pool:
        kept = np.ones(p.n, dtype=bool)
        kept[np.argsort(_magnitudes(p), kind="stable")[: int(n_to_prune(amount, p.n))]] = False
        yield p.name, kept


def random(pool: Sequence[Parameter], amount: float, rng: np.random.Generator) -> FlatMasks:
    """Random: prune round(amount * n) of the pool's n values, every choice with equal probability."""
    n_remaining = sum(p.n for p in pool)
    if n_remaining >= RANDOM_LIMIT:
        raise InputError(f"method random: expected fewer than {RANDOM_LIMIT:,} prunable values, found {n_remaining:,}")
    n_pruned = int(n_to_prune(amount, n_remaining))
    for p in pool:
        n_in_tensor = int(rng.hypergeometric(n_pruned, n_remaining - n_pruned, p.n)) if p.n else 0
        n_remaining, n_pruned = n_remaining - p.n, n_pruned - n_in_tensor
        kept = np.ones(p.n, dtype=bool)
        kept[rng.choice(p.n, n_in_tensor, replace=False, shuffle=False)] = False
        yield p.name, kept


METHODS: dict[str, Callable[[Sequence[Parameter], float, np.random.Generator], FlatMasks]] = {
    "l1": l1,
    "l1_local": l1_local,
    "l1_normalized": l1_normalized,
    "lamp": lamp,
    "random": random,
}


def iter_masks(parameters: Sequence[Parameter], amount: float, method: str = "l1", generator: Any = None) -> FlatMasks:
    """The flat masks of the prunable parameters, computed one tensor at a time."""
    if method not in METHODS:
        raise InputError(f"method {method!r}: expected one of {', '.join(METHODS)}")
    pool = [p for p in parameters if p.prunable]
    if not any(p.n for p in pool):
        raise InputError("no prunable tensor in the pool")
    return METHODS[method](pool, check_amount(amount), _numpy_generator(generator))


def _prune_lowest_scores(
    pool: Sequence[Parameter], amount: float, score: Callable[[np.ndarray], np.ndarray]
) -> FlatMasks:
    """Prune the lowest scores of the whole pool; `score` maps a tensor's magnitudes to float64 scores."""
    scores = [(p.name, score(_finite_magnitudes(p))) for p in pool]
    pooled = np.concatenate([values for _, values in scores])
    n_pruned = int(n_to_prune(amount, pooled.size))
    threshold = np.partition(pooled, n_pruned - 1)[n_pruned - 1] if n_pruned else -np.inf
    return _prune_below(iter(scores), threshold, n_pruned - int((pooled < threshold).sum()))


def _prune_below(scores: Iterator[tuple[str, np.ndarray]], threshold: float | np.floating, ties: int) -> FlatMasks:
    """Prune the scores below the threshold, and the first `ties` of the scores equal to it."""
    for name, score in scores:
        equal = np.flatnonzero(score == threshold)[:ties]
        ties -= equal.size
        kept = ~(score < threshold)
        kept[equal] = False
        yield name, kept


def _prune_below_in_blocks(pool: Sequence[Parameter], threshold: float | np.floating, ties: int) -> FlatMasks:
    """`_prune_below` for float32 magnitudes, in blocks: only a tensor's mask is in memory as a whole."""
    for p in pool:
        kept, ties = _mask_in_blocks(p, np.nan_to_num(threshold), ties)  # nan if nothing is pruned
        yield p.name, kept


def _prune_lowest_by_counting(pool: Sequence[Parameter], amount: float, score: Score) -> FlatMasks:
    """`_prune_lowest_scores` for large pools, whose scores do not fit in memory. Scores rise with the magnitude."""
    cuts = lowest_scores(pool, int(n_to_prune(amount, sum(p.n for p in pool))), score)
    for p, cut in zip(pool, cuts, strict=True):
        yield p.name, _mask_in_blocks(p, cut.threshold, cut.ties)[0]


def _mask_in_blocks(p: Parameter, threshold: float | np.floating, ties: int) -> tuple[Bool[np.ndarray, " n"], int]:
    """The mask that prunes magnitudes below the threshold and the first `ties` equal to it, and the ties left."""
    from ._histogram.kernels import fill_mask

    bits, kept = np.float32(threshold).view(np.uint32), np.empty(p.n, dtype=bool)
    for start in range(0, p.n, CHUNK):
        part = kept[start : start + CHUNK]
        ties = fill_mask(_to_cpu_array(p.block(start, start + part.size)).view(np.uint32), bits, ties, part)
        p.release()
    return kept, ties


def _divide_by_largest(magnitude: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Magnitudes relative to the largest, in float64: squares of tiny magnitudes do not underflow. Zeros stay zero."""
    largest = magnitude.max(initial=0)
    return magnitude / (np.float64(largest) if largest > 0 else 1.0)


def _magnitudes(p: Parameter) -> Float[np.ndarray, " n"]:
    return np.abs(_to_cpu_array(p.block(0, p.n)))


def _finite_magnitudes(p: Parameter) -> Float[np.ndarray, " n"]:
    magnitudes = _magnitudes(p)
    if not np.isfinite(magnitudes).all():
        raise InputError(f"{p.name}: expected finite values, found NaN or infinity")
    return magnitudes


def _to_cpu_array(block: Any) -> Float[np.ndarray, " n"]:
    return block if isinstance(block, np.ndarray) else block.cpu().numpy()


def _numpy_generator(generator: Any) -> np.random.Generator:
    if hasattr(generator, "get_state") and hasattr(generator, "initial_seed"):  # a torch.Generator
        import torch

        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        return np.random.default_rng(int(seed))
    try:
        return np.random.default_rng(generator)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"generator {generator!r}: expected a torch or numpy Generator, or a seed: an integer from 0"
        ) from error
