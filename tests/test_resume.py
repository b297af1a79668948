"""The resume loop with a cheap experiment, and the commands that measure recorded rows again."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from wmgp.cli import main
from wmgp.experiments.results import provenance, tables
from wmgp.experiments.sweep import presets, resume, runner

RESULTS = Path(__file__).parent.parent / "results"
ROW = dict.fromkeys(tables.COLUMNS, 0.0) | dict.fromkeys(("data", "method", "device"), "-") | {"epochs": 1}
COLUMNS = tuple(ROW)


def settings(spec):
    return {"network": spec[0]}


def jobs(spec):
    return [(x,) for x in spec[1]]


def rows(spec, run, jobs):
    return [ROW | {"network": spec[0], "seed": x, "loss": float(x * x), "run": run} for (x,) in jobs]


def command(spec):
    return f"measure {spec[0]}"


SQUARES = resume.Experiment(COLUMNS, ("seed",), settings, jobs, rows, command)


def measure(table: Path, *specs, experiment=SQUARES) -> int:
    return resume.resume(table, specs, experiment, backend="sequential")


def test_only_missing_rows_are_measured(tmp_path):
    table = tmp_path / "squares.csv"
    assert measure(table, ("a", [1, 2])) == 2
    assert measure(table, ("a", [1, 2, 3]), ("b", [1])) == 2
    read = pd.read_csv(table)
    assert list(zip(read["network"], read["seed"], read["loss"], strict=True)) == [
        ("a", 1, 1), ("a", 2, 4), ("a", 3, 9), ("b", 1, 1),
    ]  # fmt: skip
    assert {run["command"] for run in provenance.provenance(table).values()} == {"measure a", "measure b"}


def test_nothing_is_written_when_no_row_is_missing(tmp_path):
    table = tmp_path / "squares.csv"
    measure(table, ("a", [1, 2]))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    assert measure(table, ("a", [2, 1])) == 0
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_another_source_command_or_machine_closes_no_table(tmp_path, monkeypatch):
    table = tmp_path / "squares.csv"
    measure(table, ("a", [1, 2]))
    monkeypatch.setattr(provenance, "source_hash", lambda: "another")
    assert measure(table, ("a", [1, 2]), experiment=replace(SQUARES, command=lambda spec: "other")) == 0
    assert measure(table, ("a", [3])) == 1
    assert len(provenance.provenance(table)) == 2  # the new row has a run of its own, with the new source


def test_another_experiment_version_measures_every_row_again(tmp_path, monkeypatch):
    table = tmp_path / "squares.csv"
    measure(table, ("a", [1, 2]))
    monkeypatch.setattr(provenance, "EXPERIMENT_VERSION", provenance.EXPERIMENT_VERSION + 1)
    assert measure(table, ("a", [1, 2])) == 2


# -- commands -------------------------------------------------------------------------------------------------------


def read_back(command: str, monkeypatch) -> list[presets.Sweep]:
    """Return the sweeps that a `wmgp sweep` command would run."""
    read = []
    monkeypatch.setattr(runner, "run", lambda sweeps, *rest: read.extend(sweeps))
    with pytest.raises(SystemExit, match="^0$"):
        main(shlex.split(command)[1:])
    return read


SWEEPS = [
    presets.Sweep(),
    presets.Sweep("resnet18", "cifar10", ("l1", "lamp"), (0.0, 0.5, 0.98), (0, 1, 3, 4, 5)),
    presets.Sweep("lenet5", "mnist", tuning_epochs=10, tuning_rate=0.01, recipe="strong"),
    *(sweep for name in ("cpu", "paper", "quick") for sweep in presets.PRESETS[name]),
]


@pytest.mark.parametrize("sweep", SWEEPS, ids=range(len(SWEEPS)))
def test_the_command_of_a_sweep_reads_back_as_the_same_sweep(sweep, monkeypatch):
    [read] = read_back(presets.sweep_command(sweep, Path("x.csv")), monkeypatch)
    assert read == sweep


def test_every_recorded_run_of_a_sweep_has_a_command_that_reads_back(monkeypatch):
    names = [name for name, _ in tables.sweeps(RESULTS)]
    assert names
    for name in names:
        for run in json.loads((RESULTS / name).with_suffix(".json").read_text()).values():
            assert run["command"], name
            if run["command"].startswith("wmgp sweep"):
                with monkeypatch.context() as patch:
                    [read] = read_back(run["command"], patch)
                assert (read.network, run["seed"] in read.seeds) == (run["network"], True), name
