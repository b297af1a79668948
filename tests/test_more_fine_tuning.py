"""Fine-tuning epoch by epoch: the same rows as a sweep's, distances in closed form, changes by hand."""

import copy
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from studies.more_fine_tuning import measure
from wmgp.experiments import data, models
from wmgp.experiments.results import tables
from wmgp.experiments.results.provenance import provenance
from wmgp.experiments.sweep import job, worker
from wmgp.experiments.training import loop, recipes

RESULTS = Path(__file__).parent.parent / "results"
TUNING = recipes.DIGITS_CONFIG.tuning


@pytest.fixture(scope="module")
def network():
    """An untrained network, its outputs, and a few images to train and to test on."""
    images, test = data.load("digits", True).first(200), data.load("digits", False).first(100)
    model = models.build("lenet5", 0)
    return model, loop.evaluate(model, test), images, test


@pytest.fixture(scope="module")
def walked(network):
    whole, before, images, test = network
    with worker.use_one_thread():
        return measure.finetuning_path(whole, before, "l1", 0.6, images, test, 7, TUNING, 3)


@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_a_path_has_the_same_rows_as_sweep_jobs(network, walked, epochs):
    whole, before, images, test = network
    with worker.use_one_thread():
        row = job.prune_and_finetune(whole, before, "l1", 0.6, images, test, 7, TUNING, epochs)
    assert [each["epochs"] for each in walked] == [0, 1, 2, 3]
    del row["seconds"]
    assert {name: walked[epochs][name] for name in row} == row


def test_distance_by_hand():
    whole, child = (nn.Linear(2, 1) for _ in range(2))
    with torch.no_grad():
        whole.weight.copy_(torch.tensor([[3.0, 0.0]]))
        whole.bias.fill_(4.0)
        child.load_state_dict(whole.state_dict())
        child.bias.zero_()
    assert measure.relative_distance(whole, child) == pytest.approx(0.8)


def test_squared_distance_and_cosine_sum_to_one_before_fine_tuning(network, walked):
    first = walked[0]
    assert first["cosine"] == first["cosine_pruned"] and first["accuracy"] == first["accuracy_pruned"]
    assert first["distance"] ** 2 + first["cosine"] ** 2 == pytest.approx(1, abs=1e-9)
    again = copy.deepcopy(network[0])
    assert measure.relative_distance(network[0], again) == 0


def rows(*cells):
    names = ("seed", "amount", "epochs", "js")
    return pd.DataFrame([dict(zip(names, each, strict=True)) for each in cells]).assign(method="l1")


def test_changes_by_hand():
    found = measure.change_between_epochs(
        rows((0, 0.2, 1, 0.1), (0, 0.2, 5, 0.9), (0, 0.2, 10, 0.3), (1, 0.2, 1, 0.2), (1, 0.2, 10, 0.6),
             (0, 0.9, 1, 0.5), (0, 0.9, 10, 0.4), (0, 0.5, 1, 0.1)),
        "js",
    )  # fmt: skip
    assert list(found) == [0.2, 0.9]
    half = 12.7062047 * 0.1  # Student's t with one degree of freedom; 0.2 and 0.4 differ from their mean by 0.1
    assert found[0.2] == pytest.approx((0.3, 0.3 - half, 0.3 + half), rel=1e-6)
    assert found[0.9][0] == pytest.approx(-0.1) and found[0.9][1] != found[0.9][1]
    assert measure.change_between_epochs(rows((0, 0.2, 1, 0.1)), "js") == {}


def test_closest_epoch_by_hand():
    found = measure.closest_epoch(rows((0, 0.2, 0, 0.1), (0, 0.2, 1, 0.3), (1, 0.2, 0, 0.3), (1, 0.2, 1, 0.2)))
    assert found[["seed", "epochs", "js"]].to_numpy().tolist() == [[0, 0, 0.1], [1, 1, 0.2]]


def test_the_command_adds_missing_rows(tmp_path, monkeypatch):
    few = data.load("digits", True).first(64)
    monkeypatch.setattr(measure, "load", lambda name, train: few)
    monkeypatch.setattr(measure, "experiment_config", lambda *names: replace(recipes.DIGITS_CONFIG, epochs=1))
    measure._images.cache_clear()
    out = tmp_path / "paths.csv"
    asked = ["--network", "lenet5", "--data", "digits", "--seeds", "3", "--epochs", "1", "--out", str(out)]
    measure.main([*asked, "--amounts", "0.5"])
    first = out.read_text()
    measure.main([*asked, "--amounts", "0.5", "0.9"])
    measure._images.cache_clear()
    found, runs = tables.read(out), provenance(out)
    assert out.read_text().startswith(first) and found["amount"].tolist() == [0.5, 0.5, 0.9, 0.9]
    assert set(found["run"]) == set(runs) and found["epochs"].tolist() == [0, 1, 0, 1]
    assert tables.sweeps(tmp_path) == []  # the table is not a sweep


@pytest.mark.parametrize(("epochs", "table"), [(1, "lenet_small_cifar10"), (10, "lenet_small_cifar10_10epochs")])
def test_recorded_paths_agree_with_recorded_sweeps(epochs, table):
    """The values are bitwise equal, although measured in separate runs."""
    paths, swept = tables.read(RESULTS / "tuning_paths.csv"), tables.read(RESULTS / f"{table}.csv")
    there = paths[paths["epochs"] == epochs].set_index(["seed", "method", "amount"])
    same = swept.set_index(["seed", "method", "amount"]).loc[there.index]
    for name in ("accuracy", "loss", "cosine", "js", "agreement", "cka"):
        assert (there[name] == same[name]).all() and len(there) == 35
