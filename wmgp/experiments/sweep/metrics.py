"""Metrics that compare a pruned network with its parent: the columns that all sweeps and studies share."""

from jaxtyping import Bool
from torch import Tensor, nn

from ...similarity import agreement, cosine_similarity, js_divergence, linear_cka
from ..results.tables import Cell
from ..training.loop import Evaluation

Masks = dict[str, Bool[Tensor, "..."]]


def before_finetuning(
    parent: nn.Module, parent_evaluation: Evaluation, pruned: nn.Module, pruned_evaluation: Evaluation, masks: Masks
) -> dict[str, Cell]:
    """Return the metrics of a pruned network before fine-tuning, columns `accuracy_parent` to `min_survival`.

    `min_survival` is the smallest share of kept weights of any tensor, in [0, 1].
    """
    return {
        "accuracy_parent": parent_evaluation.accuracy,
        "accuracy_pruned": pruned_evaluation.accuracy, "loss_pruned": pruned_evaluation.loss,
        "cosine_pruned": cosine_similarity(parent, pruned),
        "min_survival": min(mask.double().mean().item() for mask in masks.values()),
    }  # fmt: skip


def after_finetuning(
    parent: nn.Module, parent_evaluation: Evaluation, finetuned: nn.Module, evaluation: Evaluation
) -> dict[str, Cell]:
    """Return the metrics of a fine-tuned network, and the similarity of its parameters and logits to the parent's."""
    outputs = parent_evaluation.logits.cpu().numpy(), evaluation.logits.cpu().numpy()  # [n, classes] each
    return {
        "accuracy": evaluation.accuracy, "loss": evaluation.loss, "cosine": cosine_similarity(parent, finetuned),
        "agreement": agreement(*outputs), "js": js_divergence(*outputs), "cka": linear_cka(*outputs),
    }  # fmt: skip
