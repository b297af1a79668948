"""One job of a sweep: prune a copy of the parent, fine-tune it, and hold it against the parent before and after."""

import copy
import time

from jaxtyping import Bool
from torch import Tensor, nn

from ..pruning import apply_masks, global_masks
from ..similarity import agreement, cosine_similarity, js_divergence, linear_cka
from .data import ImageData
from .provenance import CORE
from .results import Cell
from .training import REFERENCE, Outcome, Recipe, evaluate, train

Masks = dict[str, Bool[Tensor, "..."]]

# What a job and its parent execute.
MODULES = (
    *CORE,
    *("experiments.augment", "experiments.data", "experiments.graphs", "experiments.job", "experiments.memory"),
    *("experiments.models", "experiments.pooling", "experiments.training"),
)


def pruned_copy(parent: nn.Module, method: str, amount: float, seed: int) -> tuple[nn.Module, Masks]:
    """A copy of the parent, pruned, and its masks; seed and amount together decide a random prune."""
    child, masks = copy.deepcopy(parent), global_masks(parent, amount, method, generator=[seed, round(amount * 1e9)])
    apply_masks(child, masks)
    return child, masks


def pruned(
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
    began = time.perf_counter()
    child, masks = pruned_copy(parent, method, amount, seed)
    at_once, cosine_pruned = evaluate(child, test), cosine_similarity(parent, child)
    train(child, training, epochs, seed, recipe, masks)
    after = evaluate(child, test) if epochs else at_once
    outputs = before.logits.cpu().numpy(), after.logits.cpu().numpy()  # [n, classes] each
    return {
        "amount": amount, "epochs": epochs,
        "accuracy_parent": before.accuracy, "accuracy_pruned": at_once.accuracy, "accuracy": after.accuracy,
        "loss_parent": before.loss, "loss_pruned": at_once.loss, "loss": after.loss,
        "cosine_pruned": cosine_pruned, "cosine": cosine_similarity(parent, child),
        "agreement": agreement(*outputs), "js": js_divergence(*outputs), "cka": linear_cka(*outputs),
        "min_survival": min(mask.double().mean().item() for mask in masks.values()),
        "seconds": time.perf_counter() - began,
    }  # fmt: skip
