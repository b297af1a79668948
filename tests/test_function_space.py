"""Distances and maps in function space by hand, and prunes equal to those of a sweep."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from studies.function_space import measure
from wmgp import InputError
from wmgp.experiments import data
from wmgp.experiments.results import tables
from wmgp.experiments.sweep import runner, worker
from wmgp.experiments.sweep.presets import PRESETS
from wmgp.experiments.training import recipes

ONE_EPOCH = replace(recipes.DIGITS_CONFIG, epochs=1)


def test_probabilities_are_a_softmax():
    found = measure.softmax(np.log([[1.0, 3.0], [2.0, 2.0]]).astype(np.float16))
    np.testing.assert_allclose(found, [[0.25, 0.75], [0.5, 0.5]], atol=1e-3)
    assert found.dtype == np.float64


def test_networks_that_contradict_each_other_are_ln_2_apart():
    sure, other = np.array([[50.0, -50.0]]), np.array([[-50.0, 50.0]])
    far = measure.js_divergences(np.stack([sure, other]), sure)
    np.testing.assert_allclose(far, [0, np.log(2)], atol=1e-12)


def test_equally_distant_epochs_by_hand():
    way = np.array([0.8, 0.4, 0.5, 0.1, 0.0])
    found = [measure.equally_distant_epoch(far, way) for far in (0.9, 0.8, 0.5, 0.3, 0.1, 0.05, 0.0)]
    assert found == pytest.approx([0, 0, 2, 2.5, 3, 3.5, 4])  # from 0.5 down, the second crossing counts


def test_a_map_separates_two_groups_and_is_deterministic(rng):
    logits = rng.normal(size=(12, 5, 3)) * 0.1
    logits[6:, :, 0] += 8
    points = measure.tsne_embedding(logits, 0, 3)
    within = np.linalg.norm(points[:6] - points[:6].mean(axis=0), axis=1).max()
    assert points.shape == (12, 2) and np.linalg.norm(points[:6].mean(axis=0) - points[6:].mean(axis=0)) > 2 * within
    np.testing.assert_array_equal(points, measure.tsne_embedding(logits, 0, 3))
    with pytest.raises(InputError, match="perplexity 12: expected a number between 0 and 12"):
        measure.tsne_embedding(logits, 0, 12)


@pytest.fixture(scope="module")
def measured():
    with worker.use_one_thread():
        return measure.measure(
            "lenet5", data.load("digits", True), data.load("digits", False), 0, ONE_EPOCH, (0.0, 0.9)
        )


def test_networks_are_in_order(measured):
    _, arrays = measured
    assert arrays["kind"].tolist() == ["training", "training", "l1", "l1", "random", "random"]
    assert arrays["epoch"].tolist() == [0, 1, -1, -1, -1, -1] and arrays["amount"].tolist() == [0, 0, 0, 0.9, 0, 0.9]
    assert arrays["logits"].shape == (6, len(arrays["labels"]), 10) and np.isnan(arrays["cosine"][:2]).all()
    assert arrays["cosine"][[2, 4]] == pytest.approx(1) and arrays["cosine"][5] == pytest.approx(0.1**0.5, abs=0.05)


def test_the_training_trajectory_ends_at_the_parent(measured):
    model, arrays = measured
    images, _ = data.load("digits", False).batch(torch.arange(len(arrays["labels"])))
    with torch.inference_mode():
        np.testing.assert_allclose(arrays["logits"][1], model(images).numpy(), atol=2e-2)


@pytest.mark.slow
def test_prunes_equal_those_of_a_sweep(measured, tmp_path):
    """The measurement uses the whole test set of the digits, so agreement covers the same images."""
    [tiny] = PRESETS["tiny"]
    runner.run([replace(tiny, amounts=(0.9,))], tmp_path / "rows.csv", 1, "cpu")
    rows = tables.read(tmp_path / "rows.csv").set_index("method")
    _, arrays = measured
    said = arrays["logits"].argmax(axis=2)
    for i, method in ((3, "l1"), (5, "random")):
        assert arrays["cosine"][i] == rows["cosine_pruned"][method]
        assert (said[i] == said[1]).mean() == pytest.approx(rows["agreement"][method], abs=0.005)  # half precision
        far = measure.js_divergences(arrays["logits"][[i]], arrays["logits"][1])
        assert far[0] == pytest.approx(rows["js"][method], rel=1e-2)


def test_a_record_has_its_provenance(tmp_path, monkeypatch, measured):
    monkeypatch.setattr(measure, "measure", lambda *a: measured)
    out = tmp_path / "made" / "functions.npz"
    measure.main(["--data", "digits", "--seed", "0", "--steps", "1", "--out", str(out)])
    facts = json.loads(out.with_suffix(".json").read_text())
    assert {"commit", "source_sha256", "data_sha256", "parent_sha256", "recipe"} <= set(facts)
    with np.load(out) as arrays:
        assert set(arrays.files) == set(measured[1])
    assert sorted(path.name for path in out.parent.iterdir()) == ["functions.json", "functions.npz"]


def test_missing_data_are_a_one_line_error(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("WMGP_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        measure.main([])
    assert "WMGP_DATA" in capsys.readouterr().err.splitlines()[-1] and not list(tmp_path.iterdir())
