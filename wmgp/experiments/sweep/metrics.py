"""A pruned network held against its parent: those columns of a row that sweeps and studies have in common."""

from jaxtyping import Bool
from torch import Tensor, nn

from ...similarity import agreement, cosine_similarity, js_divergence, linear_cka
from ..results.tables import Cell
from ..training.loop import Outcome

Masks = dict[str, Bool[Tensor, "..."]]


def before_finetuning(
    parent: nn.Module, before: Outcome, child: nn.Module, at_once: Outcome, masks: Masks
) -> dict[str, Cell]:
    """What the parent says of the test images (`before`), and what its prune says before any training (`at_once`)."""
    return {
        "accuracy_parent": before.accuracy, "accuracy_pruned": at_once.accuracy, "loss_pruned": at_once.loss,
        "cosine_pruned": cosine_similarity(parent, child),
        "min_survival": min(mask.double().mean().item() for mask in masks.values()),
    }  # fmt: skip


def after_finetuning(parent: nn.Module, before: Outcome, child: nn.Module, after: Outcome) -> dict[str, Cell]:
    """The prune after its training, and how far it is from the parent in parameters and in what it says."""
    outputs = before.logits.cpu().numpy(), after.logits.cpu().numpy()  # [n, classes] each
    return {
        "accuracy": after.accuracy, "loss": after.loss, "cosine": cosine_similarity(parent, child),
        "agreement": agreement(*outputs), "js": js_divergence(*outputs), "cka": linear_cka(*outputs),
    }  # fmt: skip
