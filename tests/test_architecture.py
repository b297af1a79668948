"""The page "How the code is organised": its folders are the project's, and imports only point downwards."""

import re
import subprocess
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

grimp = pytest.importorskip("grimp")

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "book" / "architecture.md").read_text(encoding="utf-8")

# From top to bottom. A module imports only from its own line and the lines below it.
LAYERS = (
    ("studies", "benchmarks"),
    ("wmgp.cli",),
    ("wmgp.experiments.claims",),
    ("wmgp.experiments.sweep", "wmgp.experiments.notebook"),
    ("wmgp.experiments.training",),
    ("wmgp.experiments.statistics",),
    ("wmgp.experiments.models",),
    (
        "wmgp.experiments.results",
        "wmgp.experiments.data",
        "wmgp.experiments.display_names",
        "wmgp.experiments.published_method",
    ),
    ("wmgp.experiments",),
    ("wmgp",),  # __init__.py alone: modules that no other line lists are an error
    ("wmgp.unseen_weights",),
    ("wmgp.pruning",),
    ("wmgp.analysis",),
    ("wmgp.report", "wmgp.plotting"),
    ("wmgp.rules", "wmgp.closed_forms", "wmgp.similarity", "wmgp.pruning_methods", "wmgp.diagnostics"),
    ("wmgp.structural_gradients",),
    ("wmgp.pareto",),
    ("wmgp._histogram",),
    ("wmgp.parameters", "wmgp.moments", "wmgp.amounts"),
    ("wmgp.buffers", "wmgp.io"),
    ("wmgp.reparametrized_modules",),
    ("wmgp.reparametrizations",),
    ("wmgp.errors", "wmgp.arrays"),
)
FOLDERS = {"wmgp", "wmgp.experiments"}  # their modules are listed separately
HEIGHTS = {room: -line for line, rooms in enumerate(LAYERS) for room in rooms}

UPWARD: dict[tuple[str, str], str] = {}  # (importer, imported): the reason
BETWEEN_STUDIES = {
    ("studies.kurtosis_on_purpose.variants", "studies.rescaling.measure"): "both record rescaled networks",
    ("studies.rescaling.measure", "studies.when_it_fails.imagenet_sample"): "both evaluate on the ImageNet sample",
}


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Every module of the project -> the modules it imports, without those that only type checkers import."""
    graph = grimp.build_graph(
        *("wmgp", "studies", "benchmarks"),
        include_external_packages=True,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def own(module: str) -> bool:
    """Return True if a module belongs to the project."""
    return module.partition(".")[0] in ("wmgp", "studies", "benchmarks")


def room(module: str) -> str:
    """Return the entry of `LAYERS` that a module belongs to."""
    if module in HEIGHTS:
        return module
    parent = module.rpartition(".")[0]
    assert parent and parent not in FOLDERS, f"{module}: add it to LAYERS and to book/architecture.md"
    return room(parent)


def listed_folders() -> list[str]:
    """Return the first column of the table of folders, without the slashes at the end."""
    return re.findall(r"^\| `([\w/]+)/` \|", PAGE, re.MULTILINE)


def existing_folders() -> set[str]:
    """Return the top-level folders, the packages in `wmgp`, and `studies/NAME` for every study."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    paths = [Path(name) for name in done.stdout.splitlines() if (ROOT / name).is_file()]
    top = {path.parts[0] for path in paths if len(path.parts) > 1 and not path.parts[0].startswith(".")}
    packages = {path.parent.as_posix() for path in paths if path.parts[0] == "wmgp" and path.suffix == ".py"}
    return top | packages | {"studies/NAME"}


def test_the_page_lists_exactly_the_folders_of_the_project():
    listed = listed_folders()
    assert len(listed) == len(set(listed)) and set(listed) == existing_folders()


def test_every_study_has_a_measurement_or_a_figure():
    studies = [path for path in (ROOT / "studies").iterdir() if (path / "__init__.py").is_file()]
    assert len(studies) > 10
    for study in studies:
        names = {path.stem for path in study.glob("*.py")}
        assert names & {"measure", "figure"} or study.name in ("shared", "when_it_fails"), study.name


def test_paths_on_the_page_exist():
    paths = re.findall(r"(?<![\w/])((?:wmgp|tests|studies|book)/[a-z_/]+\.\w+)", PAGE)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_the_page_lists_the_layers_in_the_same_order():
    [block] = re.findall(r"^## Allowed imports\n.*?^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    names = [name.rpartition(".")[2] for rooms in LAYERS for name in rooms if name != "wmgp.experiments"]
    words = iter(re.findall(r"\w+", block))
    missing = [name for name in names if name not in words]  # `in` consumes the iterator: the order counts
    assert missing == []


def test_imports_point_downwards(imports):
    upward = {
        (module, imported)
        for module in filter(own, imports)
        for imported in filter(own, imports[module])
        if room(module) != room(imported) and HEIGHTS[room(imported)] >= HEIGHTS[room(module)]
    }
    assert upward == set(UPWARD)


def test_a_study_imports_only_itself_and_the_shared_folder(imports):
    def study(module: str) -> str:
        return ".".join(module.split(".")[:2])

    found = {
        (module, imported)
        for module in imports
        for imported in imports[module]
        if module.startswith("studies.") and imported.startswith("studies.")
        if study(imported) not in (study(module), "studies.shared")
    }
    assert found == set(BETWEEN_STUDIES)


def test_the_package_does_not_import_the_folders_around_it(imports):
    around = {"studies", "benchmarks", "notebooks", "book", "tests"}
    around |= {path.stem for folder in ("tests", "book/_ext") for path in (ROOT / folder).glob("*.py")}
    found = {
        (module, imported)
        for module in imports
        for imported in imports[module]
        if module.partition(".")[0] == "wmgp" and imported.partition(".")[0] in around
    }
    assert found == set()


def test_there_are_no_import_cycles(imports):
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
