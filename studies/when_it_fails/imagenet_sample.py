"""torchvision's MobileNetV2 pruned by every method, without fine-tuning, on a sample of ImageNet.

`python -m studies.when_it_fails.imagenet_sample` is a sweep without training: a row for each method and amount. The
images come from parquet files (columns image and label, 224 x 224 pixels) in WMGP_DATA/imagenet-sample-224. The network
may have been trained on them, so accuracies show the loss by pruning, not the network's true accuracy.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from studies.shared.pretrained import mobilenet_v2
from wmgp.errors import InputError, exit_on_input_error
from wmgp.experiments.data import ImageData, image_data_from_arrays, read_parquet_images, require_data_folder
from wmgp.experiments.sweep.presets import ALL_METHODS, PERCENT_GRID, Sweep, grid
from wmgp.experiments.sweep.runner import run
from wmgp.experiments.training.recipes import ExperimentConfig
from wmgp.experiments.training.sgd import REFERENCE

NAME, FOLDER, CLASSES = "imagenet-sample", "imagenet-sample-224", 1000
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, as torchvision's weights need
PRETRAINED_CONFIG = ExperimentConfig(REFERENCE, 0, "IMAGENET1K_V1", tuning_epochs=0)


def load(train: bool = False) -> ImageData:
    """Return the sample for either value of `train`, because nothing is trained on it. InputError if it is missing."""
    folder = require_data_folder(NAME, FOLDER) / FOLDER
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise InputError(
            f"data {NAME!r}: {folder}: expected parquet files of images, 224 x 224, with ImageNet's labels"
        )
    images, labels, _ = read_parquet_images(files)
    return replace(image_data_from_arrays(NAME, images, labels, CLASSES), mean=MEAN, std=STD)


def build_network(seed: int) -> nn.Module:
    """Return torchvision's MobileNetV2 with its ImageNet weights, for every seed."""
    return mobilenet_v2()


def sample_sweep(amounts: Sequence[float] = PERCENT_GRID) -> Sweep:
    """Return the sweep of every method and one parent."""
    return Sweep(
        "mobilenet_v2", NAME, ALL_METHODS, tuple(amounts), (0,), config=PRETRAINED_CONFIG, build=build_network,
        load=load,
        command=f"python -m studies.when_it_fails.imagenet_sample --steps {len(amounts) - 1}",
    )  # fmt: skip


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        "python -m studies.when_it_fails.imagenet_sample", description="Prune MobileNetV2."
    )
    out = Path("results", "mobilenet_v2_imagenet-sample.csv")
    parser.add_argument("--out", type=Path, default=out, help="(default: %(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="from amount 0 to 1 (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    print(run([sample_sweep(grid(chosen.steps))], chosen.out, chosen.jobs, "cpu"), "rows added")


if __name__ == "__main__":
    main()
