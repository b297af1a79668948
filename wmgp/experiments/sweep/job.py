"""One job of a sweep: prune a copy of the parent, fine-tune it, and compare it with the parent before and after."""

import copy
import time
from collections.abc import Sequence

from jaxtyping import Bool
from torch import Tensor, nn

from ...pruning import apply_masks, global_masks
from ..data import ImageData
from ..results.tables import Cell
from ..training.loop import Evaluation, evaluate, train_side_by_side
from ..training.sgd import REFERENCE, Recipe
from .metrics import after_finetuning, before_finetuning

Masks = dict[str, Bool[Tensor, "..."]]


def prune_copy(parent: nn.Module, method: str, amount: float, seed: int) -> tuple[nn.Module, Masks]:
    """Return a pruned copy of the parent and its masks; `seed` and `amount` decide a random prune."""
    masks = global_masks(parent, amount, method, generator=[seed, round(amount * 1e9)])
    pruned = copy.deepcopy(parent)
    apply_masks(pruned, masks)
    return pruned, masks


def prune_and_finetune(
    parent: nn.Module,
    parent_evaluation: Evaluation,
    method: str,
    amount: float,
    training: ImageData,
    test: ImageData,
    seed: int,
    recipe: Recipe = REFERENCE,
    epochs: int = 1,
) -> dict[str, Cell]:
    """Return the measurements of a row; `parent_evaluation` is the parent's on `test`.

    `seed` decides the order of batches in fine-tuning and the masks of a random prune.
    """
    prunes = [(method, amount)]
    return prune_and_finetune_side_by_side(
        parent, parent_evaluation, prunes, training, test, seed, recipe, epochs
    )[0]  # fmt: skip


def prune_and_finetune_side_by_side(
    parent: nn.Module,
    parent_evaluation: Evaluation,
    prunes: Sequence[tuple[str, float]],
    training: ImageData,
    test: ImageData,
    seed: int,
    recipe: Recipe,
    epochs: int,
) -> list[dict[str, Cell]]:
    """Return the measurements of several (method, amount) prunes, fine-tuned together; `seconds` is the mean of all."""
    start = time.perf_counter()
    models, masks = map(list, zip(*(prune_copy(parent, *prune, seed) for prune in prunes), strict=True))
    pruned = [evaluate(model, test) for model in models]
    before = [before_finetuning(parent, parent_evaluation, *each) for each in zip(models, pruned, masks, strict=True)]
    train_side_by_side(models, training, epochs, seed, recipe, masks)
    rows = []
    for model, evaluation, (_, amount), metrics in zip(models, pruned, prunes, before, strict=True):
        after = after_finetuning(parent, parent_evaluation, model, evaluate(model, test) if epochs else evaluation)
        rows.append({"loss_parent": parent_evaluation.loss, "amount": amount, "epochs": epochs} | metrics | after)
    seconds = (time.perf_counter() - start) / len(rows)
    return [row | {"seconds": seconds} for row in rows]
