"""The notebooks: paired files, parameters, and runs through papermill."""

import ast
import importlib.util
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

from notebooks import run, times

SOURCES = run.sources()
each = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
QUICK = "01_l1_is_optimal"  # the notebook that `make test` runs; `make test-all` runs all
each_runs = pytest.mark.parametrize(
    "source", [path if path.stem == QUICK else pytest.param(path, marks=pytest.mark.slow) for path in SOURCES],
    ids=lambda path: path.stem,
)  # fmt: skip

TOY = """
# %% [markdown]
# # A toy

# %% tags=["parameters"]
seed: int = 3  # what is printed
preset: str = "default"  # nothing

# %%
import os
print(seed)
print(preset, os.path.basename(os.getcwd()), flush=True)
"""


def code_cells(notebook: Path, tag: str = "") -> list[nbformat.NotebookNode]:
    """The code cells of an ``.ipynb``; with a tag, only the cells that have it."""
    cells = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    return [cell for cell in cells if not tag or tag in cell.metadata.get("tags", [])]


def outputs(notebook: Path) -> list[list[Any]]:
    """The outputs of the code cells, without the cell that papermill adds."""
    return [cell.outputs for cell in code_cells(notebook) if "injected-parameters" not in cell.metadata.get("tags", [])]


@pytest.fixture
def toy(tmp_path) -> Path:
    """The source of a small notebook."""
    source = tmp_path / "01_toy.py"
    source.write_text(TOY.lstrip())
    return source


def test_there_are_notebooks():
    assert len(SOURCES) >= 4


@each
def test_pair_has_the_same_cells(source):
    told = [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in run.read_source(source).cells]
    shown = nbformat.read(source.with_suffix(".ipynb"), as_version=4).cells
    assert told == [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in shown]


@each
def test_published_notebook_was_run_in_order_and_has_no_machine_specific_data(source):
    published = source.with_suffix(".ipynb")
    notebook = nbformat.read(published, as_version=4)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert not [out for cell in code_cells(published) for out in cell.outputs if out.output_type == "error"]
    assert not [out for cell in code_cells(published) for out in cell.outputs if out.get("name") == "stderr"]
    assert published.read_text() == nbformat.writes(run.strip(notebook)) + "\n"
    assert not code_cells(published, "injected-parameters")


@each
def test_parameters_are_typed_and_commented(source):
    published = source.with_suffix(".ipynb")
    [cell] = code_cells(published, "parameters")
    statements = ast.parse(cell.source).body
    assert all(isinstance(s, ast.AnnAssign) and s.value is not None for s in statements)
    known = run.parameters(published)
    assert [s.target.id for s in statements] == list(known), "a parameter that papermill does not find"
    assert {"preset", "device", "seed"} <= set(known)
    assert all(p["inferred_type_name"] not in ("", "None") and len(p["help"]) > 5 for p in known.values()), known
    for statement in statements:
        ast.literal_eval(statement.value)


RUNS = {"first": {"preset": "tiny"}, "second": {"preset": "tiny"}, "other": {"preset": "tiny", "seed": 12345}}


def ran(source: Path, out: Path, values: dict[str, Any]) -> Path:
    """Run a notebook and return the path of its result."""
    run.run(source, out, values)
    return out


def one_thread() -> None:
    """Limit the kernels that this process starts to one thread."""
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="module")
def tiny(request, tmp_path_factory) -> Iterator[dict[Path, list[Future[Path]]]]:
    """The runs of all requested notebooks, in parallel on all cores, with one thread each.

    With more threads, the runs compete for the cores and take many times as long.
    """
    asked = [item.callspec.params["source"] for item in request.session.items if "tiny" in item.fixturenames]
    folder = tmp_path_factory.mktemp("tiny")
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"), one_thread) as pool:
        yield {
            source: [pool.submit(ran, source, folder / f"{source.stem}.{name}.ipynb", RUNS[name]) for name in RUNS]
            for source in asked
        }
        pool.shutdown(cancel_futures=True)


@each_runs
def test_two_tiny_runs_are_equal_and_another_seed_differs(source, tiny):
    first, second, other = (done.result() for done in tiny[source])
    assert first.read_text() == second.read_text()
    assert outputs(first) != outputs(other)
    assert outputs(first) != outputs(source.with_suffix(".ipynb"))


@pytest.mark.skipif("WMGP_LONG" not in os.environ, reason="two minutes each: set WMGP_LONG to run them")
@each
def test_the_quick_preset_runs_without_errors(source, tmp_path):
    preset = run.parameters(source.with_suffix(".ipynb"))["preset"]
    if "quick" not in preset["help"]:
        pytest.skip("has no such preset")
    run.run(source, tmp_path / "out.ipynb", {"preset": "quick"})
    assert not [out for found in outputs(tmp_path / "out.ipynb") for out in found if out.output_type == "error"]


def test_a_parameter_replaces_the_default(toy, tmp_path):
    run.run(toy, tmp_path / "out.ipynb", {"seed": 7})
    assert outputs(tmp_path / "out.ipynb")[-1][0].text == f"7\ndefault {tmp_path.name}\n"


def test_a_misspelt_parameter_is_refused(toy, tmp_path):
    with pytest.raises(ValueError, match="01_toy has no parameter 'sede': it has seed, preset"):
        run.run(toy, tmp_path / "out.ipynb", {"sede": 7})
    assert not (tmp_path / "out.ipynb").exists()


def test_a_failing_cell_leaves_the_published_notebook_unchanged(toy, tmp_path):
    out = tmp_path / "01_toy.ipynb"
    out.write_text("before")
    toy.write_text(TOY.lstrip() + "\n# %%\n1 / 0\n")
    with pytest.raises(run.papermill.PapermillExecutionError, match="ZeroDivisionError"):
        run.run(toy, out)
    assert out.read_text() == "before" and sorted(p.name for p in tmp_path.iterdir()) == ["01_toy.ipynb", "01_toy.py"]


@pytest.fixture
def published(toy, monkeypatch) -> nbformat.NotebookNode:
    """The toy notebook of a project with an address."""
    monkeypatch.setattr(run, "project_address", lambda: "https://github.com/someone/wmgp")
    return run.read_source(toy)


def test_without_an_address_no_cell_is_added(toy, monkeypatch):
    monkeypatch.setattr(run, "project_address", str)
    assert [cell.source for cell in run.read_source(toy).cells][:2] == ["# A toy", TOY.split("]\n")[2].split("\n\n")[0]]


def test_the_parameters_stay_first_and_papermill_finds_them(published, tmp_path):
    code = [cell for cell in published.cells if cell.cell_type == "code"]
    assert code[0].metadata["tags"] == ["parameters"] and "https://github.com/someone/wmgp" in code[1].source
    nbformat.write(published, tmp_path / "toy.ipynb")
    assert list(run.parameters(tmp_path / "toy.ipynb")) == ["seed", "preset"]


def test_the_package_is_installed_only_where_it_is_missing(published, tmp_path, monkeypatch):
    [cell] = [cell for cell in published.cells if "git" in cell.source]
    done: list[list[str]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda command, check: done.append(command))
    exec(cell.source, {})
    assert done == [] and Path.cwd() == tmp_path
    (tmp_path / "project" / "notebooks").mkdir(parents=True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "path", [*sys.path])
    exec(cell.source, {})
    assert [command[-2:] for command in done] == [
        ["https://github.com/someone/wmgp", "project"],
        ["-e", "./project[experiments]"],  # editable: the notebooks import `studies`, which the wheel lacks
    ]
    assert sys.path[0] == str(tmp_path / "project")
    assert Path.cwd() == tmp_path / "project" / "notebooks"


@pytest.mark.slow
def test_new_times_replace_the_times_of_the_same_device(tmp_path):
    table = tmp_path / "times.csv"
    for device, seconds in [("cuda", 1.0), ("cpu", 2.0), ("cpu", 3.0)]:
        times.record(pd.DataFrame({"notebook": ["01_toy"], "device": device, "seconds": seconds}), device, table)
    rows = pd.read_csv(table)
    assert rows[["device", "seconds"]].to_numpy().tolist() == [["cpu", 3.0], ["cuda", 1.0]]
    assert set(json.loads(table.with_suffix(".json").read_text())) == set(rows["run"])


def test_random_names_are_replaced_by_numbers():
    assert run.number_names("#T_0a1b2_row0 {} <table id='T_0a1b2'>") == "#T_00000_row0 {} <table id='T_00000'>"


def test_adjacent_stream_outputs_are_joined():
    out = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in [("stdout", "a"), ("stdout", "b")]]
    out.append(nbformat.v4.new_output("stream", name="stderr", text="c"))
    assert [piece.text for piece in run.join_streams(out)] == ["ab", "c"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["05_nothing", "--out", "x"], "no notebook is called '05_nothing'"),
        (["-p", "seed", "1"], "-p needs --out"),
        ([SOURCES[0].stem if SOURCES else "", "-p", "sede", "1", "--out", "x"], "has no parameter 'sede'"),
        (["02_how_much", "12_rescaling", "-p", "always", "1", "--out", "x"], "12_rescaling has no parameter 'always'"),
    ],
)
def test_the_command_line_refuses_invalid_arguments(arguments, said, tmp_path):
    command = [sys.executable, str(run.HERE / "run.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr.splitlines()[-1]
    assert not (tmp_path / "x").exists()


def test_the_results_that_a_notebook_read_are_written_to_its_metadata(toy, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.csv").write_text("")
    read = "from wmgp.experiments.results.tables import locate\nlocate('a.csv')\n"
    toy.write_text(TOY.lstrip() + "\n# %%\n" + read)
    run.run(toy, tmp_path / "out.ipynb")
    notebook = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert notebook.metadata["results"] == ["a.csv"]
    assert len(notebook.cells) == len(run.read_source(toy).cells)  # the cell that lists the files is removed
    assert run.strip(notebook).metadata["results"] == ["a.csv"]
