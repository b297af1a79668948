"""Outputs on the same images of a parent after each epoch of its training, and of its pruned copies.

`python -m studies.function_space.measure` trains a parent again and records its outputs after every epoch. It then
prunes the parent as a sweep does, and records the outputs of each pruned network after fine-tuning.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import nn

from wmgp.errors import InputError, exit_on_input_error
from wmgp.experiments.data import ImageData, load
from wmgp.experiments.models import NETWORKS
from wmgp.experiments.results.array_files import write_arrays
from wmgp.experiments.results.provenance import surroundings, weights_hash
from wmgp.experiments.sweep.job import prune_copy
from wmgp.experiments.sweep.presets import grid
from wmgp.experiments.sweep.worker import FINE_TUNING_SEED_OFFSET, use_one_thread
from wmgp.experiments.training.history import N_RECORDED_IMAGES
from wmgp.experiments.training.loop import evaluate, train
from wmgp.experiments.training.parents import load_or_train_parent
from wmgp.experiments.training.recipes import ExperimentConfig, experiment_config
from wmgp.similarity import cosine_similarity, js_divergence

TRAJECTORY = "training"  # kind of the parent during training; the kind of a pruned network is its method
METHODS = ("l1", "random")
Arrays = dict[str, np.ndarray]


def measure(
    network: str,
    training: ImageData,
    test: ImageData,
    seed: int,
    chosen: ExperimentConfig,
    amounts: Sequence[float],
    methods: Sequence[str] = METHODS,
) -> tuple[nn.Module, Arrays]:
    """Return the parent and arrays of n networks: the training epochs from the initialisation on, then pruned networks.

    Arrays: `kind` [n], `TRAJECTORY` or the method; `epoch` [n] of training, -1 for pruned networks; `amount` [n], 0
    during training; `cosine` [n] of a pruned network to the parent before fine-tuning, nan during training; `logits`
    [n, images, classes] and `labels` [images] of the first test images. Networks are pruned and fine-tuned as in a
    sweep.
    """
    few = test.first(N_RECORDED_IMAGES)
    with tempfile.TemporaryDirectory() as folder:
        model = load_or_train_parent(
            network, training, seed, chosen.epochs, chosen.recipe, folder, start=chosen.weights, test=test
        )
        with np.load(next(Path(folder).glob("*.npz"))) as file:
            way = file["logits"]
    found = [(TRAJECTORY, epoch, 0.0, np.nan, logits) for epoch, logits in enumerate(way)]
    for method in methods:
        for amount in amounts:
            child, masks = prune_copy(model, method, amount, FINE_TUNING_SEED_OFFSET + seed)
            cosine = cosine_similarity(model, child)
            train(child, training, chosen.tuning_epochs, FINE_TUNING_SEED_OFFSET + seed, chosen.tuning, masks)
            found.append((method, -1, amount, cosine, evaluate(child, few).logits.cpu().numpy().astype(way.dtype)))
    names = ("kind", "epoch", "amount", "cosine", "logits")
    arrays = {name: np.array(column) for name, column in zip(names, zip(*found, strict=True), strict=True)}
    return model, {**arrays, "labels": few.labels.cpu().numpy()}


def softmax(logits: Float[np.ndarray, "... classes"]) -> Float[np.ndarray, "... classes"]:
    """Return the softmax over the last axis, in float64."""
    from scipy.special import softmax

    return softmax(np.asarray(logits, dtype=np.float64), axis=-1)


def tsne_embedding(
    logits: Float[np.ndarray, "n images classes"], seed: int, perplexity: float
) -> Float[np.ndarray, "n 2"]:
    """Return networks as points of a plane: t-SNE of their probabilities on all images (van der Maaten & Hinton 2008).

    `perplexity` is roughly the number of neighbours of each network; it must be below n.
    """
    from sklearn.manifold import TSNE

    if not 0 < perplexity < len(logits):
        raise InputError(f"perplexity {perplexity!r}: expected a number between 0 and {len(logits)}, the networks")
    flat = softmax(logits).reshape(len(logits), -1)
    return TSNE(perplexity=perplexity, init="pca", method="exact", random_state=seed).fit_transform(flat)


def js_divergences(
    logits: Float[np.ndarray, "n images classes"], reference: Float[np.ndarray, "images classes"]
) -> Float[np.ndarray, " n"]:
    """Return the Jensen-Shannon divergence (nats) of each network's outputs from the reference's."""
    return np.array([js_divergence(each, reference) for each in logits])


def equally_distant_epoch(far: float, way: Float[np.ndarray, " epochs"]) -> float:
    """Return the last epoch, interpolated linearly, at which the training parent was at distance `far` from its end.

    `way` is the distance from the end after 0, 1, ... epochs; its last value is 0. Returns 0 if none reaches `far`.
    """
    beyond = np.flatnonzero(way >= far)
    if not beyond.size:
        return 0.0
    last = int(beyond[-1])
    if last == len(way) - 1:
        return float(last)
    return last + float((way[last] - far) / (way[last] - way[last + 1]))


def record(out: Path, network: str, data: str, seed: int, recipe: str | None, amounts: Sequence[float]) -> None:
    """Write the arrays of one parent to `out` (.npz), with their provenance in a JSON file beside it."""
    training, test = load(data, True), load(data, False)
    chosen, began = experiment_config(network, data, recipe), time.perf_counter()
    with use_one_thread():  # as in a sweep, so that the parent is bitwise equal
        model, arrays = measure(network, training, test, seed, chosen, amounts)
    facts: dict[str, Any] = {
        "network": network, "data": training.name, "seed": seed, **chosen.settings(),
        "data_sha256": {"train": training.sha256, "test": test.sha256}, "images": len(arrays["labels"]),
        "parent_sha256": weights_hash(model.state_dict()), "device": "cpu",
        **surroundings(), "wall_seconds": round(time.perf_counter() - began, 3),
        "command": f"python -m studies.function_space.measure --network {network} --data {data} --seed {seed}",
    }  # fmt: skip
    write_arrays(out, arrays, facts)


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m studies.function_space.measure", description="Record outputs.")
    parser.add_argument("--network", default="lenet5", choices=NETWORKS, help="(default: %(default)s)")
    parser.add_argument("--data", default="mnist", help="(default: %(default)s)")
    parser.add_argument("--recipe", help="of the parent (default: the network's usual one)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="from amount 0 to 1 (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="(default: results/functions_NETWORK_DATA.npz)")
    chosen = parser.parse_args(arguments)
    out = chosen.out or Path("results", f"functions_{chosen.network}_{chosen.data}.npz")
    record(out, chosen.network, chosen.data, chosen.seed, chosen.recipe, grid(chosen.steps))


if __name__ == "__main__":
    main()
