"""The files in results/: every table of jobs and every parent has its schema and provenance."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studies.beyond_l1.schedules import SNIP
from wmgp.experiments.display_names import NETWORK_NAMES
from wmgp.experiments.results import array_files, tables
from wmgp.experiments.results.provenance import measured_by, provenance
from wmgp.experiments.training.recipes import min_parent_accuracy
from wmgp.pruning_methods import METHODS

FOLDER = Path(__file__).parent.parent / "results"
# Facts that every measurement records.
FACTS = {"commit", "date", "versions", "cpu", "device", "source_sha256"}


def columns(path):
    return next(csv.reader(path.read_text(encoding="utf-8").splitlines()))


TABLES = [path for path in sorted(FOLDER.glob("*.csv")) if set(tables.COLUMNS) <= set(columns(path))]
SWEEPS = [path for path in TABLES if columns(path) == list(tables.SWEEP)]
PARENTS = [path for folder in ("parents", "transformers") for path in sorted((FOLDER / folder).rglob("*.json"))]


def name(path):
    return path.stem


def test_results_are_recorded():
    assert {"reference_run", "lenet5_mnist"} <= {path.stem for path in TABLES} and PARENTS


@pytest.mark.parametrize("table", TABLES, ids=name)
def test_rows_have_their_schema_and_their_provenance(table):
    rows, runs = tables.read(table), provenance(table)
    assert set(rows["run"]) == set(runs), "a run without rows (tables.read refuses rows without a run)"
    for run, facts in runs.items():
        mine = rows[rows["run"] == run]
        assert FACTS | {"data_sha256", "parent_sha256", "parent_epochs", "recipe", "seed"} <= set(facts)
        assert not measured_by(facts).endswith("-dirty")
        for column in ("network", "data", "seed", "device"):
            assert set(mine[column]) == {facts[column]}
    assert set(rows["network"]) <= set(NETWORK_NAMES)
    assert set(rows["method"]) <= {*METHODS, SNIP}
    assert rows["js"].between(0, np.log(2)).all() and rows["cosine"].dropna().between(-1, 1).all()
    assert not rows.drop(columns=["cosine", "cosine_pruned", "cka"]).isna().any().any()
    assert rows.loc[rows["cosine"].isna(), "amount"].eq(1).all()  # undefined only if every weight is pruned


@pytest.mark.parametrize("table", SWEEPS, ids=name)
def test_every_parent_of_a_sweep_has_the_same_jobs_once(table):
    """One parent may have one amount more than the others."""
    rows: Any = tables.with_facts(table)
    for _, alike in rows.groupby(["network", "data", "start"]):
        parts = [part for _, part in alike.groupby("parent_sha256")]
        jobs = [set(zip(part["method"], part["amount"], strict=True)) for part in parts]
        assert [len(each) for each in jobs] == [len(part) for part in parts]
        shared = set.intersection(*jobs)
        assert all(len({amount for _, amount in each - shared}) <= 1 for each in jobs)
    minimum = [
        min_parent_accuracy(network, data) or 0 for network, data in zip(rows["network"], rows["data"], strict=True)
    ]
    assert rows["accuracy_parent"].ge(minimum).all()
    unpruned = rows[rows["amount"] == 0]
    assert unpruned["cosine_pruned"].to_numpy() == pytest.approx(1, abs=1e-12)
    assert unpruned["accuracy_pruned"].equals(unpruned["accuracy_parent"])


@pytest.mark.parametrize("record", PARENTS, ids=name)
def test_parents_are_accurate_and_have_their_provenance(record):
    facts = json.loads(record.read_text(encoding="utf-8"))
    assert FACTS | {"network", "data", "seed", "start", "epochs", "parent_sha256", "seconds"} <= set(facts)
    assert not measured_by(facts).endswith("-dirty")
    assert record.stem.startswith(f"{facts['network']}-{facts['data']}-seed")
    minimum = min_parent_accuracy(facts["network"], facts["data"])
    assert minimum is not None and facts["accuracy"] >= minimum
    for stage in ("initial", "trained"):
        cosine = facts[stage]["analysis"]["front"]["cosine"]
        assert cosine[0] == 1 and np.all(np.diff(cosine) <= 0)
    trajectory = record.with_suffix(".npz")
    if trajectory.exists():
        with np.load(trajectory) as arrays:
            assert arrays["logits"].shape == (facts["epochs"] + 1, len(arrays["labels"]), 10)
            assert str(arrays["parent_sha256"]) == facts["parent_sha256"] and trajectory.stat().st_size < 1_000_000


@pytest.mark.parametrize("path", sorted(FOLDER.glob("functions_*.npz")), ids=name)
def test_recorded_outputs_belong_to_a_recorded_parent(path):
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert FACTS | {"network", "data", "seed", "parent_epochs", "recipe", "data_sha256"} <= set(facts)
    assert not measured_by(facts).endswith("-dirty") and path.stat().st_size < 1_500_000
    known = {json.loads(record.read_text(encoding="utf-8"))["parent_sha256"] for record in PARENTS}
    assert facts["parent_sha256"] in known
    with np.load(path) as arrays:
        kinds, logits = arrays["kind"], arrays["logits"]
        assert logits.shape == (len(kinds), facts["images"], 10) and np.isfinite(logits).all()
        assert (kinds == "training").sum() == facts["parent_epochs"] + 1 and set(kinds) == {"training", "l1", "random"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("landscape_*.npz")), ids=name)
def test_recorded_loss_surfaces_belong_to_recorded_parents(path):
    arrays, facts = array_files.read_arrays(path)
    assert FACTS | {"network", "data", "seeds", "images", "data_sha256", "parent_sha256"} <= set(facts)
    assert not measured_by(facts).endswith("-dirty") and path.stat().st_size < 1_500_000
    known = {json.loads(record.read_text(encoding="utf-8"))["parent_sha256"] for record in PARENTS}
    assert set(facts["parent_sha256"].values()) <= known
    seeds, line, plane = (len(arrays[name]) for name in ("seeds", "line_ticks", "plane_ticks"))
    assert arrays["line"].shape == (seeds, 3, line) and arrays["plane"].shape == (seeds, 3, plane, plane)
    assert np.isfinite(arrays["plane"]).all() and arrays["plane_ticks"][plane // 2] == pytest.approx(0, abs=1e-12)
    assert arrays["cosine"][:, 1] == pytest.approx(0.99, abs=1e-3)


def test_rows_of_a_sweep_belong_to_recorded_parents():
    """A row's provenance has the hash of a recorded parent."""
    known = {json.loads(path.read_text(encoding="utf-8"))["parent_sha256"] for path in PARENTS}
    for table in SWEEPS:
        assert {run["parent_sha256"] for run in provenance(table).values()} <= known, table.name
