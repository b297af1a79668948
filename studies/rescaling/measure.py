"""Effects of rescaling that does not change a network's function: on statistics of the weights, and after pruning.

`python -m studies.rescaling.measure` records them for the LeNets' parents and MobileNetV2 with its ImageNet weights.
"""

import argparse
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from studies.rescaling.transforms import (
    balance,
    chain_layers,
    fold_batch_norm,
    rescale_before_batch_norm,
    rescale_channels,
)
from studies.shared.pretrained import mobilenet_v2
from studies.when_it_fails import imagenet_sample
from wmgp.analysis import analyze
from wmgp.errors import exit_on_input_error
from wmgp.experiments.data import ImageData, load
from wmgp.experiments.models import build
from wmgp.experiments.results.provenance import record_run, weights_hash
from wmgp.experiments.training.loop import Evaluation, evaluate
from wmgp.experiments.training.parents import load_or_train_parent
from wmgp.experiments.training.recipes import experiment_config
from wmgp.io.atomic import write_atomic
from wmgp.pruning import prune

LOG_FACTOR_SPREAD = 1.0  # standard deviation of the logarithms of random factors
LAYER_FACTOR = 30.0  # a factor on one whole layer
METHODS = ("l1", "l1_normalized", "lamp")
FIXED_AMOUNTS = {"lenet5": 0.7, "lenet_small": 0.7, "mobilenet_v2": 0.2}  # an amount at which all methods are compared
COLUMNS = (
    *("network", "data", "seed", "how", "method", "rule", "amount"),
    *("kurtosis", "k2", "optimal", "safe", "change", "accuracy_parent", "accuracy_pruned", "run"),
)
Rescaling = Callable[[nn.Module], nn.Module]


def chain_rescalings(model: nn.Module, seed: int) -> dict[str, Rescaling]:
    """Return the rescalings of a chain of layers by name."""
    widths, generator = (
        [layer.weight.shape[0] for layer in chain_layers(model)[:-1]],
        torch.Generator().manual_seed(seed),
    )
    drawn = [torch.exp(LOG_FACTOR_SPREAD * torch.randn(n, generator=generator, dtype=torch.float64)) for n in widths]
    ones = [1.0] * (len(widths) - 1)
    return {
        "as trained": lambda net: net,
        f"first layer times {LAYER_FACTOR:g}": lambda net: rescale_channels(net, [LAYER_FACTOR, *ones]),
        f"last layer times {LAYER_FACTOR:g}": lambda net: rescale_channels(net, [*ones, 1 / LAYER_FACTOR]),
        "channels by chance": lambda net: rescale_channels(net, drawn),
        "balanced": balance,
        "by chance, then balanced": lambda net: balance(rescale_channels(net, drawn)),
    }


def batch_norm_rescalings(seed: int) -> dict[str, Rescaling]:
    """Return the rescalings of a network with batch normalisation by name."""
    return {
        "as trained": lambda net: net,
        "channels by chance": lambda net: rescale_before_batch_norm(net, LOG_FACTOR_SPREAD, seed),
        "folded": fold_batch_norm,
        "by chance, then folded": lambda net: fold_batch_norm(rescale_before_batch_norm(net, LOG_FACTOR_SPREAD, seed)),
    }


def measure(model: nn.Module, changes: dict[str, Rescaling], test: ImageData, fixed: float) -> Iterator[dict[str, Any]]:
    """Yield a row for each rescaling, method and rule, without the columns that identify the network.

    `change` is the largest absolute difference from the unchanged network's outputs, divided by the largest absolute
    output. Accuracies are just after pruning. L1 prunes the optimal amount and `fixed`, the other methods `fixed`.
    """
    whole: Evaluation | None = None
    for how, change in changes.items():
        changed = change(model).float()
        outcome = evaluate(changed, test)
        whole = whole or outcome
        analysis = analyze(changed)
        said = {
            "how": how, "kurtosis": analysis.kurtosis, "k2": analysis.kurtosis_of_kurtoses,
            "optimal": analysis.optimal.amount, "safe": analysis.safe.amount if analysis.safe else None,
            "change": float((outcome.logits - whole.logits).abs().max() / whole.logits.abs().max()),
            "accuracy_parent": outcome.accuracy,
        }  # fmt: skip
        asked = [("l1", "optimal", analysis.optimal.amount), *((method, "fixed", fixed) for method in METHODS)]
        for method, rule, amount in asked:
            pruned = copy.deepcopy(changed)
            prune(pruned, amount, method)
            yield {**said, "method": method, "rule": rule, "amount": amount,
                   "accuracy_pruned": evaluate(pruned, test).accuracy}  # fmt: skip


def measure_parent(
    network: str, data: str, seed: int, parents: Path
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the rows of one parent, each with the settings of its run."""
    if network == "mobilenet_v2":
        test = imagenet_sample.load()
        model, changes = mobilenet_v2(), batch_norm_rescalings(seed)
    else:
        training, test, chosen = load(data, True), load(data, False), experiment_config(network, data)
        model = load_or_train_parent(
            network, training, seed, chosen.epochs, chosen.recipe, parents, start=chosen.weights
        )
        changes = chain_rescalings(build(network, seed), seed)
    settings = {
        "network": network, "data": test.name, "data_sha256": test.sha256, "seed": seed, "device": "cpu",
        "parent_sha256": weights_hash(model.state_dict()),
    }  # fmt: skip
    for row in measure(model, changes, test, FIXED_AMOUNTS[network]):
        yield {"network": network, "data": test.name, "seed": seed, **row}, settings


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m studies.rescaling.measure", description="Record rescaled networks.")
    parser.add_argument("--out", type=Path, default=Path("results", "rescaling.csv"), help="(default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 3, 4, 5], help="(default: %(default)s)")
    chosen = parser.parse_args(arguments)
    asked = [(network, data, seed) for network, data in (("lenet5", "mnist"), ("lenet_small", "cifar10"))
             for seed in chosen.seeds]  # fmt: skip
    table = []
    for network, data, seed in (*asked, ("mobilenet_v2", imagenet_sample.NAME, 0)):
        for row, settings in measure_parent(network, data, seed, chosen.out.parent / "parents"):
            table.append({**row, "run": record_run(chosen.out, settings, "python -m studies.rescaling.measure")})
        print(network, data, seed, flush=True)
    text = pd.DataFrame(table, columns=pd.Index(COLUMNS)).to_csv(index=False)
    write_atomic(chosen.out, text.encode())


if __name__ == "__main__":
    main()
