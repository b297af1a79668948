"""The examples of CONTRIBUTING.md, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import test_notebooks

from notebooks import run as runner
from wmgp.experiments.results import tables

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COPIED = (
    *("wmgp", "notebooks/run.py", "pyproject.toml", "_config.yml"),
    *(f"tests/{name}.py" for name in ("test_rules", "conftest", "books", "shapes")),
)


def blocks(kind: str) -> list[str]:
    """The page's blocks of code, in order."""
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def put(block: str, folder: Path) -> None:
    """A block where its first line says: `# FILE`, `# FILE, before LINE`, `in TABLE` or `at the end`."""
    first, code = block.split("\n", 1)
    name, _, place = first.removeprefix("# ").partition(", ")
    path = folder / name
    if not place:
        assert not path.exists(), f"{name} is there already: its block should say where in it"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        return
    text, (word, _, what) = path.read_text(), place.partition(" ")
    if word == "at":  # the end
        at, code = len(text), f"\n\n{code}"
    elif word == "before":
        found = re.search(rf"^{re.escape(what)}\b", text, re.MULTILINE)
        assert found is not None
        at = found.start()
        code += "\n\n" * code.startswith("def ")
    else:  # in a table
        found = re.search(rf"^{what}\b.*? = \{{\n.*?^(?=\}})", text, re.MULTILINE | re.DOTALL)
        assert found is not None
        at = found.end()
    path.write_text(text[:at] + code + text[at:])


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of what the page changes, with all of its blocks in their places."""
    folder = tmp_path_factory.mktemp("project")
    for name in COPIED:
        (folder / name).parent.mkdir(exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)  # with what numba has compiled
        else:
            shutil.copy(ROOT / name, folder / name)
    for block in blocks("python"):
        put(block, folder)
    return folder


def commands(start: str) -> list[list[str]]:
    """The page's commands that begin so, as words, for this Python."""
    bin = Path(sys.executable).parent
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith(start)]
    return [[str(bin / word.removeprefix(".venv/bin/")) if i == 0 else word for i, word in enumerate(line.split())]
            for line in lines]  # fmt: skip


def follow(command: list[str], copy: Path) -> str:
    """What a command prints that is run in the copy."""
    environment = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_has_its_four_examples():
    assert re.findall("^## (.+)$", PAGE, re.MULTILINE) == ["A rule", "A network", "A data set", "A notebook"]
    assert len(blocks("python")) == 10


def test_paths_and_names_on_the_page_are_there():
    for path in re.findall(r"`((?:wmgp|notebooks|book)/[\w/.]+\.\w+)`|\((book/[^)]+)\)", PAGE):
        assert (ROOT / "".join(path)).is_file(), path


def test_the_rule(copy):
    """With its own test, and the one that asks of every rule that scale does not matter."""
    chosen = ["-q", "tests/test_rules.py", "-k", "mean_magnitude or scale"]
    assert "2 passed" in follow([sys.executable, "-m", "pytest", *chosen], copy)


def test_the_network_and_the_data(copy):
    [command] = commands(".venv/bin/wmgp ")
    said = follow([*command, "--amounts", "0", "0.9", "--seeds", "1", "--jobs", "1"], copy)
    assert said == "4 rows added to results/perceptron.csv\n"
    rows: Any = tables.read(copy / "results" / "perceptron.csv")
    assert set(rows["network"]) == {"perceptron"} and set(rows["data"]) == {"digits8x8"}
    assert rows["accuracy_parent"].min() > 0.8


def test_the_notebook(copy):
    [command] = commands(".venv/bin/python notebooks/run.py")
    follow(command, copy)
    source = copy / f"{command[1].rpartition('/')[0]}" / f"{command[-1]}.py"
    published = source.with_suffix(".ipynb")
    test_notebooks.test_pair_has_the_same_cells(source)
    test_notebooks.test_published_notebook_was_run_in_order_and_holds_nothing_of_the_machine(source)
    test_notebooks.test_parameters_are_typed_and_commented(source)
    figures = [cell for cell in test_notebooks.code_cells(published) if "mystnb" in cell.metadata]
    assert len(figures) == 1 and "image/svg+xml" in figures[0].outputs[0]["data"]
    runner.run(source, copy / "other.ipynb", {"preset": "tiny", "seed": 1})
    assert nbformat.read(published, 4) and test_notebooks.outputs(copy / "other.ipynb") != test_notebooks.outputs(
        published
    )


def test_the_new_files_are_in_the_style(copy):
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
