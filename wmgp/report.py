"""The report of an `Analysis`: as plain text, as HTML for notebooks, and as rich tables for terminals."""

import html as markup
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .closed_forms import smallest_optimum
from .errors import printable
from .pareto import CAREFUL_COSINE

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from .analysis import Analysis
    from .pareto import Point

OUTCOMES = Path(__file__).with_name("outcomes.json")  # written by studies/rules_compared/cost_ranges.py
CAREFUL = f"cosine {CAREFUL_COSINE}"
HEADINGS = ("", "amount", "cosine", "threshold", "pruned")
POINTS = ("careful", "safe", "optimal")  # columns of shares in the tensor table
TENSOR_HEADINGS = ("tensor", "shape", "dtype", "values", "zeros", "kurtosis", "energy", *(f"at {p}" for p in POINTS))
OPTIONAL_HEADINGS = (
    "energy",
    "dtype",
    "kurtosis",
    "zeros",
    "shape",
)  # a narrow terminal leaves them out, in this order


def notes() -> tuple[str, ...]:
    """The limits of the optimal amount, the accuracy that other networks lost, and advice, in lines of text."""
    outcomes = json.loads(OUTCOMES.read_text(encoding="utf-8"))
    tuned, untuned, architectures = (outcomes["networks"][name] for name in ("tuned", "untuned", "architectures"))
    floor = smallest_optimum().amount
    lost = [
        f"{line} {_format_range(ends['tuned'])} ({_format_range(ends['untuned'])})"
        for line, ends in outcomes["lost"].items()
    ]
    return (
        "Zeros scattered over a network make it neither faster nor smaller by themselves.",
        f"The optimal amount is never below {floor:.3f} (to the grid's step), whatever the weights, trained or not.",
        "Accuracy lost after one epoch of fine-tuning (in brackets: before it), in points, "
        f"up to {tuned} ({untuned}) networks, {architectures} architectures:",
        f"  {', '.join(lost[:2])},",
        f"  {', '.join(lost[2:])}.",
        "Begin at careful, measure, and go up, to optimal at most, while accuracy holds.",
    )


def _format_range(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.1f} to {bounds[1]:.1f}"


def text(analysis: "Analysis") -> str:
    """The report as about 15 aligned lines."""
    facts = _align(_facts(analysis), "<><")
    points = _align([HEADINGS, *_point_rows(analysis)], "<>>>>")
    warnings = [f"warning: {warning}" for warning in short_warnings(analysis.warnings)]
    return "\n".join([printable(analysis.source), *facts, "", *points, "", *warnings, *notes()])


def html(analysis: "Analysis") -> str:
    """The report as HTML without colours, for light and dark themes."""
    facts = _html_table(_facts(analysis), "<><")
    points = _html_table([HEADINGS, *_point_rows(analysis)], "<>>>>")
    lines = [f"Warning: {warning}" for warning in short_warnings(analysis.warnings)] + list(notes())
    return "\n".join(
        [
            f"<p><strong>{markup.escape(printable(analysis.source))}</strong></p>",
            *facts,
            *points,
            *(f"<p>{markup.escape(line)}</p>" for line in lines),
        ]
    )


def summary(analysis: "Analysis") -> "Group":
    """The report for a terminal, as a rich renderable."""
    from rich.console import Group
    from rich.text import Text

    facts = _rich_table(_facts(analysis), "<><")
    points = _rich_table(_point_rows(analysis), "<>>>>", HEADINGS)
    warnings = [Text(f"warning: {warning}", style="yellow") for warning in short_warnings(analysis.warnings)]
    dim = [Text(line, style="dim") for line in notes()]
    return Group(Text(printable(analysis.source), style="bold"), facts, Text(), points, Text(), *warnings, *dim)


def tensors(analysis: "Analysis", width: int) -> "Group":
    """The tensor table for a terminal, one row per tensor; pruned at optimal and at safe are shares in [0, 1].

    Columns in `OPTIONAL_HEADINGS` are left out until lines have at most `width` characters; a note names them.
    """
    from rich.console import Group
    from rich.text import Text

    columns = dict(zip(TENSOR_HEADINGS, zip(TENSOR_HEADINGS, *_tensor_rows(analysis), strict=True), strict=True))
    alignments, omitted = dict(zip(TENSOR_HEADINGS, "<<<>>>>>>>", strict=True)), []
    for heading in OPTIONAL_HEADINGS:
        if sum(max(map(len, column)) + 2 for column in columns.values()) > width:
            del columns[heading]
            omitted.append(heading)
    rows = list(zip(*columns.values(), strict=True))
    table = _rich_table(rows[1:], "".join(alignments[heading] for heading in columns), rows[0])
    note = f"Too narrow here for {', '.join(omitted)}; a file or a pipe shows them."
    return Group(table, *([Text(note, style="dim")] if omitted else []))


def tensors_text(analysis: "Analysis") -> str:
    """The tensor table as aligned lines, one per tensor."""
    return "\n".join(_align([TENSOR_HEADINGS, *_tensor_rows(analysis)], "<<<>>>>>>>"))


def _facts(analysis: "Analysis") -> list[tuple[str, str, str]]:
    """Rows of label, value and remark."""
    return [
        ("parameters", f"{analysis.n_parameters:,}", ""),
        ("prunable", f"{analysis.n_prunable:,}", f"pool {printable(analysis.pool)}"),
        ("kurtosis", format_number(analysis.kurtosis, ".2f"), "a normal distribution has 3"),
        ("kurtosis of kurtoses", format_number(analysis.kurtosis_of_kurtoses, ".2f"), "over the pool's tensors"),
    ]


def _point_rows(analysis: "Analysis") -> list[tuple[str, ...]]:
    """The recommended prunes, one row each, in the order of `HEADINGS`."""
    return [
        _point_row("careful", analysis.careful),
        _point_row("safe", analysis.safe),
        _point_row(CAREFUL, analysis.at_cosine(CAREFUL_COSINE)),
        _point_row("optimal (paper)", analysis.optimal),
    ]


def _point_row(name: str, point: "Point | None") -> tuple[str, ...]:
    if point is None:
        return name, "undefined", "", "", ""
    threshold = format_number(point.threshold, ".4g")
    return name, f"{point.amount:.4f}", f"{point.cosine:.4f}", threshold, f"{point.n_pruned:,}"


def _tensor_rows(analysis: "Analysis") -> Iterator[tuple[str, ...]]:
    for row in analysis.to_dict()["tensors"]:
        pruned = (_format_share(row[f"pruned_at_{which}"], row["n"]) for which in POINTS)
        shape = "x".join(map(str, row["shape"])) or "scalar"
        kurtosis, energy = format_number(row["kurtosis"], ".2f"), format_number(row["energy"], ".4g")
        counts = (f"{row[column]:,}" for column in ("n", "zeros"))
        yield printable(row["name"]), shape, row["dtype"], *counts, kurtosis, energy, *pruned


def short_warnings(warnings: Sequence[str]) -> list[str]:
    """The warnings with at most 3 names each, printable; `Analysis.warnings` has all names."""
    names_of_warnings = [printable(warning).split(", ") for warning in warnings]
    return [
        ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
        for names in names_of_warnings
    ]


def format_number(value: float | None, form: str) -> str:
    """The formatted value; a dash if undefined."""
    return "-" if value is None or math.isnan(value) else format(value, form)


def _format_share(count: int | None, n: int) -> str:
    return "-" if count is None or n == 0 else f"{count / n:.4f}"


def _align(rows: Sequence[Sequence[str]], alignments: str) -> list[str]:
    """The rows as lines, with columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:{alignment}{width}}" for cell, alignment, width in zip(row, alignments, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _html_table(rows: Sequence[Sequence[str]], alignments: str) -> Iterator[str]:
    sides = ["right" if side == ">" else "left" for side in alignments]
    yield "<table>"
    for row in rows:
        cells = [f'<td style="text-align: {s}">{markup.escape(cell)}</td>' for s, cell in zip(sides, row, strict=True)]
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</table>"


def _rich_table(rows: Sequence[Sequence[str]], alignments: str, headings: Sequence[str] | None = None) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=headings is not None, header_style="bold")
    for i, side in enumerate(alignments):
        heading = headings[i] if headings else ""
        table.add_column(heading, justify="right" if side == ">" else "left", overflow="fold", no_wrap=i > 0)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
