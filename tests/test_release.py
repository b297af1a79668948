"""A release's metadata: citation, changelog, addresses, and the workflows that test and publish it."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import wmgp

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
WORKFLOWS = {path.stem: path for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)

# The Citation File Format 1.2.0, as far as this file uses it: name -> whether it must be there, and its form.
DATE, TEXT = r"\d{4}-\d\d-\d\d", r"\S(.|\n)*"
CFF = {
    "cff-version": (True, r"1\.2\.0"),
    "message": (True, TEXT),
    "title": (True, TEXT),
    "authors": (True, list),
    "type": (False, "software|dataset"),
    "abstract": (False, TEXT),
    "date-released": (False, DATE),
    "keywords": (False, list),
    "license": (False, "[A-Za-z0-9.-]+"),
    "repository-code": (False, r"https?://\S+"),
    "references": (False, list),
    "url": (False, r"https?://\S+"),
    "version": (False, TEXT),
}
REFERENCE = {
    "type": (True, "article|book|conference-paper|software|thesis"),
    "title": (True, TEXT),
    "authors": (True, list),
    "collection-title": (False, TEXT),
    "conference": (False, dict),
    "notes": (False, TEXT),
    "url": (False, r"https?://\S+"),
    "year": (False, r"\d{4}"),
}
PERSON = {"family-names": (True, TEXT), "given-names": (False, TEXT)}
ENTITY = {"name": (True, TEXT)}


def check(found: dict[str, Any], form: Mapping[str, tuple[bool, str | type]], where: str) -> None:
    """Assert that a mapping has all required names, no unknown names, and values of the right form."""
    assert [name for name in found if name not in form] == [], where
    assert [name for name, (must, _) in form.items() if must and name not in found] == [], where
    for name, value in found.items():
        kind = form[name][1]
        good = re.fullmatch(kind, str(value)) if isinstance(kind, str) else isinstance(value, kind) and value
        assert good, f"{where}: {name}: {value!r}"


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_citation_follows_the_format(citation):
    check(citation, CFF, "CITATION.cff")
    for reference in citation["references"]:
        check(reference, REFERENCE, reference["title"])
        check(reference["conference"], ENTITY, "conference")
    for author in [a for of in (citation, *citation["references"]) for a in of["authors"]]:
        check(author, ENTITY if "name" in author else PERSON, "author")


def test_citation_names_the_package_and_the_paper(citation):
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]
    [paper] = [of for of in citation["references"] if of["url"] == PROJECT["urls"]["Paper"]]
    assert (paper["type"], paper["year"]) == ("conference-paper", 2024)


def test_changelog_ends_with_this_version(citation):
    text = (ROOT / "CHANGELOG.md").read_text()
    assert text.index("## [Unreleased]") < text.index("## [0")
    versions = re.findall(r"^## \[(\d\S*)\] - (\S+)$", text, re.MULTILINE)
    assert len(versions) == len(re.findall(r"^## ", text, re.MULTILINE)) - 1
    assert versions[0] == (wmgp.__version__, str(citation["date-released"]))
    assert sorted((Version(number) for number, _ in versions), reverse=True) == [Version(n) for n, _ in versions]
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds


def test_addresses_follow_the_setting(citation):
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    address = config["sphinx"]["config"]["project_address"]
    assert PROJECT["urls"].get("Repository", "") == citation.get("repository-code", "") == address


def python_classifiers() -> list[str]:
    """The Python versions in the classifiers, oldest first."""
    found = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)]
    return sorted(found, key=Version)


def test_classifiers_name_the_allowed_pythons():
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert all(f"{version}.0" in allowed for version in python_classifiers())
    oldest = Version(python_classifiers()[0])
    assert f"{oldest.major}.{oldest.minor - 1}.0" not in allowed


def load(name: str) -> dict[Any, Any]:
    """A workflow; YAML reads its key `on` as True."""
    return yaml.safe_load(WORKFLOWS[name].read_text())


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in load(name)["jobs"].values() for step in job["steps"]]


def test_the_three_workflows_exist():
    assert set(WORKFLOWS) == {"audit", "pages", "tests"}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_run_only_make(name):
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    commands = [step["run"] for step in steps(name) if "run" in step]
    assert all(re.fullmatch(r"make [a-z-]+|chromium --version", command) for command in commands), commands
    assert {command.split()[1] for command in commands if command.startswith("make ")} <= targets
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in steps(name) if "uses" in step)
    assert all(("run" in step) != ("uses" in step) for step in steps(name))


def test_tests_run_on_the_oldest_and_newest_python():
    workflow, job = load("tests"), load("tests")["jobs"]["tests"]
    assert job["strategy"]["matrix"]["python"] == [python_classifiers()[0], python_classifiers()[-1]]
    assert [step["run"] for step in job["steps"] if "run" in step][-2:] == ["make book", "make test-all"]
    assert workflow["permissions"] == {"contents": "read"} and set(workflow[True]) == {"push", "pull_request"}


def test_oldest_dependencies_are_tested_on_the_oldest_python():
    python, tried = load("tests")["jobs"]["oldest"]["steps"][1:]
    assert python["with"]["python-version"] == python_classifiers()[0] and tried["run"] == "make oldest"
    built = re.search(r"^BUILT := (.*)$", MAKEFILE, re.MULTILINE)
    assert built and all((ROOT / "tests" / f"test_{name}.py").is_file() for name in built.group(1).split())


def test_pinned_versions_are_audited_weekly_and_on_change():
    workflow = load("audit")
    assert workflow[True]["schedule"] and workflow["permissions"] == {"contents": "read"}
    assert workflow[True]["push"]["paths"] == workflow[True]["pull_request"]["paths"] == ["constraints.txt"]
    assert [step["run"] for step in steps("audit") if "run" in step] == ["make audit"]
    recipe = re.search(r"^audit:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert recipe and " -r constraints.txt\n" in recipe[1]


def test_pages_come_from_make_and_only_publishing_may_write():
    workflow, jobs = load("pages"), load("pages")["jobs"]
    assert workflow["permissions"] == {"contents": "read"} and "permissions" not in jobs["book"]
    assert jobs["publish"]["permissions"] == {"pages": "write", "id-token": "write"}
    assert jobs["publish"]["needs"] == "book" and "pull_request" not in workflow[True]
    python, built, printed, artifact = steps("pages")[1:5]
    assert python["with"]["python-version"] in python_classifiers()
    assert [built["run"], printed["run"]] == ["make book", "make pdf"]
    assert f"file://$(CURDIR)/{artifact['with']['path']}/index.html" in MAKEFILE


def test_pre_commit_hook_runs_the_pinned_tools():
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    [hook] = repository["hooks"]
    assert repository["repo"] == "local" and hook["entry"] == "make lint" and hook["language"] == "system"
    recipe = re.search(r"^lint: \$\(INSTALLED\).*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert recipe is not None
    tools = [line.split()[0].removeprefix("$(BIN)/") for line in recipe[1].splitlines()]
    assert tools == ["ruff", "pyright"] and set(tools) <= set(PINS)
