"""The wheel and the source distribution, and the commands of the wheel in an environment with nothing else."""

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

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
NAME = f"wmgp-{wmgp.__version__}"
REFUSE = '''"""Hide every distribution but the wheel and its dependencies."""
from importlib.machinery import PathFinder

NAMES, find = frozenset({names!r}), PathFinder.find_spec


def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in NAMES else find(name, path, target)


PathFinder.find_spec = find_spec
'''


def build(source: Path, folder: Path, target: str) -> Path:
    """Build the wheel or the sdist of the sources in a folder and return its path."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [path] = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("sdist"), "sdist")


def with_dependencies(requirements: list[str]) -> set[str]:
    """Return the installed distributions that the requirements need, directly or indirectly."""
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(text) for text in requirements]
    while todo:
        requirement = todo.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key not in seen:
            seen.add(key)
            todo += applicable(importlib.metadata.requires(requirement.name) or [], requirement.extras)
    return {name for name, _ in seen}


def applicable(requirements: list[str], extras: Iterable[str]) -> list[Requirement]:
    """Return the requirements whose markers hold on this machine, with these extras."""
    parsed = [Requirement(text) for text in requirements]
    return [r for r in parsed if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in ["", *extras])]


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """A folder with the installed wheel."""
    folder = tmp_path_factory.mktemp("installed") / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-compile", "--target"]
    subprocess.run([*pip, str(folder), str(wheel)], check=True, env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    return folder


def isolated_environment(site: Path, wheel: Path, folder: Path, *extras: str) -> dict[str, str]:
    """Return environment variables under which only the wheel, its dependencies and these extras can be imported."""
    own = applicable(metadata(wheel).get_all("Requires-Dist"), extras)
    present = with_dependencies([f"{r.name}[{','.join(r.extras)}]{r.specifier}" for r in own]) | {"wmgp"}
    owners = importlib.metadata.packages_distributions()
    absent = [name for name, dists in owners.items() if present.isdisjoint(map(canonicalize_name, dists))]
    assert {"pytest", "hypothesis", "ray"} <= set(absent) and "numpy" not in absent
    (folder / "sitecustomize.py").write_text(REFUSE.format(names=sorted(absent)))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WMGP"))}
    paths = {"PYTHONPATH": f"{folder}{os.pathsep}{site}", "PATH": f"{site / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    return inherited | paths


@pytest.fixture(scope="module")
def bare(site, wheel, tmp_path_factory) -> dict[str, str]:
    """An isolated environment without extras."""
    return isolated_environment(site, wheel, tmp_path_factory.mktemp("bare"))


def metadata(wheel: Path) -> Any:
    """Return the METADATA of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return importlib.metadata.PathDistribution(zipfile.Path(archive, f"{NAME}.dist-info/")).metadata


def run(*command: str, where: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=where, env=env, capture_output=True, text=True)


def sources() -> set[str]:
    """Return the files of the package in the checkout."""
    files = [path for path in (ROOT / "wmgp").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(ROOT).as_posix() for path in files}


def test_wheel_contains_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = {f"{NAME}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
        assert names == sources() | about | {f"{NAME}.dist-info/licenses/LICENSE"}
        assert {name.partition("/")[0] for name in names} == {"wmgp", f"{NAME}.dist-info"}  # no studies, no benchmarks
        assert {"wmgp/outcomes.json", "wmgp/py.typed"} <= names
        assert archive.read(f"{NAME}.dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()


def test_wheel_metadata(wheel):
    about = metadata(wheel)
    assert about["Version"] == wmgp.__version__ and about["License-Expression"] == "MIT"
    assert about["Requires-Python"] and about["Summary"] and about["Author"] and about["Keywords"]
    assert about["Description-Content-Type"] == "text/markdown" and about.get_payload().startswith("# wmgp")
    assert set(about.get_all("Provides-Extra")) == {"experiments", "book", "dev", "distributed"}


def test_sdist_contains_the_package_and_builds_the_same_wheel(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / NAME
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    beside = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert files - {".gitignore"} == sources() | beside
    assert build(source, tmp_path / "wheel", "wheel").read_bytes() == wheel.read_bytes()


def test_installed_wheel_analyzes_and_prunes_with_its_dependencies_alone(bare, site, tmp_path):
    where = run(sys.executable, "-P", "-c", "import wmgp; print(wmgp.__file__)", where=ROOT, env=bare).stdout.strip()
    assert Path(where).parent == site / "wmgp"
    drawn = torch.Generator().manual_seed(0)
    save_file({"layer.weight": torch.randn(40, 50, generator=drawn), "layer.bias": torch.ones(40)}, tmp_path / "a.st")
    report = run("wmgp", "analyze", "a.st", "--tensors", where=tmp_path, env=bare)
    assert (report.returncode, report.stderr) == (0, "") and re.search(
        r"^parameters +2,040$", report.stdout, re.MULTILINE
    )
    assert "Accuracy lost after one epoch of fine-tuning" in report.stdout  # from outcomes.json
    done = run("wmgp", "prune", "a.st", "b.st", "--amount", "0.5", where=tmp_path, env=bare)
    assert (done.returncode, done.stderr) == (0, "")
    assert sum(int((t == 0).sum()) for t in load_file(tmp_path / "b.st").values()) == 1020


@pytest.mark.parametrize("command", ["sweep --preset tiny --out x.csv", "claims"])
def test_a_command_without_its_extra_names_the_extra_in_one_line(bare, tmp_path, command):
    refused = run("wmgp", *command.split(), where=tmp_path, env=bare)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert re.fullmatch(r"wmgp: error: \w+ is missing: pip install 'wmgp\[experiments\]'\n", refused.stderr)
    assert list(tmp_path.iterdir()) == []


def test_the_extra_experiments_suffices_for_a_sweep(site, wheel, tmp_path):
    (tmp_path / "customized").mkdir()
    env = isolated_environment(site, wheel, tmp_path / "customized", "experiments")
    done = run("wmgp", "sweep", "--preset", "tiny", "--jobs", "1", "--out", "x.csv", where=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 7


def test_a_notebook_runs_with_the_wheel_and_the_studies(site, wheel, tmp_path):
    """With the extra `book`, and the folders `results` and `studies` of a checkout."""
    (tmp_path / "customized").mkdir()
    for name in ("results", "studies"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "mine" / "notebooks").mkdir(parents=True)
    notebook = nbformat.read(ROOT / "notebooks" / "02_how_much.ipynb", as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("print(wmgp.__file__)"))
    nbformat.write(notebook, tmp_path / "mine" / "notebooks" / "a.ipynb")
    env = isolated_environment(site, wheel, tmp_path / "customized", "book")
    env["PYTHONPATH"] += f"{os.pathsep}{tmp_path}"
    papermill = [sys.executable, "-P", "-m", "papermill", "-y", "{preset: tiny}", "a.ipynb", "b.ipynb"]
    done = run(*papermill, where=tmp_path / "mine" / "notebooks", env=env)
    assert done.returncode == 0, done.stderr
    last = nbformat.read(tmp_path / "mine" / "notebooks" / "b.ipynb", as_version=4).cells[-1]
    assert last.outputs[0].text.strip() == str(site / "wmgp" / "__init__.py")
