"""One job of a sweep: prune a copy of the parent, fine-tune it, and hold it against the parent before and after."""

import copy
import time
from collections.abc import Sequence

from jaxtyping import Bool
from torch import Tensor, nn

from ...pruning import apply_masks, global_masks
from ..data import ImageData
from ..results.tables import Cell
from ..training.loop import Outcome, evaluate, train_side_by_side
from ..training.sgd import REFERENCE, Recipe
from .metrics import after_finetuning, before_finetuning

Masks = dict[str, Bool[Tensor, "..."]]


def pruned_copy(parent: nn.Module, method: str, amount: float, seed: int) -> tuple[nn.Module, Masks]:
    """A copy of the parent, pruned, and its masks; seed and amount together decide a random prune."""
    child, masks = copy.deepcopy(parent), global_masks(parent, amount, method, generator=[seed, round(amount * 1e9)])
    apply_masks(child, masks)
    return child, masks


def prune_and_finetune(
    parent: nn.Module,
    before: Outcome,
    method: str,
    amount: float,
    training: ImageData,
    test: ImageData,
    seed: int,
    recipe: Recipe = REFERENCE,
    epochs: int = 1,
) -> dict[str, Cell]:
    """A row's measurements; `before` is what the parent says of `test`, which outputs are compared on.

    `seed` decides the order of batches in fine-tuning, and what a random prune takes.
    """
    return prune_and_finetune_side_by_side(parent, before, [(method, amount)], training, test, seed, recipe, epochs)[0]


def prune_and_finetune_side_by_side(
    parent: nn.Module,
    before: Outcome,
    prunes: Sequence[tuple[str, float]],
    training: ImageData,
    test: ImageData,
    seed: int,
    recipe: Recipe,
    epochs: int,
) -> list[dict[str, Cell]]:
    """`pruned` for several methods and amounts, fine-tuned together; the seconds of each are its share of all."""
    began = time.perf_counter()
    children, masks = map(list, zip(*(pruned_copy(parent, *prune, seed) for prune in prunes), strict=True))
    at_once = [evaluate(child, test) for child in children]
    first = [before_finetuning(parent, before, *each) for each in zip(children, at_once, masks, strict=True)]
    train_side_by_side(children, training, epochs, seed, recipe, masks)
    rows = []
    for child, pruned, (_, amount), found in zip(children, at_once, prunes, first, strict=True):
        after = after_finetuning(parent, before, child, evaluate(child, test) if epochs else pruned)
        losses = {"loss_parent": before.loss, "amount": amount, "epochs": epochs}
        rows.append(losses | found | after)
    seconds = (time.perf_counter() - began) / len(rows)
    return [row | {"seconds": seconds} for row in rows]
