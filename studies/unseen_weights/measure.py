"""Counts of unseen weights, and their part in pruning ResNet18: `python -m studies.unseen_weights.measure`.

It trains four networks, a quarter as wide as ResNet18, on 10,000 images of CIFAR-10 (8 minutes of one CPU core), and
writes results/unseen_counts.csv, unseen_networks.csv, unseen_prunes.csv and, from the records of the full-size ResNet18
parents, unseen_parents.csv.
"""

import argparse
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool
from torch import Tensor, nn

from studies.unseen_weights.decay import amounts_when_shrunk, decay_factor, steps_of
from studies.unseen_weights.networks import N_IMAGES, RECIPE, STEMS, build, trained
from studies.unseen_weights.recorded import recorded_parent
from wmgp.analysis import analyze
from wmgp.errors import exit_on_input_error
from wmgp.experiments import models
from wmgp.experiments.data import ImageData, load
from wmgp.experiments.results.provenance import keep_runs, record_run, weights_hash
from wmgp.experiments.sweep.worker import use_one_thread
from wmgp.experiments.training.loop import evaluate
from wmgp.io.atomic import write_atomic
from wmgp.pruning import apply_masks, global_masks
from wmgp.unseen_weights import summed, unseen

COMMAND = "python -m studies.unseen_weights.measure"
Unseen = dict[str, Bool[Tensor, "..."]]
SIZES = {  # network -> sizes of its square images, in pixels
    "lenet5": (28,), "lenet_small": (32,), "resnet18": (32, 64, 224), "vgg11_bn": (32, 64), "mobilenet_v2": (32, 64),
    "resnet18_w16": (32, 64), "resnet18_w16_stem32": (32,),
}  # fmt: skip
TRAINED = (("resnet18_w16", 5), ("resnet18_w16", 15), ("resnet18_w16", 30), ("resnet18_w16_stem32", 15))
AMOUNTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
RANDOM_MASKS = 2  # for each amount
TEST_IMAGES = 1000
PARENT_SEEDS = (0, 1, 2)  # of the recorded full-size parents
FACTORS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)  # on the unseen weights of a trained network


def count(network: str, size: int) -> dict[str, Any]:
    """Return the numbers of parameters, of unseen ones, and of those that a sum makes redundant."""
    model = (build if network in STEMS else models.build)(network, 0)
    channels = models.IMAGE_SHAPES[network][0] if network in models.IMAGE_SHAPES else 3
    images = torch.zeros(1, channels, size, size)
    masks = unseen(model, images)
    return {
        "network": network, "size": size, "parameters": sum(mask.numel() for mask in masks.values()),
        "unseen": sum(int(mask.sum()) for mask in masks.values()), "summed": sum(summed(model, images).values()),
    }  # fmt: skip


def describe(initial: nn.Module, model: nn.Module, masks: Unseen, test: ImageData) -> dict[str, Any]:
    """Return a row: accuracy with and without the unseen weights, their decay, and amounts as they shrink."""
    without = copy.deepcopy(model)
    apply_masks(without, {name: ~mask for name, mask in masks.items()})
    return {
        "accuracy": evaluate(copy.deepcopy(model), test).accuracy,
        "accuracy_without": evaluate(without, test).accuracy, **energies(initial, model, masks),
        **dict(zip((f"at_099_times_{f:g}" for f in FACTORS), amounts_when_shrunk(model, masks, FACTORS), strict=True)),
        **{f"{name}_all": value for name, value in statistics(dict(model.named_parameters())).items()},
        **{f"{name}_seen": value for name, value in statistics(seen_values(model, masks)).items()},
    }  # fmt: skip


def energies(initial: nn.Module, model: nn.Module, masks: Unseen) -> dict[str, float]:
    """Return the number of unseen weights, their share of the energy, and their norm relative to the initial one."""
    pairs = zip(initial.named_parameters(), model.parameters(), strict=True)
    parts = [(p.detach().double(), q.detach().double(), masks[name]) for (name, p), q in pairs]
    before, after = (sum(float(x[each[2]].pow(2).sum()) for each in parts for x in [each[i]]) for i in (0, 1))
    total = sum(float(q.pow(2).sum()) for _, q, _ in parts)
    n = sum(int(mask.sum()) for *_, mask in parts)
    return {"unseen": n, "energy_share": after / total, "decay": (after / before) ** 0.5 if n else float("nan")}


def seen_values(model: nn.Module, masks: Unseen) -> dict[str, Tensor]:
    """Return the values of each parameter that are not unseen, flattened; empty parameters are left out."""
    values = {name: p.detach()[~masks[name]] for name, p in model.named_parameters()}
    return {name: value for name, value in values.items() if value.numel()}


def statistics(weights: dict[str, Tensor]) -> dict[str, float]:
    """Return kurtosis, kurtosis of kurtoses, and the rules' amounts of a pool of weights."""
    analysis = analyze({name: value.detach() for name, value in weights.items()})
    return {
        "n": analysis.n_parameters, "kurtosis": analysis.kurtosis, "k2": analysis.kurtosis_of_kurtoses,
        "optimal": analysis.optimal.amount, "safe": analysis.safe.amount if analysis.safe else float("nan"),
        "at_099": analysis.at_cosine(0.99).amount,
    }  # fmt: skip


def prunes(
    network: str, epochs: int, model: nn.Module, masks: Unseen, test: ImageData, seed: int, amounts: tuple[float, ...]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each method, amount and mask: cosines, accuracy, and the unseen share of the pruned weights."""
    for method in ("l1", "random"):
        for amount in amounts:
            for draw in range(RANDOM_MASKS if method == "random" and amount else 1):
                kept = global_masks(model, amount, method, generator=RANDOM_MASKS * seed + draw)
                pruned = copy.deepcopy(model)
                apply_masks(pruned, kept)
                yield {
                    "network": network, "epochs": epochs, "method": method, "amount": amount, "draw": draw,
                    **kept_shares(model, kept, masks), "accuracy": evaluate(pruned, test).accuracy,
                }  # fmt: skip


def kept_shares(model: nn.Module, kept: Unseen, masks: Unseen) -> dict[str, float]:
    """Return the cosine over all and over the seen weights, and the share of the pruned weights that is unseen."""
    energy, left, pruned, pruned_unseen = [0.0, 0.0], [0.0, 0.0], 0, 0
    for name, p in model.named_parameters():
        squares = p.detach().double().pow(2)
        for i, part in enumerate((squares, squares * ~masks[name])):
            energy[i] += float(part.sum())
            left[i] += float((part * kept[name]).sum())
        pruned += int((~kept[name]).sum())
        pruned_unseen += int((~kept[name] & masks[name]).sum())
    cosine, cosine_seen = ((a / b) ** 0.5 for a, b in zip(left, energy, strict=True))
    share = pruned_unseen / pruned if pruned else float("nan")
    return {"cosine": cosine, "cosine_seen": cosine_seen, "unseen_share": share}


def measure_network(
    network: str,
    epochs: int,
    training: ImageData,
    test: ImageData,
    seed: int,
    folder: Path | None,
    amounts: tuple[float, ...] = AMOUNTS,
) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    """Train or read the network; return its row, the rows of its prunes, and the hash of its weights.

    Columns `decay`: the ratio of the trained to the initial norm of the unseen weights; `decay_predicted`: the closed
    form. Without a `folder` the network is not saved.
    """
    initial, model = build(network, seed), trained(network, training, seed, epochs, folder)
    model.to(memory_format=torch.contiguous_format).eval()
    masks = unseen(model, torch.zeros(1, *training.images.shape[1:]))
    predicted = decay_factor(RECIPE, steps_of(RECIPE, min(N_IMAGES, len(training)), epochs))
    row = {"network": network, "epochs": epochs, "decay_predicted": predicted}
    row |= describe(initial, model, masks, test)
    return row, list(prunes(network, epochs, model, masks, test, seed, amounts)), weights_hash(model.state_dict())


def write(out: Path, rows: list[dict[str, Any]], settings: dict[str, Any]) -> None:
    """Write a table with its provenance."""
    run = record_run(out, settings, COMMAND)
    write_atomic(out, pd.DataFrame(rows).assign(run=run).to_csv(index=False).encode())
    keep_runs(out, [run])


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(COMMAND, description="Record weights that see nothing.")
    parser.add_argument("--seed", type=int, default=0, help="of the trained networks (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder (default: %(default)s)")
    parser.add_argument("--parents", type=Path, default=Path("_build", "unseen"), help="(default: %(default)s)")
    parser.add_argument("--only", choices=("counts", "networks", "parents"), help="a part of the tables (default: all)")
    chosen = parser.parse_args(arguments)
    with use_one_thread():
        if chosen.only in (None, "counts"):
            rows = [count(network, size) for network, sizes in SIZES.items() for size in sizes]
            settings = {
                "network": "several",
                "data": "none",
                "device": "cpu",
                "sizes": {n: [*s] for n, s in SIZES.items()},
            }
            write(chosen.out / "unseen_counts.csv", rows, settings)
        if chosen.only in (None, "parents"):
            write_parents(chosen.out)
        if chosen.only in (None, "networks"):
            write_networks(chosen.out, chosen.parents, chosen.seed)


def write_parents(out: Path) -> None:
    """Write the table about the recorded full-size parents."""
    masks = unseen(models.build("resnet18", 0), torch.zeros(1, 3, 32, 32))
    rows = [recorded_parent(seed, masks, FACTORS) for seed in PARENT_SEEDS]
    settings = {"network": "resnet18", "data": "cifar10-jpeg", "device": "cpu", "seeds": list(PARENT_SEEDS)}
    write(out / "unseen_parents.csv", rows, settings)


def write_networks(out: Path, parents: Path, seed: int) -> None:
    """Train the networks of `TRAINED` and write the two tables about them."""
    training, test = load("cifar10", True), load("cifar10", False)
    rows, pruned, hashes = [], [], {}
    for network, epochs in TRAINED:
        (parents / f"{epochs}epochs").mkdir(parents=True, exist_ok=True)
        row, more, hashes[f"{network}, {epochs} epochs"] = measure_network(
            network, epochs, training, test.first(TEST_IMAGES), seed, parents
        )
        rows.append(row)
        pruned += more
    settings = {
        "network": "resnet18_w16", "data": training.name, "seed": seed, "device": "cpu", "recipe": RECIPE.settings(),
        "data_sha256": {"train": training.sha256, "test": test.sha256}, "images": N_IMAGES, "test_images": TEST_IMAGES,
        "parent_sha256": hashes,
    }  # fmt: skip
    write(out / "unseen_networks.csv", rows, settings)
    write(out / "unseen_prunes.csv", pruned, settings)


if __name__ == "__main__":
    main()
