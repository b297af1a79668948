"""The authors' reference run, LeNet-5 on MNIST, as a function of a seed.

Published: the network, pixels in [0, 1] without other preprocessing, batches of 256, SGD at 0.001 with momentum 0.9,
cross-entropy, 25 epochs; then global L1 pruning of weights and biases, at the optimal and at the safe amount, and one
more epoch with the same SGD. The paper leaves some choices open. Here they are:

- Initialisation: PyTorch's default, drawn from the seed.
- Order of batches: drawn again each epoch, from the seed for the parent, from `FINE_TUNING + seed` for fine-tuning. The
  last, smaller batch of an epoch is kept.
- Parent: the network after the last epoch, not the best epoch.
- Fine-tuning: a new optimizer, without the parent's momentum; pruned weights stay exactly zero. Both amounts use the
  same batches.
- Loss: the mean over the test images. The published loss is divided by the number of batches minus one.
- Safe amount: optimal times the authors' modifier, which is limited to 1 here.

`python -m studies.reference_run.measure` measures the missing rows of its table; it can be stopped and started again.
"""

import argparse
import functools
import time
from collections.abc import Callable
from pathlib import Path

from wmgp.analysis import analyze
from wmgp.errors import exit_on_input_error
from wmgp.experiments.data import ImageData, load
from wmgp.experiments.results.provenance import record_run, weights_hash
from wmgp.experiments.results.tables import append_row, has_measured
from wmgp.experiments.sweep.job import prune_and_finetune
from wmgp.experiments.training.loop import choose_device, evaluate
from wmgp.experiments.training.parents import load_or_train_parent
from wmgp.experiments.training.sgd import REFERENCE, Recipe

NETWORK, METHOD = "lenet5", "l1"
EPOCHS = 25
FINE_TUNING = 10_000
COMMAND = "python -m studies.reference_run.measure"


def measure(
    table: str | Path,
    seed: int,
    training: ImageData,
    test: ImageData,
    epochs: int = EPOCHS,
    recipe: Recipe = REFERENCE,
    parents: str | Path | None = None,
    after_epoch: Callable[[int], None] | None = None,
) -> None:
    """Add the seed's two rows, rule optimal and safe, to the table, unless they are in it.

    The parent is read from the folder `parents`, or trained for `epochs` if it is missing there; `after_epoch` is
    passed to its `train`. If the safe amount is undefined, the only row is optimal.
    """
    model = load_or_train_parent(NETWORK, training, seed, epochs, recipe, parents, after_epoch)
    settings = {
        "network": NETWORK,
        "data": training.name,
        "data_sha256": {"train": training.sha256, "test": test.sha256},
        "seed": seed,
        "parent_epochs": epochs,
        "parent_sha256": weights_hash(model.state_dict()),
        "recipe": recipe.settings(),
        "method": METHOD,
        "device": training.images.device.type,
    }
    run, began = record_run(table, settings, COMMAND), time.perf_counter()
    analysis, before = analyze(model), evaluate(model, test)
    for rule, point in (("optimal", analysis.optimal), ("safe", analysis.safe)):
        if point is not None and not has_measured(table, settings, rule=rule):
            job = {"network": NETWORK, "data": training.name, "seed": seed, "method": METHOD, "rule": rule}
            kurtoses = {"kurtosis": analysis.kurtosis, "k2": analysis.kurtosis_of_kurtoses}
            row = prune_and_finetune(model, before, METHOD, point.amount, training, test, FINE_TUNING + seed, recipe)
            append_row(table, {**job, **kurtoses, **row, "device": training.images.device.type, "run": run})
            record_run(table, settings, COMMAND, time.perf_counter() - began)


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        "python -m studies.reference_run.measure", description="The authors' reference run."
    )
    parser.add_argument("--data", default="mnist", help="the data set (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds, from 0 (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of training the parent (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("results/reference_run.csv"), help="(default: %(default)s)")
    chosen = parser.parse_args(arguments)
    device = choose_device(chosen.device)
    training, test = load(chosen.data, True, device), load(chosen.data, False, device)
    for seed in range(chosen.seeds):
        say = functools.partial(print, f"seed {seed}, epoch", flush=True)
        folder = chosen.out.parent / "parents"
        measure(chosen.out, seed, training, test, chosen.epochs, parents=folder, after_epoch=say)


if __name__ == "__main__":
    main()
