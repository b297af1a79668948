"""What is released: the wheel and the source distribution, and the wheel's commands where only it is installed."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from safetensors.torch import load_file, save_file

import wmgp

ROOT = Path(__file__).resolve().parent.parent
NAME = f"wmgp-{wmgp.__version__}"
REFUSE = '''"""Python as it is where nothing but the package and what it asks for is installed."""
from importlib.machinery import PathFinder

NAMES, find = frozenset({names!r}), PathFinder.find_spec


def find_spec(name, path=None, target=None):  # who only asks whether something is there gets None, as it should be
    return None if name.partition(".")[0] in NAMES else find(name, path, target)


PathFinder.find_spec = find_spec
'''


def built(source: Path, folder: Path, target: str) -> Path:
    """The wheel or the sdist of the sources in a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [made] = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return built(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    return built(ROOT, tmp_path_factory.mktemp("sdist"), "sdist")


def asked_for(requirements: list[str]) -> set[str]:
    """The installed distributions that these requirements bring along, in the end."""
    found: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(text) for text in requirements]
    while todo:
        one = todo.pop()
        key = canonicalize_name(one.name), frozenset(one.extras)
        if key not in found:
            found.add(key)
            todo += wanted(importlib.metadata.requires(one.name) or [], one.extras)
    return {name for name, _ in found}


def wanted(requirements: list[str], extras: Iterable[str]) -> list[Requirement]:
    """Those of a distribution's requirements that hold here and with these extras."""
    found = [Requirement(text) for text in requirements]
    return [r for r in found if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in ["", *extras])]


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """A folder that the wheel is installed in."""
    folder = tmp_path_factory.mktemp("installed") / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-compile", "--target"]
    subprocess.run([*pip, str(folder), str(wheel)], check=True, env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    return folder


def surroundings(site: Path, wheel: Path, folder: Path, *extras: str) -> dict[str, str]:
    """An environment where the wheel is installed with its extras, and all that these do not bring is refused."""
    own = wanted(metadata(wheel).get_all("Requires-Dist"), extras)
    asked = asked_for([f"{r.name}[{','.join(r.extras)}]{r.specifier}" for r in own]) | {"wmgp"}
    owners = importlib.metadata.packages_distributions()
    absent = [name for name, dists in owners.items() if asked.isdisjoint(map(canonicalize_name, dists))]
    assert {"pytest", "hypothesis", "ray"} <= set(absent) and "numpy" not in absent
    (folder / "sitecustomize.py").write_text(REFUSE.format(names=sorted(absent)))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WMGP"))}
    paths = {"PYTHONPATH": f"{folder}{os.pathsep}{site}", "PATH": f"{site / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    return inherited | paths


@pytest.fixture(scope="module")
def bare(site, wheel, tmp_path_factory) -> dict[str, str]:
    """With no extra."""
    return surroundings(site, wheel, tmp_path_factory.mktemp("bare"))


def metadata(wheel: Path) -> Any:
    """The wheel's METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        return importlib.metadata.PathDistribution(zipfile.Path(archive, f"{NAME}.dist-info/")).metadata


def run(*command: str, where: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=where, env=env, capture_output=True, text=True)


def sources() -> set[str]:
    """The package's files in the tree."""
    files = [path for path in (ROOT / "wmgp").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(ROOT).as_posix() for path in files}


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = {f"{NAME}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
        assert names == sources() | about | {f"{NAME}.dist-info/licenses/LICENSE"}
        assert {"wmgp/outcomes.json", "wmgp/py.typed"} <= names
        assert archive.read(f"{NAME}.dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()


def test_the_wheel_says_what_it_is(wheel):
    said = metadata(wheel)
    assert said["Version"] == wmgp.__version__ and said["License-Expression"] == "MIT"
    assert said["Requires-Python"] and said["Summary"] and said["Author"] and said["Keywords"]
    assert said["Description-Content-Type"] == "text/markdown" and said.get_payload().startswith("# wmgp")
    assert set(said.get_all("Provides-Extra")) == {"experiments", "book", "dev", "distributed"}


def test_the_source_distribution_builds_the_same_wheel(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / NAME
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    beside = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert files - {".gitignore"} == sources() | beside
    assert built(source, tmp_path / "wheel", "wheel").read_bytes() == wheel.read_bytes()


def test_the_installed_wheel_analyzes_and_prunes_with_nothing_but_its_requirements(bare, site, tmp_path):
    where = run(sys.executable, "-P", "-c", "import wmgp; print(wmgp.__file__)", where=ROOT, env=bare).stdout.strip()
    assert Path(where).parent == site / "wmgp"
    drawn = torch.Generator().manual_seed(0)
    save_file({"layer.weight": torch.randn(40, 50, generator=drawn), "layer.bias": torch.ones(40)}, tmp_path / "a.st")
    said = run("wmgp", "analyze", "a.st", "--tensors", where=tmp_path, env=bare)
    assert (said.returncode, said.stderr) == (0, "") and re.search(r"^parameters +2,040$", said.stdout, re.MULTILINE)
    assert "Accuracy lost after one epoch of fine-tuning" in said.stdout  # from outcomes.json
    done = run("wmgp", "prune", "a.st", "b.st", "--amount", "0.5", where=tmp_path, env=bare)
    assert (done.returncode, done.stderr) == (0, "")
    assert sum(int((t == 0).sum()) for t in load_file(tmp_path / "b.st").values()) == 1020


@pytest.mark.parametrize("command", ["sweep --preset tiny --out x.csv", "claims"])
def test_what_needs_an_extra_says_so_in_one_line(bare, tmp_path, command):
    refused = run("wmgp", *command.split(), where=tmp_path, env=bare)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert re.fullmatch(r"wmgp: error: \w+ is missing: pip install 'wmgp\[experiments\]'\n", refused.stderr)
    assert list(tmp_path.iterdir()) == []


def test_the_extra_experiments_is_enough_for_a_sweep(site, wheel, tmp_path):
    (tmp_path / "customized").mkdir()
    env = surroundings(site, wheel, tmp_path / "customized", "experiments")
    done = run("wmgp", "sweep", "--preset", "tiny", "--jobs", "1", "--out", "x.csv", where=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 7


def test_a_notebook_runs_outside_the_checkout_by_papermill_alone(site, wheel, tmp_path):
    """With the extra `book`, and the folder of results above it."""
    (tmp_path / "customized").mkdir()
    (tmp_path / "results").symlink_to(ROOT / "results")
    (tmp_path / "mine" / "notebooks").mkdir(parents=True)
    notebook = nbformat.read(ROOT / "notebooks" / "02_how_much.ipynb", as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("print(wmgp.__file__)"))
    nbformat.write(notebook, tmp_path / "mine" / "notebooks" / "a.ipynb")
    env = surroundings(site, wheel, tmp_path / "customized", "book")
    papermill = [sys.executable, "-P", "-m", "papermill", "-y", "{preset: tiny}", "a.ipynb", "b.ipynb"]
    done = run(*papermill, where=tmp_path / "mine" / "notebooks", env=env)
    assert done.returncode == 0, done.stderr
    last = nbformat.read(tmp_path / "mine" / "notebooks" / "b.ipynb", as_version=4).cells[-1]
    assert last.outputs[0].text.strip() == str(site / "wmgp" / "__init__.py")
