"""Tables that list the recorded runs and the notebooks' parameters. The body of a directive is the caption.

``{sweeps-table}``: every recorded sweep, one row for each network, data set, start and number of epochs, and their
commands.

``{other-results-table}``: the recorded results other than sweeps, parents and benchmarks, and their commands.

``{parents-table}``: the parents in `results/parents`, one row for each network, data set and recipe.

``{notebook-parameters}``: the parameters of every notebook, or of one notebook such as ``02_how_much``.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import papermill
from docutils import nodes
from recorded_results import format_commits, make_table
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from wmgp.experiments.display_names import DATA_NAMES, NETWORK_NAMES
from wmgp.experiments.results.coverage import paper_grid_share
from wmgp.experiments.results.formatting import format_amounts, format_integer_ranges, format_mean_range
from wmgp.experiments.results.provenance import provenance
from wmgp.experiments.results.tables import sweeps
from wmgp.experiments.training.history import read_parent_records
from wmgp.experiments.training.recipes import min_parent_accuracy

Run = dict[str, Any]


class TableDirective(SphinxDirective):
    """A directive that shows a table of text made from files in `results/`."""

    has_content = True

    def depend_on(self, paths: Iterable[Path]) -> None:
        """Build the page again when one of the files changes."""
        for path in paths:
            self.env.note_dependency(str(path))

    def text_table(self, head: list[str], rows: Iterable[Iterable[str]], provenance: str = "") -> nodes.table:
        """Return the table; its caption is the directive's body and the provenance."""
        caption, _ = self.parse_inline(" ".join([*self.content, provenance]).strip())
        return make_table(caption, head, ([nodes.Text(text) for text in row] for row in rows), "results")


def command_block(runs: Iterable[Run]) -> nodes.literal_block:
    """Return the different commands of the runs, one per line."""
    text = "\n".join(filter(None, dict.fromkeys(run.get("command", "") for run in runs)))
    return nodes.literal_block(text, text, language="text")


def date_range(dates: Iterable[str]) -> str:
    """Return the first and the last date, or the only one."""
    dates = sorted(dates)
    return " to ".join(dict.fromkeys((dates[0], dates[-1])))


# --- {sweeps-table} ---

SWEEP_HEAD = ["result", "network", "data", "paper's grid", "methods", "amounts", "seeds", "epochs", "rows", "hours",
              "device", "date"]  # fmt: skip


def sweep_row(name: str, rows: pd.DataFrame) -> list[str]:
    """Return the cells for a sweep: `rows` of the table `name` that share network, data, start and epochs."""
    first, share = rows.iloc[0], paper_grid_share(rows)
    network = first["network"] if first["start"] == "scratch" else f"{first['network']} from ImageNet"
    methods = ", ".join(dict.fromkeys(rows["method"]))
    return [
        name.removesuffix(".csv"), network, first["data"], "" if share is None else f"{share:.0%}", methods,
        format_amounts(rows["amount"]), format_integer_ranges(rows["seed"]), str(first["epochs"]), f"{len(rows):,}",
        f"{rows['seconds'].sum() / 3600:.1f}", ", ".join(sorted(set(rows["device"]))), date_range(rows["date"]),
    ]  # fmt: skip


class SweepsTable(TableDirective):
    """The directive ``{sweeps-table}``."""

    def run(self) -> list[nodes.Node]:
        """Return the table and the commands."""
        folder = Path(self.env.srcdir, "results")
        self.depend_on([*folder.glob("*.csv"), *folder.glob("*.json")])
        recorded = sweeps(folder)
        if not recorded:
            raise self.error("sweeps-table: no table of a sweep in results/")
        runs = [provenance(folder / name)[run] for name, rows in recorded for run in dict.fromkeys(rows["run"])]
        return [self.text_table(SWEEP_HEAD, [sweep_row(*sweep) for sweep in recorded]), command_block(runs)]


# --- {other-results-table} ---

OTHER_RESULTS = (  # files in results/, in the order of the table
    *("reference_run", "mobilenet_v2", "kurtosis_on_purpose", "rescaling", "beyond_l1", "tuning_paths"),
    *("vit_fashion_mnist", "zoo", "functions_*", "landscape_*"),
)
OTHER_HEAD = ["result", "network", "data", "seeds", "device", "date", "minutes"]


def read_runs(path: Path) -> list[Run]:
    """Return the runs that a JSON file records: many by their ids, one at the top level, or one under `provenance`."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if "provenance" in content:
        return [content["provenance"]]
    return [content] if "commit" in content else [*content.values()]


def other_row(path: Path, runs: list[Run]) -> list[str]:
    """Return the cells for a file. Minutes are the recorded wall time of all its runs."""
    networks, data = (
        ", ".join(dict.fromkeys(str(names.get(run[key], run[key])) for run in runs))
        for key, names in (("network", NETWORK_NAMES), ("data", DATA_NAMES))
    )
    seeds = {seed for run in runs for seed in run.get("seeds", [run["seed"]] if "seed" in run else [])}
    minutes = sum(run.get("wall_seconds", 0) for run in runs) / 60
    return [
        path.stem, networks, data, format_integer_ranges(seeds), runs[0].get("device", "cpu"),
        date_range(run["date"] for run in runs), f"{minutes:.1f}" if minutes else "",
    ]  # fmt: skip


class OtherResultsTable(TableDirective):
    """The directive ``{other-results-table}``."""

    def run(self) -> list[nodes.Node]:
        """Return the table and the commands."""
        folder = Path(self.env.srcdir, "results")
        recorded = {path: read_runs(path) for name in OTHER_RESULTS for path in sorted(folder.glob(f"{name}.json"))}
        if not recorded:
            raise self.error("other-results-table: nothing recorded in results/")
        self.depend_on(recorded)
        table = self.text_table(OTHER_HEAD, [other_row(path, runs) for path, runs in recorded.items()])
        return [table, command_block(run for runs in recorded.values() for run in runs)]


# --- {parents-table} ---

PARENT_KEY = ("network", "data", "start", "epochs", "batch_size", "learning_rate")
PARENT_HEAD = ["network", "data", "start", "epochs", "batch", "peak rate", "seeds", "accuracy", "min. accuracy",
               "minutes", "device"]  # fmt: skip


def parent_row(key: tuple[Any, ...], parents: list[Run]) -> list[str]:
    """Return the cells for the parents with one recipe; minutes are the mean training time."""
    minutes = sum(float(parent["seconds"]) for parent in parents) / len(parents) / 60
    accuracy = format_mean_range([parent["accuracy"] for parent in parents], ".1%")
    minimum = min_parent_accuracy(key[0], key[1])
    devices = ", ".join(sorted({parent["device"] for parent in parents}))
    count = str(len(parents))
    return [*map(str, key), count, accuracy, f"{minimum:.0%}" if minimum else "", f"{minutes:.1f}", devices]


class ParentsTable(TableDirective):
    """The directive ``{parents-table}``."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        folder = Path(self.env.srcdir, "results", "parents")
        self.depend_on(folder.rglob("*.json"))
        parents = read_parent_records(folder)
        if not parents:
            raise self.error("parents-table: no JSON file in results/parents")
        by_recipe: dict[tuple[Any, ...], list[Run]] = {}
        for parent in parents:
            by_recipe.setdefault(tuple(parent[name] for name in PARENT_KEY), []).append(parent)
        commits = format_commits(parent["commit"] for parent in parents)
        machines = ", ".join(sorted({parent["gpu"] or parent["cpu"] for parent in parents}))
        source = f"From `results/parents`: {commits}, on {machines}, {max(parent['date'] for parent in parents)}."
        return [self.text_table(PARENT_HEAD, [parent_row(*item) for item in sorted(by_recipe.items())], source)]


# --- {notebook-parameters} ---

PARAMETER_HEAD = ["name", "type", "default", "meaning"]
CODE_COLUMNS = ("name", "inferred_type_name", "default")


def notebook_title(notebook: Path) -> str:
    """Return the text of a notebook's first heading."""
    cells = nbformat.read(notebook, as_version=4).cells
    lines = [line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    return next((line.lstrip("# ") for line in lines if line.startswith("# ")), notebook.stem)


class NotebookParameters(TableDirective):
    """The directive ``{notebook-parameters}``."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return a table for each notebook."""
        folder = Path(self.env.srcdir, "notebooks")
        notebooks = sorted(folder.glob(f"{self.arguments[0] if self.arguments else '[0-9][0-9]_*'}.ipynb"))
        if not notebooks:
            raise self.error(f"no notebook {' '.join(self.arguments)} in {folder.name}")
        self.depend_on(notebooks)
        return [self.parameter_table(notebook) for notebook in notebooks]

    def parameter_table(self, notebook: Path) -> nodes.table:
        """Return the name, type, default and comment of each parameter, in papermill's order."""
        caption = [nodes.literal("", notebook.stem), nodes.Text(f": {notebook_title(notebook)}")]
        parameters = papermill.inspect_notebook(str(notebook)).values()
        rows = (
            [*(nodes.literal("", str(p[key])) for key in CODE_COLUMNS), self.comment(p["help"])] for p in parameters
        )
        return make_table(caption, PARAMETER_HEAD, rows, "parameters")

    def comment(self, text: str) -> nodes.inline:
        """Return a parameter's comment with its quoted values as code."""
        parsed, _ = self.parse_inline(re.sub(r'(?<!`)"([^"\s]+)"', r'`"\1"`', text))
        return nodes.inline("", "", *parsed)


def setup(app: Sphinx):
    """Register the directives."""
    app.add_directive("sweeps-table", SweepsTable)
    app.add_directive("other-results-table", OtherResultsTable)
    app.add_directive("parents-table", ParentsTable)
    app.add_directive("notebook-parameters", NotebookParameters)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
