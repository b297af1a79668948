"""Measuring pruning strategies on a little data, early weights, and the recorded table."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from studies.beyond_l1 import early_weights, measure
from wmgp import InputError, cosine_similarity
from wmgp.experiments import data, models
from wmgp.experiments.results import tables
from wmgp.experiments.results.provenance import provenance, weights_hash
from wmgp.experiments.training import recipes
from wmgp.experiments.training.loop import evaluate, train
from wmgp.experiments.training.parents import load_or_train_parent

CONFIG = replace(recipes.DIGITS_CONFIG, epochs=3)
RECORDED = Path(__file__).parent.parent / "results" / "beyond_l1.csv"


@pytest.fixture(scope="module")
def few():
    return data.load("digits", True).first(96)


@pytest.mark.slow
def test_early_weights_are_those_of_the_training_trajectory(few, tmp_path):
    model = load_or_train_parent("lenet5", few, 1, 3, CONFIG.recipe)
    found = early_weights.early_weights("lenet5", few, 1, CONFIG, model, [0, 2, 3], tmp_path)
    assert weights_hash(found[0]) == weights_hash(models.build("lenet5", 1).state_dict())
    assert weights_hash(found[3]) == weights_hash(model.state_dict()) != weights_hash(found[2])
    again = models.build("lenet5", 1)

    def stop_after_two_epochs(epoch):
        if epoch == 2:
            raise StopIteration

    with pytest.raises(StopIteration):
        train(again, few, 3, 1, CONFIG.recipe, after_epoch=stop_after_two_epochs)
    assert weights_hash(again.state_dict()) == weights_hash(found[2])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"lenet5-digits-seed1-epoch{epoch}.safetensors" for epoch in (0, 2, 3)
    ]


@pytest.mark.slow
def test_saved_early_weights_are_read_only_for_their_parent(few, tmp_path, monkeypatch):
    model = load_or_train_parent("lenet5", few, 1, 3, CONFIG.recipe)
    found = early_weights.early_weights("lenet5", few, 1, CONFIG, model, [1], tmp_path)
    other = models.build("lenet5", 2)
    with pytest.raises(InputError, match="seed 1: training again gave another parent"):
        early_weights.early_weights("lenet5", few, 1, CONFIG, other, [1])
    monkeypatch.setattr(early_weights, "train", None)
    read = early_weights.early_weights("lenet5", few, 1, CONFIG, model, [1], tmp_path)
    assert weights_hash(read[1]) == weights_hash(found[1])
    with pytest.raises(InputError, match=r"epoch1.safetensors: expected weights of this parent"):
        early_weights.early_weights("lenet5", few, 1, CONFIG, other, [1], tmp_path)
    (tmp_path / "lenet5-digits-seed1-epoch1.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="expected a complete safetensors file"):
        early_weights.early_weights("lenet5", few, 1, CONFIG, model, [1], tmp_path)


def test_a_row_describes_the_masked_parent_and_the_trained_network(few, monkeypatch):
    start = measure.prepare_start("lenet5", few, 0, CONFIG, 3)
    before = evaluate(start.parent, few)
    masks = {name: torch.rand(w.shape, generator=torch.Generator().manual_seed(0)) < 0.5
             for name, w in start.parent.named_parameters()}  # fmt: skip
    other = models.build("lenet5", 9)
    monkeypatch.setattr(measure, "prune_and_train", lambda *arguments: (other, masks))
    row = measure.measure(start, before, few, "l1", "gradual", 0.5)
    masked = {name: w.detach() * masks[name] for name, w in start.parent.named_parameters()}
    assert row["cosine_pruned"] == pytest.approx(cosine_similarity(start.parent, masked), abs=1e-12)
    assert row["cosine"] == cosine_similarity(start.parent, other) and row["accuracy"] == evaluate(other, few).accuracy
    assert row["accuracy_parent"] == before.accuracy and float(row["min_survival"]) <= 0.5 and row["epochs"] == 3


def test_the_command_measures_only_missing_rows(few, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "load", lambda name, train: few)
    monkeypatch.setattr(measure, "experiment_config", lambda *names: CONFIG)
    measure._cached_start.cache_clear()
    out = tmp_path / "beyond_l1.csv"
    command = ["--network", "lenet5", "--data", "digits", "--epochs", "3", "--out", str(out), "--seeds", "0"]
    monkeypatch.setattr(measure, "STRATEGIES", [("l1", "one-shot"), ("snip", "one-shot")])
    measure.main([*command, "--amounts", "0.9"])
    first = out.read_text()
    monkeypatch.setattr(measure, "STRATEGIES", [("l1", "one-shot"), ("snip", "one-shot"), ("l1", "iterative")])
    measure.main([*command, "--amounts", "0.9"])
    rows: Any = tables.read(out)
    runs = provenance(out)
    assert out.read_text().startswith(first) and list(rows.columns) == list(measure.ROW)
    assert list(zip(rows["method"], rows["rule"], rows["amount"], strict=True)) == [
        ("l1", "one-shot", 0), ("l1", "one-shot", 0.9), ("snip", "one-shot", 0.9), ("l1", "iterative", 0.9),
    ]  # fmt: skip
    [facts] = runs.values()
    assert {"parent_sha256", "source_sha256", "data_sha256", "recipe", "tuning", "commit", "rounds"} <= set(facts)
    assert facts["retraining_epochs"] == 3 and set(facts["early_sha256"]) == {"0", "2"}
    assert rows["cosine_pruned"][0] == pytest.approx(1) and rows["accuracy_pruned"][0] == rows["accuracy_parent"][0]
    assert rows["cosine_pruned"][1] > rows["cosine_pruned"][2]  # no method keeps a higher cosine than L1
    assert not tables.sweeps(tmp_path)
    measure._cached_start.cache_clear()


def test_an_unknown_data_set_is_a_one_line_error(tmp_path, capsys):
    with pytest.raises(SystemExit):
        measure.main(["--data", "letters", "--out", str(tmp_path / "x.csv")])
    assert "data 'letters': expected one of digits" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_the_command_finds_its_own_module_in_other_processes(tmp_path):
    """Functions of the module `__main__` cannot be pickled for another process."""
    command = [sys.executable, "-m", "studies.beyond_l1.measure", "--network", "lenet5", "--data", "digits"]
    settings = ["--seeds", "0", "--amounts", "0.5", "--epochs", "3", "--jobs", "2", "--out", str(tmp_path / "x.csv")]
    done = subprocess.run([*command, *settings], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = tables.read(tmp_path / "x.csv")
    found = set(zip(rows["method"], rows["rule"], rows["amount"], strict=True))
    assert found == set(measure.strategy_jobs([0.5])) and len(rows) == len(found)


@pytest.mark.skipif(not RECORDED.exists(), reason="not recorded")
def test_the_recorded_table_has_all_jobs_and_l1_the_highest_cosine():
    rows: Any = tables.read(RECORDED)
    assert list(rows.columns) == list(measure.ROW) and rows["epochs"].nunique() == 1
    expected = set(measure.strategy_jobs(sorted(set(rows["amount"]) - {0})))
    for _, part in rows.groupby("run"):
        jobs = list(zip(part["method"], part["rule"], part["amount"], strict=True))
        assert set(jobs) == expected and len(jobs) == len(expected)
        highest = part[part["rule"] == "one-shot"].groupby("amount")["cosine_pruned"].max()
        l1 = part[(part["method"] == "l1") & (part["rule"] == "one-shot")].set_index("amount")["cosine_pruned"]
        np.testing.assert_allclose(l1.sort_index(), highest.sort_index(), rtol=0, atol=1e-12)  # the theorem
        assert (part["cosine_pruned"] <= part["amount"].map(l1) + 1e-12).all()
