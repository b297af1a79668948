"""What the book calls networks, data sets and sweeps."""

import pandas as pd
import pytest

from wmgp.experiments import data, models, names, presets
from wmgp.experiments.studies import transformers


def test_every_network_and_data_set_has_a_name():
    sweeps = [sweep for preset in presets.PRESETS.values() for sweep in preset]
    assert set(names.NETWORKS) == {*models.NETWORKS, transformers.NETWORK, *(sweep.network for sweep in sweeps)}
    assert set(names.DATA) >= {*data._READERS, *(sweep.data for sweep in sweeps)}
    assert names.called("mine", "my_images") == "mine on my_images"


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (("lenet5", "mnist", "scratch", 1), "LeNet-5 on MNIST"),
        (("resnet18", "cifar10-jpeg", "scratch", 10), "ResNet18 on CIFAR-10 (JPEG), 10 epochs"),
        (("mobilenet_v2", "cifar10", "IMAGENET1K_V1", 1), "MobileNetV2 on CIFAR-10, from ImageNet"),
        (("mobilenet_v2", "imagenet-sample", "IMAGENET1K_V1", 0), "MobileNetV2 on ImageNet sample, not tuned"),
    ],
)
def test_sweeps_by_their_rows(facts, name):
    rows = pd.DataFrame([facts] * 2, columns=["network", "data", "start", "epochs"])
    assert names.sweep_called(rows) == name
