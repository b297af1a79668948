"""Display names of networks, data sets and sweeps."""

import pandas as pd
import pytest

from studies.transformers import measure
from wmgp.experiments import data, display_names, models
from wmgp.experiments.sweep import presets


def test_every_network_and_data_set_has_a_name():
    sweeps = [sweep for preset in presets.PRESETS.values() for sweep in preset]
    assert set(display_names.NETWORK_NAMES) == {*models.NETWORKS, measure.NETWORK, *(sweep.network for sweep in sweeps)}
    assert set(display_names.DATA_NAMES) >= {*data.DATASETS, *(sweep.data for sweep in sweeps)}
    assert display_names.display_name("mine", "my_images") == "mine on my_images"


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (("lenet5", "mnist", "scratch", 1), "LeNet-5 on MNIST"),
        (("resnet18", "cifar10-jpeg", "scratch", 10), "ResNet18 on CIFAR-10 (JPEG), 10 epochs"),
        (("mobilenet_v2", "cifar10", "IMAGENET1K_V1", 1), "MobileNetV2 on CIFAR-10, from ImageNet"),
        (("mobilenet_v2", "imagenet-sample", "IMAGENET1K_V1", 0), "MobileNetV2 on ImageNet sample, not tuned"),
    ],
)
def test_sweeps_are_named_by_their_rows(facts, name):
    rows = pd.DataFrame([facts] * 2, columns=["network", "data", "start", "epochs"])
    assert display_names.sweep_display_name(rows) == name
