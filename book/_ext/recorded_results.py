"""Values, tables, output and a plot of the results recorded in `results/`: no number is typed into a page.

``{results-table} benchmark.csv`` shows a table. Its body is the caption, to which the provenance of the rows is added.

    :columns: network, speedup = times faster    the columns to show, each with its own heading where needed
    :rows: network=resnet18, device=cpu          only rows with these values
    :format: seconds = .3f, speedup = ,.0f       Python formats of columns

``{recorded-output} analyze.txt`` shows the printed output of a command. Its first line is the command.

``{speed-figure} benchmark_sizes.csv`` plots the recorded seconds against size, with alt text in ``:alt:``.

``{result}`benchmark.csv | network=resnet18 | speedup | ,.0f` `` is one value of a table: file, row, column, format.
``{result}`NAME.json | key.inner | .3f` `` is one value of a JSON file: file, keys (an index into a list), format.
"""

import io
import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole

from benchmarks.figure import speed_figure
from wmgp.plotting import SVG_METADATA, style
from wmgp.report import OUTCOMES

MAX_COMMITS = 3  # a caption names up to so many


def table_row(cells: Iterable[nodes.Node]) -> nodes.row:
    """Return a row of a table with one paragraph per cell."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def make_table(
    caption: Iterable[nodes.Node], head: list[str], rows: Iterable[Iterable[nodes.Node]], css_class: str
) -> nodes.table:
    """Return a table with a caption, a line of headings and rows of cells."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", table_row(nodes.Text(text) for text in head))
    group += nodes.tbody("", *(table_row(cells) for cells in rows))
    return nodes.table("", nodes.title("", "", *caption), group, classes=[css_class])


def result_file(env: BuildEnvironment, name: str) -> Path:
    """Return the path of a file in `results/` and make the page depend on it. ValueError if it is missing.

    The outcomes of pruned networks are in the package, because its report ends with them.
    """
    path = OUTCOMES if name == OUTCOMES.name else Path(env.srcdir, "results", name)
    if not path.is_file():
        raise ValueError(f"no file results/{name}")
    env.note_dependency(str(path))
    return path


def parse_pairs(text: str) -> dict[str, str]:
    """Parse `a, b = c` as `{"a": "a", "b": "c"}`. A comma without a space after it is part of the value."""
    values: dict[str, str] = {}
    for part in text.replace(", ", "\n").splitlines():
        name, equals, value = part.partition("=")
        values[name.strip()] = value.strip() if equals else name.strip()
    return values


def select_rows(frame: pd.DataFrame, rows: str) -> pd.DataFrame:
    """Return the rows that have the given values. ValueError if there are none, or no such column."""
    for column, value in parse_pairs(rows).items():
        if column not in frame:
            raise ValueError(f"no column {column!r}: there are {', '.join(frame)}")
        frame = frame.loc[frame[column].astype(str) == value]
    if frame.empty:
        raise ValueError(f"no row with {rows}")
    return frame


def format_value(value: Any, form: str) -> str:
    """Format a value with a Python format, or return "" if it is missing."""
    return "" if value is None or value != value else format(value, form)


def short_commit(commit: str | None) -> str:
    """Return the first seven digits of a commit and its `-dirty` suffix."""
    digits, dash, suffix = (commit or "unknown").partition("-")
    return digits[:7] + dash + suffix


def format_commits(commits: Iterable[str | None]) -> str:
    """List up to `MAX_COMMITS` commits, or count them."""
    digits = sorted({short_commit(commit) for commit in commits})
    return f"commit {', '.join(digits)}" if len(digits) <= MAX_COMMITS else f"{len(digits)} commits"


def provenance_text(path: Path, frame: pd.DataFrame) -> str:
    """Return commit, machine and date of the runs of a table's rows, from the JSON file beside the table."""
    runs = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    used = [runs[run] for run in sorted(set(frame["run"]))]
    on_gpu = "device" in frame and frame["device"].astype(str).str.startswith("cuda").any()
    machines = {run["gpu"] if on_gpu else f"{run['cpu']}, {run['threads']} threads" for run in used}
    facts = (", ".join(sorted(values)) for values in (machines, {run["date"] for run in used}))
    return "From `results/{}`: {}, on {}, {}.".format(path.name, format_commits(run["commit"] for run in used), *facts)


class ResultsTable(SphinxDirective):
    """The directive ``{results-table}``."""

    required_arguments = 1
    has_content = True
    option_spec = {"columns": directives.unchanged, "rows": directives.unchanged, "format": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        try:
            path = result_file(self.env, self.arguments[0])
            frame = select_rows(pd.read_csv(path), self.options.get("rows", ""))
            columns = parse_pairs(self.options.get("columns", ", ".join(frame)))
            forms = parse_pairs(self.options.get("format", ""))
            cells = [
                [nodes.Text(format_value(row[name], forms.get(name, ""))) for name in columns]
                for _, row in frame.iterrows()
            ]
            caption, _ = self.parse_inline(" ".join([*self.content, provenance_text(path, frame)]))
        except (KeyError, ValueError, OSError) as error:
            raise self.error(f"results-table: {error}") from error
        return [make_table(caption, list(columns.values()), cells, "results")]


class RecordedOutput(SphinxDirective):
    """The directive ``{recorded-output}``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the text of the file as a block of text."""
        try:
            text = result_file(self.env, self.arguments[0]).read_text(encoding="utf-8").rstrip()
        except ValueError as error:
            raise self.error(f"recorded-output: {error}") from error
        return [nodes.literal_block(text, text, language="text", classes=["recorded"])]


class SpeedFigure(SphinxDirective):
    """The directive ``{speed-figure}``."""

    required_arguments = 1
    has_content = True
    option_spec = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Return the figure and its caption."""
        try:
            path = result_file(self.env, self.arguments[0])
            rows = pd.read_csv(path)
            caption, _ = self.parse_inline(" ".join([*self.content, provenance_text(path, rows)]))
            drawn = nodes.raw("", draw_speed(rows, self.options["alt"]), format="html")
        except (KeyError, ValueError, OSError) as error:
            raise self.error(f"speed-figure: {error}") from error
        return [nodes.figure("", drawn, nodes.caption("", "", *caption))]


def draw_speed(rows: pd.DataFrame, alt: str) -> str:
    """Return the plot of seconds against size as HTML."""
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context(style()):
        speed_figure(rows).savefig(file, format="svg", metadata=SVG_METADATA)
    svg = file.getvalue()
    return f'<div role="img" aria-label="{escape(alt)}">{svg[svg.index("<svg") :]}</div>'


class Result(SphinxRole):
    """The role ``{result}``."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the value as text."""
        try:
            name, *where, form = (part.strip() for part in self.text.split("|"))
            path = result_file(self.env, name)
            if path.suffix == ".json":
                value = json.loads(path.read_text(encoding="utf-8"))
                for key in where[0].split("."):
                    value = value[int(key)] if isinstance(value, list) else value[key]
            else:
                frame = select_rows(pd.read_csv(path), where[0])
                if len(frame) > 1:
                    raise ValueError(f"{len(frame)} rows with {where[0]}")
                value = frame[where[1]].iloc[0]
            return [nodes.Text(format_value(value, form))], []
        except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
            message = self.inliner.reporter.error(f"result {self.text!r}: {error}", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]


def setup(app: Sphinx):
    """Register the directives and the role."""
    app.add_directive("results-table", ResultsTable)
    app.add_directive("recorded-output", RecordedOutput)
    app.add_directive("speed-figure", SpeedFigure)
    app.add_role("result", Result())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
