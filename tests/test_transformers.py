"""The study of a pruned vision transformer: on a few digits, and its recorded table."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import wmgp
from studies.transformers import measure
from studies.transformers.measure import METHODS, POOLS, Study
from studies.transformers.vit import vit
from wmgp.experiments import data
from wmgp.experiments.results import tables
from wmgp.experiments.results.provenance import provenance
from wmgp.experiments.training.loop import evaluate, train
from wmgp.experiments.training.recipes import DIGITS_CONFIG
from wmgp.experiments.training.sgd import Recipe
from wmgp.pruning import apply_masks, global_masks

RECORDED = Path(__file__).parent.parent / "results" / "vit_fashion_mnist.csv"
CONFIG = replace(DIGITS_CONFIG, epochs=1)
STUDY = Study("digits", CONFIG, (0.0, 0.6), (1,))


@pytest.fixture
def few(monkeypatch):
    """Replace the data set by 96 digits."""
    images = data.load("digits", True).first(96)
    few = data.image_data_from_arrays("few", images.images.numpy(), images.labels.numpy())
    monkeypatch.setattr(measure, "load", lambda name, train: few)
    caches = measure._images, measure._cached_parent
    for cache in caches:
        cache.cache_clear()
    yield few
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("pool", POOLS)
def test_pruned_weights_stay_zero_in_fine_tuning(few, pool):
    model = vit(0)
    train(model, few, 2, 0, Recipe(0.05, batch_size=16))
    child, masks = copy.deepcopy(model), global_masks(model, 0.6, "random", pool, 0)
    apply_masks(child, masks)
    train(child, few, 1, 0, Recipe(0.05, batch_size=16), masks)
    before, after = dict(model.named_parameters()), dict(child.named_parameters())
    assert all(bool((after[name][~mask] == 0).all()) for name, mask in masks.items())
    fused = "encoder.layers.encoder_layer_0.self_attention.in_proj_weight"
    assert (fused in masks) == ("class_token" in masks) == (pool == "all")
    if pool == "all":  # some query, key and value weights are pruned, the others trained
        assert 0.5 < float((after[fused] == 0).double().mean()) < 0.7
    else:
        assert not (after[fused] == 0).any() and not torch.equal(after["class_token"], torch.zeros(1, 1, 48))
    assert not torch.equal(before[fused], after[fused])


def test_a_row_by_hand(few):
    model = vit(0)
    train(model, few, 2, 0, Recipe(0.05, batch_size=16))
    before = evaluate(model, few)
    row = measure.measure_prune(model, before, "weight_bias", "l1", 0.5, few, few, 0, replace(CONFIG, tuning_epochs=0))
    total = sum(p.numel() for p in model.parameters())
    pooled = sum(p.numel() for name, p in model.named_parameters() if name.rpartition(".")[2] in ("weight", "bias"))
    assert row["share"] == round(0.5 * pooled) / total and row["accuracy_parent"] == before.accuracy
    assert row["accuracy"] == row["accuracy_pruned"] and row["cosine"] == row["cosine_pruned"]
    small = sorted(
        abs(float(value)) for name, p in model.named_parameters() for value in p.detach().flatten()
        if name.rpartition(".")[2] in ("weight", "bias")
    )[: round(0.5 * pooled)]  # fmt: skip
    energy = sum(float(p.detach().double().pow(2).sum()) for p in model.parameters())
    kept = 1 - math.fsum(value**2 for value in small) / energy
    assert row["cosine_pruned"] == pytest.approx(kept**0.5, rel=1e-9)


@pytest.mark.slow
def test_only_missing_rows_are_measured(few, tmp_path):
    out, events = tmp_path / "vit.csv", []
    assert measure.run(STUDY, out, progress=lambda *event: events.append(event)) == 8
    assert events.count(("parents", 1, 1)) == events.count(("jobs", 4, 4)) == len(POOLS) and events[-1] == (
        "jobs",
        4,
        4,
    )
    rows: Any = tables.read(out)
    runs = provenance(out)
    assert list(rows.columns) == list(measure.ROW)
    jobs = [(pool, method, amount) for pool in POOLS for method in METHODS for amount in STUDY.amounts]
    assert list(zip(rows["pool"], rows["method"], rows["amount"], strict=True)) == jobs
    assert {run["pool"] for run in runs.values()} == set(POOLS) and len(runs) == 2
    nothing = rows[rows["amount"] == 0]
    assert len(set(nothing["accuracy"])) == 1
    assert nothing["cosine_pruned"].to_list() == pytest.approx([1] * 4, abs=1e-12)
    text = out.read_text().splitlines(keepends=True)
    out.write_text("".join(text[:-3]))
    assert measure.run(STUDY, out) == 3
    again = tables.read(out).drop(columns="seconds")
    assert again.equals(rows.drop(columns="seconds"))
    assert measure.run(replace(STUDY, amounts=(0.0, 0.6, 0.9)), out) == 4
    assert sorted(path.name for path in (tmp_path / "transformers").iterdir()) == [
        "vit-few-seed1.json", "vit-few-seed1.npz", "vit-few-seed1.safetensors", "vit-init-seed1.safetensors",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_table_is_not_listed_as_a_sweep(few, tmp_path):
    measure.run(replace(STUDY, amounts=(0.6,)), tmp_path / "vit.csv")
    assert set(tables.COLUMNS) <= set(tables.read(tmp_path / "vit.csv").columns)
    assert tables.sweeps(tmp_path) == []


@pytest.mark.slow
def test_the_command_adds_rows_and_refuses_other_tables(few, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "FASHION", replace(STUDY, amounts=(0.5,)))
    measure.main(["--out", str(tmp_path / "vit.csv"), "--seeds", "1"])
    assert capsys.readouterr().err.splitlines() == ["parents: 1 done", "jobs: 2 done"] * 2
    assert len(tables.read(tmp_path / "vit.csv")) == 4
    (tmp_path / "vit.csv").write_text("a,b\n")
    with pytest.raises(SystemExit):
        measure.main(["--out", str(tmp_path / "vit.csv"), "--seeds", "1"])
    assert "expected a column network" in capsys.readouterr().err


@pytest.mark.skipif(not RECORDED.exists(), reason="not recorded")
def test_the_recorded_table_is_complete():
    rows: Any = tables.read(RECORDED)
    study = measure.FASHION
    assert list(rows.columns) == list(measure.ROW)
    jobs = {(s, p, m, a) for s in study.seeds for p in POOLS for m in METHODS for a in study.amounts}
    assert set(zip(rows["seed"], rows["pool"], rows["method"], rows["amount"], strict=True)) == jobs
    assert len(rows) == len(jobs)
    l1 = rows[rows["method"] == "l1"].sort_values("amount").groupby(["seed", "pool"])["cosine_pruned"]
    for (seed, pool), cosines in l1:
        path = RECORDED.parent / "transformers" / f"vit-fashion_mnist-seed{seed}.safetensors"
        assert path.stat().st_size < 500_000
        front = wmgp.analyze(path, pool=pool, amounts=study.amounts).front
        assert cosines.to_list() == pytest.approx(front.cosine, abs=1e-9)
