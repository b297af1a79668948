"""The study of rescaled networks: on a small data set, and its recorded table."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from studies.rescaling import measure
from wmgp.experiments import data, models
from wmgp.experiments.results.provenance import provenance
from wmgp.experiments.training import recipes

RESULTS = Path(__file__).parent.parent / "results"


@pytest.fixture(scope="module")
def few():
    return data.load("digits", False).first(60)


@pytest.mark.slow
def test_rescaling_keeps_the_outputs_and_changes_the_optimal_amount(few):
    model = models.build("lenet5", 0)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    rows = pd.DataFrame(measure.measure(model, measure.chain_rescalings(model, 0), few, 0.7))
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert len(rows) == 6 * 4 and max(rows["change"]) < 1e-5 and len(set(rows["accuracy_parent"])) == 1
    by_how = rows.drop_duplicates("how").set_index("how")
    numbers = {name: by_how[name].to_dict() for name in ("kurtosis", "k2", "optimal")}
    assert numbers["optimal"]["first layer times 30"] > numbers["optimal"]["as trained"] + 0.1
    for found in numbers.values():
        assert found["by chance, then balanced"] == pytest.approx(found["balanced"], rel=1e-4)
    assert set(rows.loc[rows["rule"] == "fixed", "amount"]) == {0.7}
    same = rows.loc[(rows["method"] == "lamp") & rows["how"].isin(["as trained", "last layer times 30"])]
    assert len(set(same["accuracy_pruned"])) == 1  # LAMP scores do not depend on a tensor's scale


@pytest.mark.slow
def test_the_command_writes_rows_with_their_provenance(tmp_path, monkeypatch, few):
    monkeypatch.setattr(measure, "load", lambda name, train: few)
    monkeypatch.setattr(measure, "experiment_config", lambda *names: replace(recipes.DIGITS_CONFIG, epochs=1))
    monkeypatch.setattr(measure.imagenet_sample, "load", lambda: few)
    monkeypatch.setattr(measure, "build", lambda name, seed: models.build("lenet5", seed))
    small = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Flatten())
    head = torch.nn.Sequential(small, torch.nn.Linear(3 * 26 * 26, 10))
    monkeypatch.setattr(measure, "mobilenet_v2", lambda: head)
    monkeypatch.setattr(measure, "load_or_train_parent", lambda network, *rest, **options: models.build("lenet5", 3))
    out = tmp_path / "rescaling.csv"
    measure.main(["--out", str(out), "--seeds", "3"])
    rows, runs = pd.read_csv(out), provenance(out)
    assert list(rows.columns) == list(measure.COLUMNS) and set(rows["run"]) == set(runs)
    assert rows.groupby("network")["how"].nunique().to_dict() == {"lenet5": 6, "lenet_small": 6, "mobilenet_v2": 4}


@pytest.mark.skipif(not (RESULTS / "rescaling.csv").exists(), reason="not recorded")
def test_recorded_rows_have_their_schema_and_provenance():
    rows, runs = pd.read_csv(RESULTS / "rescaling.csv"), json.loads((RESULTS / "rescaling.json").read_text())
    assert list(rows.columns) == list(measure.COLUMNS) and set(rows["run"]) == set(runs)
    for facts in runs.values():
        assert {"commit", "source_sha256", "data_sha256", "parent_sha256", "date", "cpu", "versions"} <= set(facts)
        assert not facts["commit"].endswith("-dirty")
    # Outputs agree to 1e-5 of the largest; float32 rounding in MobileNetV2's 52 batch norms needs 1e-4.
    assert max(rows.loc[rows["network"] != "mobilenet_v2", "change"]) < 1e-5 and max(rows["change"]) < 1e-4
    assert min(rows["accuracy_pruned"]) >= 0 and 0.6 < min(rows["optimal"]) <= max(rows["optimal"]) < 1
