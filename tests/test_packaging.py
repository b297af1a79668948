"""Packaging, the conda environment, make and CI; no file names a folder of one machine."""

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import wmgp
from notebooks import run

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
MODULES = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn"}  # where import and name differ
# The project's own packages, and IPython, which ipykernel installs.
PRESENT = {"wmgp", "studies", "benchmarks", "notebooks", "IPython"}


def requirements(*extras: str) -> list[Requirement]:
    """Return the dependencies of the package and of the extras, including extras that an extra names."""
    listed = [Requirement(text) for text in [*PROJECT["dependencies"], *(t for e in extras for t in EXTRAS[e])]]
    nested = [extra for r in listed if r.name == "wmgp" for extra in r.extras]
    return [r for r in listed if r.name != "wmgp"] + (requirements(*nested) if nested else [])


def files() -> list[Path]:
    """Return the files of the checkout that git tracks or does not ignore."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


def test_conda_environment_installs_the_extras_of_pyproject_and_nothing_else():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, from_pip = environment["dependencies"]
    assert (
        python == f"python{PROJECT['requires-python']},<3.14" and pip == "pip"
    )  # the pinned versions have wheels for these
    constraint, project = from_pip["pip"]
    assert (ROOT / constraint.removeprefix("-c ")).is_file()
    match = re.fullmatch(r"-e \.\[(.+)\]", project)
    assert match is not None
    extras = match[1].split(",")
    assert extras == ["book", "dev", "distributed"] and set(extras) <= set(EXTRAS)
    assert f"'.[{','.join(extras)}]'" in (ROOT / "Makefile").read_text()


def test_there_are_four_extras():
    assert set(EXTRAS) == {"experiments", "book", "dev", "distributed"}


def test_constraints_pin_every_dependency_within_its_range():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    for requirement in requirements("book", "dev", "distributed"):
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_versions_agree():
    assert PROJECT["dynamic"] == ["version"]
    assert importlib.metadata.version("wmgp") == wmgp.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == wmgp.__version__


def imports(path: Path) -> set[str]:
    """Return the top-level packages that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize(
    ("pattern", "extras"),
    [
        ("wmgp/*.py", ()),
        ("wmgp/io/*.py", ()),
        ("wmgp/_histogram/*.py", ()),
        ("wmgp/experiments/**/*.py", ("experiments", "distributed")),
        ("studies/**/*.py", ("experiments",)),
        ("benchmarks/*.py", ("experiments", "dev")),  # one benchmark controls a browser
        ("notebooks/*.py", ("book",)),
    ],
)
def test_every_import_is_a_dependency(pattern, extras):
    allowed = {MODULES.get(r.name, r.name.replace("-", "_")) for r in requirements(*extras)} | PRESENT
    imported = {name: path.name for path in ROOT.glob(pattern) for name in imports(path)}
    assert imported
    missing = {name: where for name, where in imported.items() if name not in allowed | set(sys.stdlib_module_names)}
    assert missing == {}


def test_package_is_typed_and_has_its_command():
    assert (ROOT / "wmgp" / "py.typed").is_file()
    [command] = importlib.metadata.entry_points(group="console_scripts", name="wmgp")
    assert callable(command.load())


def test_jupytext_keeps_the_same_cell_metadata_as_the_runner():
    settings = tomllib.loads((ROOT / "jupytext.toml").read_text())
    assert settings["cell_metadata_filter"] == ",".join([*run.CELL_METADATA, "-all"])
    assert settings["formats"] == "notebooks///ipynb,notebooks///py:percent"


def make(*arguments: str, cwd: Path = ROOT) -> str:
    """Run make and return its output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *arguments], cwd=cwd, env=clean, capture_output=True, text=True, check=True).stdout


def test_make_help_lists_every_target():
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    targets = phony[1].split()
    assert {"book", "notebooks", "test", "bench", "clean", "help"} <= set(targets)
    assert sorted(re.findall(r"^make ([\w-]+) +\w", make(), re.MULTILINE)) == sorted(targets)


def test_make_installs_again_only_when_dependencies_change(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@" >> calls\n')
    python.chmod(0o755)

    def calls() -> list[str]:
        (tmp_path / "calls").unlink(missing_ok=True)
        make("test", cwd=tmp_path)
        return [line.split()[1] for line in (tmp_path / "calls").read_text().splitlines()]

    assert calls() == ["pip", "pytest"]
    assert calls() == ["pytest"]
    for name in ("pyproject.toml", "constraints.txt"):
        os.utime(tmp_path / name, (later := (tmp_path / ".venv" / "installed").stat().st_mtime + 5, later))
        assert calls() == ["pip", "pytest"]
        os.utime(tmp_path / ".venv" / "installed", (later + 1, later + 1))


def test_ci_builds_the_book_then_runs_the_tests():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert re.findall(r"^make .+$", script.read_text(), re.MULTILINE) == ["make book", "make test-all"]
    assert "set -euo pipefail" in script.read_text()


def test_readme_commands_exist():
    readme = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    targets = {line.split()[1] for line in lines if line.startswith("make ")}
    assert {"book", "test"} <= targets
    for target in targets:
        make("-n", target)
    assert any(line.startswith("wmgp analyze ") for line in lines)
    for name in re.findall(r"\b(?:notebooks|results|book|wmgp)/[\w/.-]+\.\w+", readme):
        assert (ROOT / name).is_file(), name
    for name in re.findall(r"\]\((?!https?:|#)([^)]+)\)", readme):
        assert (ROOT / name).exists(), name


def test_no_file_names_a_folder_of_one_machine():
    roots = "|".join(("work", "tmp", "root", "home"))
    places = re.compile(rf"(?<![\w.<])/(?:{roots})/|\.\./sha" + "red")
    hits_by_file = {}
    for path in files():
        if "_static" in path.parts or path == ROOT / ".ci" / "run":
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if hits := places.findall(text):
            hits_by_file[str(path.relative_to(ROOT))] = hits
    assert hits_by_file == {}


def test_ruff_finds_no_errors():
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
