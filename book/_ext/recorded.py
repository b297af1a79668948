"""What the runs recorded in ``results/``, shown as it is: no figure is typed into a page.

``{results-table} benchmark.csv`` shows a table; its body is the caption, to which where the table comes from is added.

    :columns: network, speedup = times faster    the columns to show, each with a heading of its own if it needs one
    :rows: network=resnet18, device=cpu          only rows that have these values
    :format: seconds = .3f, speedup = ,.0f       Python formats of columns

``{recorded-output} analyze.txt`` shows the printed output of a command, its first line the command.

``{result}`benchmark.csv | network=resnet18 | speedup | ,.0f` `` is one value of a table: file, row, column, format;
``{result}`NAME.json | key.inner | .3f` `` one value of a JSON file: file, keys (a place where it is a list), format.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole
from tables import table

from wmgp.report import OUTCOMES

FEW = 3  # commits that are named


def result_file(env: BuildEnvironment, name: str) -> Path:
    """The path of a file in ``results/``, on which the page depends from then on; ValueError if there is none.

    What became of pruned networks is in the package, whose report ends with it.
    """
    path = OUTCOMES if name == OUTCOMES.name else Path(env.srcdir, "results", name)
    if not path.is_file():
        raise ValueError(f"no file results/{name}")
    env.note_dependency(str(path))
    return path


def pairs(text: str) -> dict[str, str]:
    """``a, b = c`` as ``{"a": "a", "b": "c"}``; a comma that does not start a name belongs to the value before it."""
    named: dict[str, str] = {}
    for part in text.replace(", ", "\n").splitlines():
        name, equals, value = part.partition("=")
        named[name.strip()] = value.strip() if equals else name.strip()
    return named


def chosen(frame: pd.DataFrame, rows: str) -> pd.DataFrame:
    """The rows of a table that have the given values; ValueError if there is none, or no such column."""
    for column, value in pairs(rows).items():
        if column not in frame:
            raise ValueError(f"no column {column!r}: there are {', '.join(frame)}")
        frame = frame.loc[frame[column].astype(str) == value]
    if frame.empty:
        raise ValueError(f"no row with {rows}")
    return frame


def shown(value: Any, form: str) -> str:
    """A value in a Python format; nothing at all where it is missing."""
    return "" if value is None or value != value else format(value, form)


def short(commit: str | None) -> str:
    """The first seven digits of a commit, with the mark of a tree that differed from it."""
    digits, dash, mark = (commit or "unknown").partition("-")
    return digits[:7] + dash + mark


def commits(found: Iterable[str | None]) -> str:
    """The commits, or how many they are: a caption has room for three."""
    digits = sorted({short(commit) for commit in found})
    return f"commit {', '.join(digits)}" if len(digits) <= FEW else f"{len(digits)} commits"


def provenance(path: Path, frame: pd.DataFrame) -> str:
    """Commit, machine and date of the runs behind the rows of a table, from the JSON file beside it."""
    runs = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    behind = [runs[run] for run in sorted(set(frame["run"]))]
    on_gpu = "device" in frame and frame["device"].astype(str).str.startswith("cuda").any()
    machines = {run["gpu"] if on_gpu else f"{run['cpu']}, {run['threads']} threads" for run in behind}
    said = (", ".join(sorted(facts)) for facts in (machines, {run["date"] for run in behind}))
    return "From `results/{}`: {}, on {}, {}.".format(path.name, commits(run["commit"] for run in behind), *said)


class ResultsTable(SphinxDirective):
    """The directive ``{results-table}``."""

    required_arguments = 1
    has_content = True
    option_spec = {"columns": directives.unchanged, "rows": directives.unchanged, "format": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """The table, its caption, and where it comes from."""
        try:
            path = result_file(self.env, self.arguments[0])
            frame = chosen(pd.read_csv(path), self.options.get("rows", ""))
            columns = pairs(self.options.get("columns", ", ".join(frame)))
            forms = pairs(self.options.get("format", ""))
            cells = [[nodes.Text(shown(line[c], forms.get(c, ""))) for c in columns] for _, line in frame.iterrows()]
            said, _ = self.parse_inline(" ".join([*self.content, provenance(path, frame)]))
        except (KeyError, ValueError, OSError) as error:
            raise self.error(f"results-table: {error}") from error
        return [table(said, list(columns.values()), cells, "results")]


class RecordedOutput(SphinxDirective):
    """The directive ``{recorded-output}``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The text of the file, as a terminal shows it."""
        try:
            text = result_file(self.env, self.arguments[0]).read_text(encoding="utf-8").rstrip()
        except ValueError as error:
            raise self.error(f"recorded-output: {error}") from error
        return [nodes.literal_block(text, text, language="text", classes=["recorded"])]


class Result(SphinxRole):
    """The role ``{result}``."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The value as text."""
        try:
            name, *where, form = (part.strip() for part in self.text.split("|"))
            path = result_file(self.env, name)
            if path.suffix == ".json":
                value = json.loads(path.read_text(encoding="utf-8"))
                for key in where[0].split("."):
                    value = value[int(key)] if isinstance(value, list) else value[key]
            else:
                frame = chosen(pd.read_csv(path), where[0])
                if len(frame) > 1:
                    raise ValueError(f"{len(frame)} rows with {where[0]}")
                value = frame[where[1]].iloc[0]
            return [nodes.Text(shown(value, form))], []
        except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
            message = self.inliner.reporter.error(f"result {self.text!r}: {error}", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]


def setup(app: Sphinx):
    """Register the directives and the role."""
    app.add_directive("results-table", ResultsTable)
    app.add_directive("recorded-output", RecordedOutput)
    app.add_role("result", Result())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
