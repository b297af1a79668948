"""The benchmark of one job: both implementations agree, and the table has its provenance."""

import csv

import pytest
import torch

from benchmarks import memory_formats as benchmark_formats
from benchmarks import sweep as benchmark_sweep
from wmgp.experiments import data, models
from wmgp.experiments.results import provenance

pytestmark = pytest.mark.slow


def few(n):
    return benchmark_sweep.load_images_or_noise("lenet5", "digits", n)


def test_single_images_equal_the_batch():
    images, _ = few(5)
    pictures = benchmark_sweep.PilImages(images)
    batch, labels = images.batch(torch.arange(5))
    for i in range(5):
        picture, label = pictures[i]
        torch.testing.assert_close(picture, batch[i])
        assert label == labels[i]


def test_both_implementations_prune_and_train_alike():
    """A single batch excludes differences in order: weights and accuracies agree."""
    training, test = few(64)
    theirs, ours = models.build("lenet5", 0), models.build("lenet5", 0)
    accuracies = (
        benchmark_sweep.published_job(theirs, training, test, workers=0),
        benchmark_sweep.our_jobs("lenet5", [ours], training, test)[0],
    )
    assert accuracies[0] == accuracies[1]
    for name, p in ours.named_parameters():
        module, _, parameter = name.rpartition(".")
        held = theirs.get_parameter(f"{name}_orig") * theirs.get_submodule(module).get_buffer(f"{parameter}_mask")
        torch.testing.assert_close(p, held, rtol=1e-4, atol=1e-6)


def test_a_small_run_writes_its_table(tmp_path, capsys):
    out = tmp_path / "made" / "bench.csv"
    arguments = ["--networks", "lenet5", "--data", "digits", "--images", "64", "--repeats", "1", "--device", "cpu"]
    benchmark_sweep.main([*arguments, "--least", "0", "--out", str(out)])
    [row] = csv.DictReader(out.read_text().splitlines())
    assert tuple(row) == benchmark_sweep.COLUMNS
    assert (row["case"], row["data"], row["images"]) == ("lenet5", "digits", "64")
    assert float(row["ratio"]) == pytest.approx(float(row["peer_seconds"]) / float(row["seconds"]), rel=1e-4)
    assert provenance.provenance(out)[row["run"]]["networks"] == ["lenet5"]
    assert "as published" in capsys.readouterr().out


def test_noise_replaces_missing_data(monkeypatch):
    monkeypatch.delenv("WMGP_DATA", raising=False)
    training, test = benchmark_sweep.load_images_or_noise("mobilenet_v2", "cifar10", 8)
    assert training.name == test.name == "noise" and training.images.shape == (8, 3, 32, 32)
    assert data.load("digits", True).name == "digits"


def test_formats_are_timed_against_each_other(tmp_path, capsys):
    out = tmp_path / "formats.csv"
    benchmark_formats.main(["--networks", "lenet5", "--images", "64", "--repeats", "1", "--out", str(out)])
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert tuple(rows[0]) == benchmark_formats.COLUMNS
    assert {(row["memory"], row["precision"]) for row in rows} == {
        (memory, precision) for memory in ("contiguous", "channels_last") for precision in ("float32", "bfloat16")
    }
    plain = next(row for row in rows if (row["memory"], row["precision"]) == ("contiguous", "float32"))
    assert float(plain["relative"]) == 1
    for row in rows:
        ratio = float(row["images_per_second"]) / float(plain["images_per_second"])
        assert float(row["relative"]) == pytest.approx(ratio, rel=1e-4)
    assert provenance.provenance(out)[rows[0]["run"]]["networks"] == ["lenet5"]
    assert "lenet5" in capsys.readouterr().out
