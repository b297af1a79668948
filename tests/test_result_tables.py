"""Result tables, to which rows are appended; their provenance; and interval estimates."""

import json
import multiprocessing
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from wmgp import InputError
from wmgp.experiments.results import formatting, provenance, tables
from wmgp.experiments.statistics import intervals


def row(run, seed=0, **cells):
    cells = {"network": "lenet5", "data": "digits", "seed": seed, "method": "l1", "device": "cpu", "run": run} | cells
    return {name: cells.get(name, 0.25) for name in (*tables.COLUMNS, "rule")} | {"epochs": 1, "rule": "optimal"}


@pytest.fixture
def table(tmp_path):
    """An empty table's path with one recorded run, and that run's id."""
    path = tmp_path / "made" / "table.csv"
    return path, provenance.record_run(path, {"seed": 0}, "wmgp sweep")


def test_rows_are_read_back_unchanged(table):
    path, run = table
    exact = 0.1 + 0.2  # 17 digits
    tables.append_row(path, row(run, loss=exact, cka=float("nan")))
    tables.append_row(path, row(run, seed=7, loss=1e-310, data='a, "quoted" name'))
    found: Any = tables.read(path)
    assert list(found["loss"]) == [exact, 1e-310] and found["cka"].isna().tolist() == [True, False]
    assert found["seed"].tolist() == [0, 7] and found["seed"].dtype == np.int64
    assert found["data"][1] == 'a, "quoted" name'
    assert path.read_text().count("\n") == 3


def test_a_row_with_missing_or_unknown_columns_is_refused(table):
    path, run = table
    with pytest.raises(InputError, match="a row without the column loss$"):
        tables.append_row(path, {name: cell for name, cell in row(run).items() if name != "loss"})
    tables.append_row(path, row(run))
    with pytest.raises(InputError, match="expected a row of the columns"):
        tables.append_row(path, row(run) | {"another": 1})
    with pytest.raises(InputError, match="a row of one line"):
        tables.append_row(path, row(run, data="two\nlines"))
    assert len(tables.read(path)) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.25,", "nought,", "is 'nought', expected a number"),
        ("0.25,", "", "columns, found"),
        ("digits", '"digits', "line 3"),
        (",0.25,1,", ",1.25,1,", "amount is 1.25, expected 0 to 1"),
        (",0.25,1,", ",nan,1,", "amount is nan, expected 0 to 1"),
    ],
)
def test_a_corrupt_line_is_named(table, old, new, said):
    path, run = table
    for seed in range(3):
        tables.append_row(path, row(run, seed=seed))
    lines = path.read_text().split("\n")
    assert old in lines[2]
    lines[2] = lines[2].replace(old, new, 1)
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"table\.csv, line 3") as caught:
        tables.read(path)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_row_without_provenance_is_named(table):
    path, run = table
    tables.append_row(path, row(run))
    tables.append_row(path, row("0123456789ab"))
    with pytest.raises(InputError, match=r"line 3: run '0123456789ab' has no provenance"):
        tables.read(path)
    path.with_suffix(".json").write_text("{")
    with pytest.raises(InputError, match=r"table\.json: expected a JSON object"):
        tables.read(path)


def test_a_truncated_last_row_is_ignored_and_overwritten(table):
    path, run = table
    tables.append_row(path, row(run))
    whole = path.read_bytes()
    path.write_bytes(whole + b"lenet5,digits,1,l")
    assert tables.read(path)["seed"].tolist() == [0]
    tables.append_row(path, row(run, seed=2))
    assert tables.read(path)["seed"].tolist() == [0, 2]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\n", b"network,data\n"])
def test_a_file_that_is_not_a_table_is_refused(tmp_path, content):
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"table\.csv"):
        tables.read(path)


@pytest.mark.slow
def test_a_full_disk_leaves_the_table_unchanged(table):
    path, run = table
    tables.append_row(path, row(run))
    before = path.read_bytes()
    script = f"""
import resource, signal
from wmgp.experiments.results import tables
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 20}, {len(before) + 20}))
tables.append_row({str(path)!r}, {row(run, seed=1)!r})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1 and "OSError" in done.stderr
    assert path.read_bytes() == before


def _append_many(path, run, first):
    for seed in range(first, first + 50):
        tables.append_row(path, row(run, seed=seed))


@pytest.mark.slow
def test_two_processes_share_a_table(table):
    path, run = table
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append_many, args=(path, run, first)) for first in (0, 50)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert sorted(tables.read(path)["seed"]) == list(range(100))


def test_measured_rows_are_found_by_their_settings(table, tmp_path):
    path, run = table
    settings = {"seed": 0}
    assert not tables.has_rows(tmp_path / "absent.csv") and not tables.has_measured(tmp_path / "absent.csv", settings)
    assert not tables.has_rows(path) and not tables.has_measured(path, settings)
    tables.append_row(path, row(run, seed=4))
    assert tables.has_rows(path) and tables.has_measured(path, settings, seed=4)
    assert not tables.has_measured(path, {"seed": 1}, seed=4) and not tables.has_measured(path, settings, seed=5)


def test_rows_of_another_source_are_reused_and_rows_of_another_version_are_not(table, monkeypatch):
    path, run = table
    tables.append_row(path, row(run, seed=4))
    record = path.with_suffix(".json")
    runs = json.loads(record.read_text())
    runs[run] |= {"source_sha256": "another", "commit": "another", "date": "2000-01-01"}
    record.write_text(json.dumps(runs))
    assert tables.has_measured(path, {"seed": 0}, seed=4)
    monkeypatch.setattr(provenance, "EXPERIMENT_VERSION", provenance.EXPERIMENT_VERSION + 1)
    assert not tables.has_measured(path, {"seed": 0}, seed=4)


def test_the_settings_key_does_not_contain_the_source(monkeypatch):
    key = provenance.current_key({"seed": 0})
    monkeypatch.setattr(provenance, "source_hash", lambda: "another")
    assert provenance.current_key({"seed": 0}) == key and "source" not in key


def test_locate_searches_parent_folders(tmp_path, monkeypatch):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.csv").touch()
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert tables.locate("a.csv") == tmp_path / "results" / "a.csv"
    with pytest.raises(InputError, match=r"results/b\.csv: expected in"):
        tables.locate("b.csv")


def test_equal_settings_give_the_same_run(table):
    path, run = table
    assert provenance.record_run(path, {"seed": 0}, "wmgp sweep", seconds=1.5) == run
    assert provenance.record_run(path, {"seed": 1}, "wmgp sweep") != run
    recorded = provenance.provenance(path)
    assert len(recorded) == 2 and recorded[run]["wall_seconds"] == 1.5
    assert {"commit", "date", "started", "versions", "cpu", "gpu", "threads"} <= set(recorded[run])
    assert json.loads(path.with_suffix(".json").read_text()) == recorded


def test_the_source_hash_is_reproducible():
    assert provenance.source_hash() == provenance.source_hash() and len(provenance.source_hash()) == 64


def test_the_weights_hash_depends_on_names_shapes_types_and_values():
    def hashed(name="a", shape=(2, 3), dtype=torch.float32, value=1.0):
        tensor = torch.zeros(shape, dtype=dtype)
        tensor[0, 0] = value
        return provenance.weights_hash({name: tensor, "b": torch.ones(2)})

    variants = [hashed(), hashed(name="c"), hashed(shape=(3, 2)), hashed(dtype=torch.bfloat16), hashed(value=2.0)]
    assert len(set(variants)) == len(variants)
    laid_out = torch.arange(16.0).reshape(1, 2, 2, 4)
    channels_last = laid_out.to(memory_format=torch.channels_last)
    assert provenance.weights_hash({"a": laid_out}) == provenance.weights_hash({"a": channels_last})


def test_intervals_by_hand():
    # n = 4, mean 5, deviations -3 -1 1 3, s = sqrt(20 / 3); t(0.975, 3) = 3.182446305284263
    half = 3.182446305284263 * np.sqrt(20 / 3)
    assert intervals.mean_interval([2, 4, 6, 8]) == pytest.approx((5, 5 - half / 2, 5 + half / 2))
    assert intervals.prediction_interval([2, 4, 6, 8]) == pytest.approx(
        (5, 5 - half * np.sqrt(1.25), 5 + half * np.sqrt(1.25))
    )
    mean, low, high = intervals.mean_interval([3.0])
    assert mean == 3 and np.isnan(low) and np.isnan(high)
    for values, level in (([], 0.95), ([1.0, 2.0], 1.0)):
        with pytest.raises(InputError, match="expected at least one value"):
            intervals.mean_interval(values, level)


def test_geometric_interval_by_hand():
    # Logarithms of 1, 2, 4: mean and standard deviation are ln 2; t(0.975, 2) = 4.302652729749464
    far = 2 ** (4.302652729749464 / np.sqrt(3))
    assert intervals.geometric_interval([1, 2, 4]) == pytest.approx((2, 2 / far, 2 * far))


def test_the_prediction_interval_covers_a_new_run(rng):
    samples = rng.normal(3, 2, size=(2000, 6))
    inside = [low <= new <= high for *seen, new in samples for _, low, high in [intervals.prediction_interval(seen)]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)


def swept(run, **cells):
    """A row of a sweep."""
    cells = row(run, **cells) | {"loss_parent": 0.25}
    return {name: cells[name] for name in tables.SWEEP}


def test_sweeps_are_separated_by_network_data_start_and_epochs(table):
    path, _ = table
    facts = {"date": "2026-01-02", "parent_sha256": "ab"}
    scratch, imagenet = (
        provenance.record_run(path, {**facts, "start": start}, "wmgp sweep") for start in ("scratch", "IMAGENET")
    )
    other = path.with_name("other.csv")
    tables.append_row(other, row(provenance.record_run(other, facts, "wmgp sweep")))
    for run, data in ((scratch, "digits"), (imagenet, "digits"), (scratch, "mnist"), (scratch, "digits")):
        tables.append_row(path, swept(run, data=data))
    tables.append_row(path, swept(scratch, data="mnist") | {"epochs": 10})
    path.with_name("speed.csv").write_text("case,ratio\na,1\n")
    path.with_name("empty.csv").touch()
    facts = ["data", "start", "epochs"]
    found = [(name, *part.iloc[0][facts], len(part)) for name, part in tables.sweeps(path.parent)]
    assert found == [
        *(("table.csv", "digits", "IMAGENET", 1, 1), ("table.csv", "digits", "scratch", 1, 2)),
        *(("table.csv", "mnist", "scratch", 1, 1), ("table.csv", "mnist", "scratch", 10, 1)),
    ]
    assert set(tables.sweeps(path.parent)[0][1]["parent_sha256"]) == {"ab"}


def test_intervals_and_ranges_are_formatted():
    nan = float("nan")
    assert formatting.format_interval(0.12345, 0.1, 0.2) == "0.123 (0.100 to 0.200)"
    assert (
        formatting.format_interval(1.0, nan, nan, "+.2f") == "+1.00" and formatting.format_interval(nan, nan, nan) == ""
    )
    assert formatting.format_interval(-0.001, -0.2, 0.001, "+.2f") == "+0.00 (-0.20 to +0.00)"
    assert formatting.format_interval(-0.001, -0.2, 0.001, ".2f") == "0.00 (-0.20 to 0.00)"
    assert formatting.format_mean_range([1.0, None, 2.0], ".1f") == "1.5 (1.0 to 2.0)"
    assert formatting.format_mean_range([0.791, 0.789], ".2f") == "0.79"
    assert (formatting.format_mean_range([1.0], ".2f"), formatting.format_mean_range([None], ".2f")) == (
        "1.00",
        "undefined",
    )
