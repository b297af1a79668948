"""An Analysis for people: as text, as HTML in a notebook, and as rich tables in a terminal."""

import html as markup
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import printable

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from .analysis import Analysis
    from .pareto import Point

OUTCOMES = Path(__file__).with_name("outcomes.json")  # written by experiments.studies.outcomes
HEADINGS = ("", "amount", "cosine", "threshold", "pruned")
TENSOR_HEADINGS = ("tensor", "shape", "dtype", "values", "kurtosis", "energy", "at optimal", "at safe")
OPTIONAL_HEADINGS = ("energy", "dtype", "kurtosis", "shape")


def floor() -> float:
    """The utopia rule's smallest possible answer: 1 - x^2 with 2x^3 + x - 1 = 0, for any weights at all.

    Losing the share p of the smallest weights loses at most the share p of the energy, so the cosine is never below
    sqrt(1 - p); on that curve, x = sqrt(1 - p), the point nearest to utopia solves the cubic (here by Cardano).
    """
    root = math.sqrt(1 / 16 + 1 / 216)
    x = math.cbrt(1 / 4 + root) + math.cbrt(1 / 4 - root)
    return 1 - x**2


def notes() -> tuple[str, ...]:
    """What a reader must know to use the answer: what it is not, what came of it, and what to do."""
    said = json.loads(OUTCOMES.read_text(encoding="utf-8"))
    tuned, untuned, kinds = (said["networks"][name] for name in ("tuned", "untuned", "architectures"))
    lost = [
        f"{line} {_format_range(ends['tuned'])} ({_format_range(ends['untuned'])})"
        for line, ends in said["lost"].items()
    ]
    return (
        "Zeros scattered over a network make it neither faster nor smaller by themselves.",
        f"The optimal amount is never below {floor():.3f} (to the grid's step), whatever the weights, trained or not.",
        f"Points of accuracy lost by up to {tuned} networks ({kinds} architectures) pruned so and trained for an epoch "
        f"({untuned} before that):",
        f"  {', '.join(lost[:2])},",
        f"  {', '.join(lost[2:])}.",
        "Begin at the smaller of safe and cosine 0.99, measure, and go up, to optimal at most, while accuracy holds.",
    )


def _format_range(ends: Sequence[float]) -> str:
    return f"{ends[0]:.1f} to {ends[1]:.1f}"


def text(analysis: "Analysis") -> str:
    """A summary of some fifteen aligned lines."""
    facts = _align(_facts(analysis), "<><")
    points = _align([HEADINGS, *_point_rows(analysis)], "<>>>>")
    warnings = [f"warning: {warning}" for warning in _short_warnings(analysis)]
    return "\n".join([printable(analysis.source), *facts, "", *points, "", *warnings, *notes()])


def html(analysis: "Analysis") -> str:
    """The same as two small tables; they set no colour, so they read in light and in dark."""
    facts = _html_table(_facts(analysis), "<><")
    points = _html_table([HEADINGS, *_point_rows(analysis)], "<>>>>")
    lines = [f"Warning: {warning}" for warning in _short_warnings(analysis)] + list(notes())
    return "\n".join(
        [
            f"<p><strong>{markup.escape(printable(analysis.source))}</strong></p>",
            *facts,
            *points,
            *(f"<p>{markup.escape(line)}</p>" for line in lines),
        ]
    )


def summary(analysis: "Analysis") -> "Group":
    """The same for a terminal, as a rich renderable."""
    from rich.console import Group
    from rich.text import Text

    facts = _rich_table(_facts(analysis), "<><")
    points = _rich_table(_point_rows(analysis), "<>>>>", HEADINGS)
    warnings = [Text(f"warning: {warning}", style="yellow") for warning in _short_warnings(analysis)]
    dim = [Text(line, style="dim") for line in notes()]
    return Group(Text(printable(analysis.source), style="bold"), facts, Text(), points, Text(), *warnings, *dim)


def tensors(analysis: "Analysis", width: int) -> "Group":
    """One row a tensor, as a rich table; pruned at optimal and at safe: shares of its values, in [0, 1].

    Where a line has more than `width` characters, the columns in `LEAST_NEEDED` go one by one, which a line below says.
    """
    from rich.console import Group
    from rich.text import Text

    columns = dict(zip(TENSOR_HEADINGS, zip(TENSOR_HEADINGS, *_tensor_rows(analysis), strict=True), strict=True))
    sides, gone = dict(zip(TENSOR_HEADINGS, "<<<>>>>>", strict=True)), []
    for heading in OPTIONAL_HEADINGS:
        if sum(max(map(len, column)) + 2 for column in columns.values()) > width:
            del columns[heading]
            gone.append(heading)
    rows = list(zip(*columns.values(), strict=True))
    table = _rich_table(rows[1:], "".join(sides[heading] for heading in columns), rows[0])
    said = f"Too narrow here for {', '.join(gone)}; in a file or a pipe they are there."
    return Group(table, *([Text(said, style="dim")] if gone else []))


def tensors_text(analysis: "Analysis") -> str:
    """One row a tensor, as aligned lines."""
    return "\n".join(_align([TENSOR_HEADINGS, *_tensor_rows(analysis)], "<<<>>>>>"))


def _facts(analysis: "Analysis") -> list[tuple[str, str, str]]:
    """Label, value and remark."""
    return [
        ("parameters", f"{analysis.n_parameters:,}", ""),
        ("prunable", f"{analysis.n_prunable:,}", f"pool {printable(analysis.pool)}"),
        ("kurtosis", format_number(analysis.kurtosis, ".2f"), "a normal distribution has 3"),
        ("kurtosis of kurtoses", format_number(analysis.kurtosis_of_kurtoses, ".2f"), "over the pool's tensors"),
    ]


def _point_rows(analysis: "Analysis") -> list[tuple[str, ...]]:
    """The recommended prunes, a row each in the order of HEADINGS."""
    return [
        _point_row("optimal", analysis.optimal),
        _point_row("safe", analysis.safe),
        _point_row("cosine 0.99", analysis.at_cosine(0.99)),
    ]


def _point_row(name: str, point: "Point | None") -> tuple[str, ...]:
    if point is None:
        return name, "undefined", "", "", ""
    threshold = format_number(point.threshold, ".4g")
    return name, f"{point.amount:.4f}", f"{point.cosine:.4f}", threshold, f"{point.n_pruned:,}"


def _tensor_rows(analysis: "Analysis") -> Iterator[tuple[str, ...]]:
    for row in analysis.to_dict()["tensors"]:
        pruned = (_format_share(row[f"pruned_at_{which}"], row["n"]) for which in ("optimal", "safe"))
        shape = "x".join(map(str, row["shape"])) or "scalar"
        kurtosis, energy = format_number(row["kurtosis"], ".2f"), format_number(row["energy"], ".4g")
        yield printable(row["name"]), shape, row["dtype"], f"{row['n']:,}", kurtosis, energy, *pruned


def _short_warnings(analysis: "Analysis") -> list[str]:
    """The warnings, long lists of names cut short; analysis.warnings has them whole."""
    listed = [printable(warning).split(", ") for warning in analysis.warnings]
    return [
        ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more" for names in listed
    ]


def format_number(value: float | None, form: str) -> str:
    """The value in a format; a dash where it is undefined."""
    return "-" if value is None or math.isnan(value) else format(value, form)


def _format_share(count: int | None, n: int) -> str:
    return "-" if count is None or n == 0 else f"{count / n:.4f}"


def _align(rows: Sequence[Sequence[str]], alignments: str) -> list[str]:
    """The rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, alignments, widths, strict=True)).rstrip()
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
