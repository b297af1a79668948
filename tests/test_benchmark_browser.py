"""The browser benchmark: valid files, one core, and a table with its provenance."""

import csv
import json
import os

import numpy as np
import pytest
import torch

import wmgp
from benchmarks import browser as benchmark_browser
from benchmarks import synthetic_checkpoints
from wmgp.errors import InputError
from wmgp.experiments.results import provenance

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("dtype", synthetic_checkpoints.DTYPES)
def test_written_files_are_valid(tmp_path, dtype):
    from safetensors.torch import load_file

    synthetic_checkpoints.write_checkpoint(tmp_path / "m.safetensors", dtype, [103] * 16)
    tensors = load_file(tmp_path / "m.safetensors")
    assert list(tensors) == [f"{i}.weight" for i in range(16)]
    for tensor in tensors.values():
        assert tensor.dtype == getattr(torch, dtype) and tensor.shape == (103,) and 0.5 < tensor.float().std() < 1.5


def test_the_benchmark_loads_the_scripts_of_the_page_up_to_the_worker(monkeypatch, tmp_path):
    names = [path.name for path in benchmark_browser.page_scripts()]
    assert names[0] == "modules.js" and names[-1] == "worker.js" and "page.js" not in names
    assert all(path.is_file() for path in benchmark_browser.page_scripts())
    monkeypatch.setattr(benchmark_browser, "SCRIPTS_FOLDER", tmp_path)
    with pytest.raises(InputError, match=r"page\.html: not found; the page's scripts are in a checkout only"):
        benchmark_browser.page_scripts()


def test_both_sides_run_on_one_core_and_the_affinity_is_restored():
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system does not hold processes to cores")
    before = os.sched_getaffinity(0)
    with benchmark_browser.one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


class FakePage:
    """A page that returns preset results immediately."""

    def __init__(self, *seconds, cosine):
        self.seconds, self.cosine = list(seconds), cosine

    def set_input_files(self, where, path):
        self.amount = wmgp.analyze(path).optimal.amount
        self.cosine = self.cosine or wmgp.analyze(path).optimal.cosine

    def evaluate(self, script):
        return {"seconds": self.seconds.pop(0), "amount": self.amount, "cosine": self.cosine}


def test_a_row_has_the_fastest_run_after_the_first(tmp_path):
    page = FakePage(0.001, 0.5, 0.25, cosine=None)
    row = benchmark_browser.measure_dtype(page, "float32", 160_007, 2, tmp_path)  # in 16 tensors of the same size
    assert (row["parameters"], row["browser_seconds"], row["browser_millions"]) == (160_000, 0.25, 0.64)
    assert row["ratio"] == pytest.approx(0.25 / row["native_seconds"]) and not any(tmp_path.iterdir())
    assert row["native_millions"] == pytest.approx(0.16 / row["native_seconds"])


def test_a_page_with_a_different_result_is_refused(tmp_path):
    with pytest.raises(InputError, match="float16: the page answers"):
        benchmark_browser.measure_dtype(FakePage(1, 1, cosine=0.5), "float16", 1600, 1, tmp_path)


def test_a_small_run_writes_its_table(tmp_path, capsys):
    try:
        with benchmark_browser.chromium():
            pass
    except InputError as error:
        pytest.skip(str(error))
    out = tmp_path / "made" / "browser.csv"
    benchmark_browser.main(
        ["--parameters", "160000", "--repeats", "1", "--dtypes", "bfloat16", "float64", "--out", str(out)]
    )
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert tuple(rows[0]) == benchmark_browser.COLUMNS and [row["dtype"] for row in rows] == ["bfloat16", "float64"]
    for row in rows:
        seconds = [float(row[name]) for name in ("browser_seconds", "native_seconds")]
        assert float(row["ratio"]) == pytest.approx(seconds[0] / seconds[1], rel=1e-4)
        assert float(row["browser_millions"]) == pytest.approx(0.16 / seconds[0], rel=1e-4)
    facts = provenance.provenance(out)[rows[0]["run"]]
    assert facts["browser"].startswith("Chromium ") and len(facts["scripts_sha256"]) == 64
    assert json.loads(out.with_suffix(".json").read_text()).keys() == {rows[0]["run"]}
    assert "million values a second" in capsys.readouterr().out
    assert np.isfinite([float(row["native_millions"]) for row in rows]).all()
