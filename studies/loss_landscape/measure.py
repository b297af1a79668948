"""The loss around a network: on the line from its initialisation through its weights, and on random planes.

Planes follow Li et al. 2018 (arXiv:1712.09913, section 4): two random directions whose filters have the norms of the
network's filters. The paper leaves some choices open. Here a filter is a row of a tensor of 2 or more dimensions.
Biases and batch-norm parameters do not change. The planes of a parent and of its pruned networks have the same
directions, the parent's, so that their surfaces can be subtracted.

`python -m studies.loss_landscape.measure` records parents (default: LeNet-5 on MNIST), and the parents pruned to a
cosine of 0.99 by L1 and at random.
"""

import argparse
import copy
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from wmgp.analysis import analyze
from wmgp.errors import InputError, exit_on_input_error
from wmgp.experiments.data import ImageData, load
from wmgp.experiments.models import NETWORKS as KNOWN
from wmgp.experiments.models import build
from wmgp.experiments.results.array_files import write_arrays
from wmgp.experiments.results.provenance import surroundings, weights_hash
from wmgp.experiments.sweep.presets import CONVERGED_SEEDS
from wmgp.experiments.training.loop import evaluate
from wmgp.experiments.training.parents import load_or_train_parent as trained
from wmgp.experiments.training.recipes import experiment_config
from wmgp.pareto import CAREFUL_COSINE
from wmgp.pruning import prune
from wmgp.similarity import cosine_similarity

Weights = dict[str, Tensor]
SURFACE_NETWORKS = ("parent", "l1", "random")  # each has a line and a surface
LINE_TICKS = np.linspace(0, 1.5, 61)  # 0 is the initialisation, 1 the network
PLANE_TICKS = np.linspace(-1, 1, 31)  # in units of the filters' norms
N_IMAGES = 1000  # of the test set, the first ones


def float_state(model: nn.Module) -> Weights:
    """Return copies of all floating-point tensors of a network's state, running statistics included."""
    return {name: t.detach().clone() for name, t in model.state_dict().items() if t.is_floating_point()}


def filter_normalized_direction(weights: Weights, generator: Generator) -> Weights:
    """Return a random normal direction whose filters have the L2 norms of the weights' filters.

    It is zero for tensors of fewer than 2 dimensions, and for filters that are zero.
    """
    direction = {}
    for name, w in weights.items():
        if w.ndim < 2:
            direction[name] = torch.zeros_like(w)
            continue
        d = torch.randn(w.shape, generator=generator).to(w)  # [filters, ...]
        lengths = (each.flatten(1).norm(dim=1).reshape(-1, *[1] * (w.ndim - 1)) for each in (w, d))
        own, drawn = lengths
        direction[name] = d * (own / drawn)
    return direction


def loss_along_line(
    loss: Callable[[Weights], float], start: Weights, end: Weights, ticks: Sequence[float] | np.ndarray
) -> Float[np.ndarray, " ticks"]:
    """Return the loss at start + t (end - start), for each t of `ticks`."""
    return np.array([loss({name: torch.lerp(start[name], end[name], float(t)) for name in end}) for t in ticks])


def loss_on_plane(
    loss: Callable[[Weights], float],
    centre: Weights,
    directions: tuple[Weights, Weights],
    ticks: Sequence[float] | np.ndarray,
) -> Float[np.ndarray, "ticks ticks"]:
    """Return the loss at centre + a u + b v for a (rows) and b (columns) of `ticks`."""
    u, v = directions
    losses = np.empty((len(ticks), len(ticks)))
    for i, a in enumerate(ticks):
        row = {name: w + float(a) * u[name] for name, w in centre.items()}
        for j, b in enumerate(ticks):
            losses[i, j] = loss({name: w + float(b) * v[name] for name, w in row.items()})
    return losses


def make_loss_function(model: nn.Module, data: ImageData) -> Callable[[Weights], float]:
    """Return a function from weights to the mean cross-entropy (nats) on the data, for a copy of the network."""
    probe = copy.deepcopy(model)

    def loss(weights: Weights) -> float:
        probe.load_state_dict(weights, strict=False)
        return evaluate(probe, data).loss

    return loss


def measure(
    parent: nn.Module,
    initial: nn.Module,
    data: ImageData,
    seed: int,
    line_ticks: np.ndarray = LINE_TICKS,
    plane_ticks: np.ndarray = PLANE_TICKS,
) -> dict[str, np.ndarray]:
    """Return lines [3, ticks], planes [3, ticks, ticks], amounts and cosines [3], in the order of `SURFACE_NETWORKS`.

    The parent is pruned by L1 to a cosine of 0.99, and at random by the amount whose expected cosine is 0.99.
    """
    amounts = {"l1": analyze(parent).at_cosine(CAREFUL_COSINE).amount, "random": 1 - CAREFUL_COSINE**2}
    pruned = {"parent": parent}
    for method, amount in amounts.items():
        pruned[method] = copy.deepcopy(parent)
        prune(pruned[method], amount, method, generator=seed)
    start, generator = float_state(initial), torch.Generator().manual_seed(seed)
    directions = (
        filter_normalized_direction(float_state(parent), generator),
        filter_normalized_direction(float_state(parent), generator),
    )
    loss = make_loss_function(parent, data)
    return {
        "line": np.stack(
            [loss_along_line(loss, start, float_state(pruned[name]), line_ticks) for name in SURFACE_NETWORKS]
        ),
        "plane": np.stack(
            [loss_on_plane(loss, float_state(pruned[name]), directions, plane_ticks) for name in SURFACE_NETWORKS]
        ),
        "amount": np.array([0.0, amounts["l1"], amounts["random"]]),
        "cosine": np.array([cosine_similarity(parent, pruned[name]) for name in SURFACE_NETWORKS]),
    }


def record(
    out: Path,
    network: str,
    data: str,
    seeds: Sequence[int],
    images: int = N_IMAGES,
    ticks: tuple[np.ndarray, np.ndarray] = (LINE_TICKS, PLANE_TICKS),
    progress: Callable[[str], None] = print,
) -> None:
    """Write the arrays of a network's parents of these seeds to `out` (.npz), with their provenance beside it.

    The parents are those of sweeps, in the folder `parents` beside `out`; missing ones are trained first. `images` is
    the number of test images, from the first on. `ticks`: of the line and of the plane.
    """
    training, test, chosen = load(data, True), load(data, False), experiment_config(network, data)
    found, parents, began = [], {}, time.perf_counter()
    for seed in seeds:
        folder, start = out.parent / "parents", chosen.weights
        model = trained(network, training, seed, chosen.epochs, chosen.recipe, folder, start=start, test=test)
        found.append(measure(model, build(network, seed, start), test.first(images), seed, *ticks))
        parents[seed] = weights_hash(model.state_dict())
        progress(f"seed {seed}")
    arrays: dict[str, Any] = {name: np.stack([each[name] for each in found]) for name in found[0]}
    arrays |= {"seeds": np.array(seeds), "line_ticks": ticks[0], "plane_ticks": ticks[1]}
    points = f"{len(ticks[0])} {len(ticks[1])}"
    options = f"--network {network} --data {data} --seeds {' '.join(map(str, seeds))} --images {images}"
    facts = {
        "command": f"python -m studies.loss_landscape.measure {options} --points {points}",
        "network": network, "data": test.name, "data_sha256": test.sha256, "images": images, "seeds": list(seeds),
        "parent_sha256": parents, **chosen.settings(), "device": "cpu",
        **surroundings(),
        "wall_seconds": round(time.perf_counter() - began, 3),
    }  # fmt: skip
    write_arrays(out, arrays, facts)


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m studies.loss_landscape.measure", description="Record loss landscapes.")
    parser.add_argument("--network", default="lenet5", choices=KNOWN, help="(default: %(default)s)")
    parser.add_argument("--data", default="mnist", help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(CONVERGED_SEEDS), help="(default: %(default)s)")
    parser.add_argument("--images", type=int, default=N_IMAGES, help="of the test set (default: %(default)s)")
    parser.add_argument("--points", type=int, nargs=2, default=(len(LINE_TICKS), len(PLANE_TICKS)),
                        metavar=("LINE", "PLANE"),
                        help="along the line, and along either side of the plane (default: 61 31)")  # fmt: skip
    parser.add_argument("--out", type=Path, help="(default: results/landscape_NETWORK_DATA.npz)")
    chosen = parser.parse_args(arguments)
    out = chosen.out or Path("results", f"landscape_{chosen.network}_{chosen.data}.npz")
    ticks = tuple(np.linspace(a[0], a[-1], n) for a, n in zip((LINE_TICKS, PLANE_TICKS), chosen.points, strict=True))
    if chosen.points[1] % 2 == 0:
        raise InputError(f"points {chosen.points[1]}: expected an odd number on the plane, for a network in its middle")
    record(out, chosen.network, chosen.data, chosen.seeds, chosen.images, (ticks[0], ticks[1]))


if __name__ == "__main__":
    main()
