"""The authors' reference run, LeNet-5 on MNIST, as a function of a seed.

Published: the network, pixels in [0, 1] and nothing else, batches of 256, SGD at 0.001 with momentum 0.9,
cross-entropy, 25 epochs; then global L1 pruning of weights and biases, at the optimal and at the safe amount, and one
epoch more with the same SGD. What that leaves open, and what is done here:

- Initialisation: PyTorch's default, drawn from the seed.
- Order of batches: drawn anew each epoch, from the seed for the parent, from `FINE_TUNING + seed` for fine-tuning. The
  last, smaller batch of an epoch is kept.
- Parent: the network after the last epoch, not the best one seen on the way.
- Fine-tuning: a fresh optimizer, without the parent's momentum; what was pruned is held at exactly zero. Both amounts
  see the same batches.
- Loss: the mean over the test images. The published one is divided by the number of batches less one.
- Safe amount: optimal times the authors' modifier, which here may not exceed 1.

`python -m wmgp.experiments.reference` measures what its table does not hold yet: it can be stopped and started again.
"""

import argparse
import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from torch import nn

from ..analysis import analyze
from ..pareto import Point
from ..pruning import apply_masks, global_masks
from ..similarity import agreement, cosine_similarity, js_divergence, linear_cka
from .data import ImageData, load
from .provenance import record_run, source_hash, weights_hash
from .results import Cell, append_row, has_row
from .training import Recipe, choose_device, evaluate, parent, train

NETWORK, METHOD = "lenet5", "l1"
RECIPE = Recipe()
FINE_TUNING = 10_000
MODULES = (
    *("analysis", "device", "kernels", "magnitudes", "moments", "parameters", "pareto", "pruning", "similarity"),
    *("experiments.data", "experiments.models", "experiments.reference", "experiments.training"),
)


def measure(
    table: str | Path,
    seed: int,
    training: ImageData,
    test: ImageData,
    epochs: int = 25,
    parents: str | Path | None = None,
    after_epoch: Callable[[int], None] | None = None,
) -> None:
    """Add the seed's two rows, rule optimal and safe, to the table, unless they are there.

    The parent is trained for `epochs`, or read from the folder `parents` where it lies there. `after_epoch` as for
    `train`, of the parent. There is one row, optimal, where the safe amount is undefined.
    """
    model = parent(NETWORK, training, seed, epochs, RECIPE, parents, after_epoch)
    settings = {
        "network": NETWORK,
        "data": training.name,
        "data_sha256": {"train": training.sha256, "test": test.sha256},
        "seed": seed,
        "parent_epochs": epochs,
        "parent_sha256": weights_hash(model.state_dict()),
        "recipe": asdict(RECIPE),
        "method": METHOD,
        "source_sha256": source_hash(MODULES),
        "device": training.images.device.type,
    }
    run, began = record_run(table, settings), time.perf_counter()
    for row in _rows(model, training, test, seed, skip=lambda rule: has_row(table, run=run, rule=rule)):
        append_row(table, {**row, "run": run})
        record_run(table, settings, time.perf_counter() - began)


def _rows(
    model: nn.Module, training: ImageData, test: ImageData, seed: int, skip: Callable[[str], bool]
) -> Iterable[dict[str, Cell]]:
    """A row for each rule that is not to be skipped."""
    analysis = analyze(model)
    for rule, point in (("optimal", analysis.optimal), ("safe", analysis.safe)):
        if point is not None and not skip(rule):
            yield {
                "network": NETWORK, "data": training.name, "seed": seed, "method": METHOD, "rule": rule,
                "kurtosis": analysis.kurtosis, "k2": analysis.kurtosis_of_kurtoses,
                **_pruned(model, point, training, test, seed),
                "device": training.images.device.type,
            }


def _pruned(model: nn.Module, point: Point, training: ImageData, test: ImageData, seed: int) -> dict[str, Cell]:
    """Prune a copy of the parent, fine-tune it for one epoch, and hold it against the parent before and after."""
    began = time.perf_counter()
    child, masks = copy.deepcopy(model), global_masks(model, point.amount, METHOD)
    before = evaluate(model, test)
    apply_masks(child, masks)
    pruned, cosine_pruned = evaluate(child, test), cosine_similarity(model, child)
    train(child, training, epochs=1, seed=FINE_TUNING + seed, recipe=RECIPE, masks=masks)
    after = evaluate(child, test)
    outputs = before.logits.cpu().numpy(), after.logits.cpu().numpy()  # [n, classes] each
    return {
        "amount": point.amount, "epochs": 1,
        "accuracy_parent": before.accuracy, "accuracy_pruned": pruned.accuracy, "accuracy": after.accuracy,
        "loss_parent": before.loss, "loss_pruned": pruned.loss, "loss": after.loss,
        "cosine_pruned": cosine_pruned, "cosine": cosine_similarity(model, child),
        "agreement": agreement(*outputs), "js": js_divergence(*outputs), "cka": linear_cka(*outputs),
        "min_survival": min(mask.double().mean().item() for mask in masks.values()),
        "seconds": time.perf_counter() - began,
    }


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m wmgp.experiments.reference", description="The authors' reference run.")
    parser.add_argument("--data", default="mnist", help="the data set (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds, from 0 (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=25, help="of training the parent (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results/reference_run.csv"), help="(default: %(default)s)")
    chosen = parser.parse_args(arguments)
    device = choose_device(chosen.device)
    training, test = load(chosen.data, True, device), load(chosen.data, False, device)
    for seed in range(chosen.seeds):
        measure(chosen.out, seed, training, test, chosen.epochs, chosen.out.parent / "parents", _progress(seed))


def _progress(seed: int) -> Callable[[int], None]:
    return lambda epoch: print(f"seed {seed}: epoch {epoch}", flush=True)


if __name__ == "__main__":
    main()
