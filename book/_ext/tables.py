"""A table of a page, made from rows: what the directives of this folder share."""

from collections.abc import Iterable

from docutils import nodes


def row(cells: Iterable[nodes.Node]) -> nodes.row:
    """One row of a table, a paragraph a cell."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def table(
    caption: Iterable[nodes.Node], head: list[str], rows: Iterable[Iterable[nodes.Node]], kind: str
) -> nodes.table:
    """A table with a caption above, a line of headings and rows of cells; ``kind`` is its class for the style sheet."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", row(nodes.Text(text) for text in head))
    group += nodes.tbody("", *(row(cells) for cells in rows))
    return nodes.table("", nodes.title("", "", *caption), group, classes=[kind])
