"""The examples of CONTRIBUTING.md work in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import test_notebooks
import yaml

from notebooks import run as runner
from wmgp.experiments.results import tables
from wmgp.experiments.results.provenance import provenance

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COPIED = (
    *("wmgp", "studies", "notebooks/run.py", "pyproject.toml", "_config.yml", "_toc.yml"),
    *(f"tests/{name}.py" for name in ("test_rules", "conftest", "books", "shapes")),
)
STUDY = {
    *("studies/heavy_tails/__init__.py", "studies/heavy_tails/measure.py", "studies/heavy_tails/figure.py"),
    *("notebooks/20_heavy_tails.py", "_toc.yml", "tests/test_heavy_tails.py"),
}


def blocks(kind: str) -> list[str]:
    """Return the page's code blocks of a language, in order."""
    return re.findall(rf"^```(?:{kind})\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def target(block: str) -> tuple[str, str]:
    """Return the file that a block's first line names, and the place in it ("" for a new file)."""
    name, _, place = block.partition("\n")[0].removeprefix("# ").partition(", ")
    return name, place


def insert(block: str, folder: Path) -> None:
    """Insert a block where its first line says: `# FILE`, or `# FILE, PLACE`.

    The places are `before TEXT` (at the start of a line), `after TEXT` (at the end of a line), `in DICT`, `at the end`.
    """
    (name, place), code = target(block), block.partition("\n")[2]
    path = folder / name
    if not place:
        assert not path.exists(), f"{name} exists: its block should name a place in it"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        return
    text, (word, _, anchor) = path.read_text(), place.partition(" ")
    if word == "at":  # the end
        at, code = len(text), f"\n\n{code}"
    else:
        pattern = {
            "before": rf"^(?={re.escape(anchor)}\b)",
            "after": rf"^.*{re.escape(anchor)}\n",
            "in": rf"^{anchor}\b.*? = \{{\n.*?^(?=\}})",
        }[word]
        match = re.search(pattern, text, re.MULTILINE | (re.DOTALL if word == "in" else 0))
        assert match is not None, f"{name}: nothing matches {anchor!r}"
        at = match.end()
        code += "\n\n" * code.startswith("def ")
    path.write_text(text[:at] + code + text[at:])


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the files that the page changes, with all of its blocks inserted."""
    folder = tmp_path_factory.mktemp("project")
    for name in COPIED:
        (folder / name).parent.mkdir(exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)  # with numba's cache
        else:
            shutil.copy(ROOT / name, folder / name)
    for block in blocks("python|yaml"):
        insert(block, folder)
    return folder


def commands(start: str) -> list[list[str]]:
    """Return the page's commands that begin with `start`, as words, for this Python environment."""
    bin = Path(sys.executable).parent
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith(start)]
    return [[str(bin / word.removeprefix(".venv/bin/")) if i == 0 else word for i, word in enumerate(line.split())]
            for line in lines]  # fmt: skip


def follow(command: list[str], copy: Path) -> str:
    """Run a command in the copy and return its output."""
    environment = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_has_its_four_examples():
    assert re.findall("^## (.+)$", PAGE, re.MULTILINE) == ["A rule", "A network", "A data set", "A study"]
    assert len(blocks("python|yaml")) == 15


def test_paths_on_the_page_exist():
    paths = re.findall(r"`((?:wmgp|notebooks|book|studies|tests)/[\w/.]+\.\w+)`|\((book/[^)]+)\)", PAGE)
    new = {name for name, place in map(target, blocks("python|yaml")) if not place} | {"notebooks/20_heavy_tails.ipynb"}
    assert len(paths) > 5
    for path in map("".join, paths):
        assert (ROOT / path).is_file() or path in new, path


def test_a_study_touches_its_folder_its_notebook_the_contents_and_a_test():
    section = PAGE.partition("## A study\n")[2]
    names = {target(block)[0] for block in blocks("python|yaml") if block in section}
    assert names == STUDY


def test_the_rule_passes_its_tests(copy):
    """The rule passes its own test, and the test that every rule ignores the scale of the weights."""
    chosen = ["-q", "tests/test_rules.py", "-k", "mean_magnitude or scale"]
    assert "2 passed" in follow([sys.executable, "-m", "pytest", *chosen], copy)


def test_a_sweep_runs_on_the_network_and_data(copy):
    [command] = commands(".venv/bin/wmgp ")
    printed = follow([*command, "--amounts", "0", "0.9", "--seeds", "1", "--jobs", "1"], copy)
    assert printed == "4 rows added to results/perceptron.csv\n"
    rows: Any = tables.read(copy / "results" / "perceptron.csv")
    assert set(rows["network"]) == {"perceptron"} and set(rows["data"]) == {"digits8x8"}
    assert rows["accuracy_parent"].min() > 0.8


def test_the_study_and_the_notebook_run(copy):
    [measurement] = commands(".venv/bin/python -m studies.")
    follow(measurement, copy)
    table = copy / "results" / "heavy_tails.csv"
    assert set(pd.read_csv(table)["run"]) == set(provenance(table))
    [command] = commands(".venv/bin/python notebooks/run.py")
    follow(command, copy)
    source = copy / "notebooks" / f"{command[-1]}.py"
    published = source.with_suffix(".ipynb")
    test_notebooks.test_pair_has_the_same_cells(source)
    test_notebooks.test_published_notebook_was_run_in_order_and_has_no_machine_specific_data(source)
    test_notebooks.test_parameters_are_typed_and_commented(source)
    figures = [cell for cell in test_notebooks.code_cells(published) if "mystnb" in cell.metadata]
    assert len(figures) == 1 and "image/svg+xml" in figures[0].outputs[0]["data"]


def test_notebook_depends_on_its_seed(copy, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(copy))
    source = copy / "notebooks" / "20_heavy_tails.py"
    for seed in (0, 1):
        runner.run(source, copy / f"{seed}.ipynb", {"preset": "tiny", "seed": seed})
    assert test_notebooks.outputs(copy / "0.ipynb") != test_notebooks.outputs(copy / "1.ipynb")


def test_notebook_is_in_the_table_of_contents(copy):
    contents = yaml.safe_load((copy / "_toc.yml").read_text())
    [part] = [part for part in contents["parts"] if part["caption"] == "The notebooks"]
    assert part["chapters"][-1] == {"file": "notebooks/20_heavy_tails"}


def test_study_passes_its_test(copy):
    assert "1 passed" in follow([sys.executable, "-m", "pytest", "-q", "tests/test_heavy_tails.py"], copy)


def test_new_files_follow_the_style(copy):
    names = {target(block)[0] for block in blocks("python")}
    command = [sys.executable, "-m", "ruff", "check", *sorted(names)]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
