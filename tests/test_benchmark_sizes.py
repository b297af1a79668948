"""The benchmarks of sizes: valid files, peers that work, and tables with their provenance."""

import csv

import numpy as np
import pandas as pd
import pytest
import torch
from drawings import ys
from safetensors.torch import load_file

import wmgp
from benchmarks import gpu as benchmark_device
from benchmarks import peak_memory, synthetic_checkpoints
from benchmarks import sizes as benchmark_sizes
from benchmarks.figure import speed_figure
from wmgp.experiments.results import provenance

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("n", "number"), [(1000, 1), (1001, 3)])
def test_written_shards_are_valid(tmp_path, monkeypatch, n, number):
    monkeypatch.setattr(synthetic_checkpoints, "CHUNK", 100)
    monkeypatch.setattr(synthetic_checkpoints, "MAX_TENSOR_SIZE", 150)
    paths = synthetic_checkpoints.write_shards(tmp_path, n, number)
    assert len(paths) == number
    tensors = [tensor for path in paths for tensor in load_file(path).values()]
    values = torch.cat(tensors)
    assert len(values) == n and values.dtype == torch.bfloat16 and max(map(len, tensors)) == 150
    assert 0.5 < values.float().std() < 1.5 and not torch.equal(values[:100], values[100:200])


def test_sparse_shards_have_one_nonzero_value_per_tensor_and_take_little_space(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_checkpoints, "MAX_TENSOR_SIZE", 1 << 21)
    paths = synthetic_checkpoints.write_shards(tmp_path, 3 << 21, 2, sparse=True)
    values = torch.cat([tensor for path in paths for tensor in load_file(path).values()])
    assert len(values) == 3 << 21 and values.float().sum() == len(values.nonzero()) == 4
    assert sum(path.stat().st_blocks for path in paths) * 512 < 1 << 20 < sum(path.stat().st_size for path in paths)
    assert wmgp.analyze(tmp_path).n_prunable == 3 << 21


def test_a_file_dropped_from_the_cache_is_unchanged(tmp_path):
    path, *_ = synthetic_checkpoints.write_shards(tmp_path, 1000, 1)
    before = path.read_bytes()
    synthetic_checkpoints.drop_from_cache(path)
    assert path.read_bytes() == before


def test_both_sides_are_timed_in_turn_after_a_warm_up():
    calls = []
    timed = benchmark_sizes.time_in_turn(
        lambda: calls.append("ours"), lambda: calls.append("theirs"), 2, lambda: calls.append("-")
    )
    assert calls == ["ours", *["-", "ours", "-", "theirs"] * 2] and timed[2] == 2


def test_slow_calls_are_timed_once(monkeypatch):
    monkeypatch.setattr(benchmark_sizes, "MAX_SECONDS", 0)
    assert benchmark_sizes.time_in_turn(lambda: None, lambda: None, 3)[2] == 1


def test_the_peers_leave_a_tensor_unchanged():
    weights = torch.from_numpy(np.random.default_rng(0).standard_normal(100, dtype=np.float32))
    before = weights.clone()
    for peer in benchmark_sizes.PEERS.values():
        peer.work(weights)
        assert torch.equal(weights, before)


def test_peak_memory_excludes_the_data(tmp_path):
    if np.isnan(found := peak_memory.peak_memory(1 << 20)):
        pytest.skip("this system does not tell")
    path, *_ = synthetic_checkpoints.write_shards(tmp_path, 1 << 20, 1)
    assert 0 <= found < 1000 and 0 <= peak_memory.peak_memory(path) < 1000


def test_a_small_run_writes_its_table(tmp_path, capsys):
    out = tmp_path / "sizes.csv"
    benchmark_sizes.main(["--largest", "10000", "--repeats", "1", "--out", str(out)])
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert tuple(rows[0]) == benchmark_sizes.COLUMNS
    assert [row["peer"] for row in rows] == [*benchmark_sizes.PEERS, "cat"]
    for row in rows:
        assert float(row["ratio"]) == pytest.approx(float(row["peer_seconds"]) / float(row["seconds"]), rel=1e-4)
    assert provenance.provenance(out).keys() == {row["run"] for row in rows}
    assert "published method, 101 prunes" in capsys.readouterr().out


def test_the_figure_has_a_line_for_each_function():
    row = benchmark_sizes.make_row
    rows = pd.DataFrame(
        [row(benchmark_sizes.TENSOR, peer, n, (0.5 * n, times * n, 1))
         for n in (10, 100) for peer, times in (("torch.sum", 0.1), ("torch.sort", 2.0))]
        + [row(what, "cat", n, (0.5 * n, 0.25 * n, 1)) for what in ("a file, warm", "a file, cold") for n in (10, 100)]
    )  # fmt: skip
    above, below = speed_figure(rows).axes
    drawn = {line.get_label(): ys(line) for line in above.lines}
    assert drawn == {"torch.sort": [20, 200], "wmgp.analyze": [5, 50], "torch.sum": [1, 10]}
    assert {line.get_label() for line in below.lines} == {
        "wmgp.analyze, warm",
        "wmgp.analyze, cold",
        "cat, warm",
        "cat, cold",
    }
    assert all(axes.get_xscale() == axes.get_yscale() == "log" for axes in (above, below))


def test_the_device_histogram_is_timed_against_a_copy(tmp_path, capsys):
    out = tmp_path / "device.csv"
    benchmark_device.main(["--largest", "1000000", "--repeats", "1", "--device", "cpu", "--out", str(out)])
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [(row["what"], row["peer"], row["values"]) for row in rows] == [
        (benchmark_device.HISTOGRAM, benchmark_device.COPY, "1000000"),
        (benchmark_device.ANALYZE, benchmark_device.COPY, "1000000"),
    ]
    assert provenance.provenance(out)[rows[0]["run"]]["device"] == "cpu"
    assert "a copy on the device" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        benchmark_device.main(["--device", "cuda:99", "--out", str(out)])
    error = capsys.readouterr().err
    assert error.startswith("device 'cuda:99'") and error.count("\n") == 1


def test_the_copy_equals_its_source():
    weights, target = torch.arange(5.0), torch.zeros(5)
    benchmark_device.copy_and_wait(weights, target)
    assert torch.equal(weights, target)
