"""``{claims-summary}``, ``{claim} C2``, ``{verdicts} C2 C3``: the paper's claims beside what was measured.

As `wmgp claims` has it. The summary has a row for each claim with its verdict and how many figures have which; with the
option ``:brief:`` a mark for each figure, and how many there are in all is added to the caption. ``{claim}`` shows the
rows of one claim, its notebooks, and the commands that measure them again. ``{verdicts}`` is the box at a notebook's
beginning. The build stops where a claim has no row, or a number no provenance.
"""

from functools import cache
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from tables import table

from wmgp import InputError
from wmgp.experiments.claims import collection, formatting
from wmgp.experiments.claims.verdicts import VERDICTS, Row

collect = cache(collection.collect)  # once a build


class Claims(SphinxDirective):
    """What the directives share: the rows, on whose files the page depends."""

    has_content = True

    def rows(self) -> list[Row]:
        """All rows."""
        folder = Path(self.env.srcdir, "results")
        for path in folder.rglob("*.*"):
            self.env.note_dependency(str(path))
        try:
            return collect(folder)
        except InputError as error:
            raise self.error(f"claims: {error}") from error

    def caption(self) -> list[nodes.Node]:
        """The directive's content."""
        said, _ = self.parse_inline(" ".join(self.content))
        return said


class ClaimsSummary(Claims):
    """``{claims-summary}``."""

    option_spec = {"brief": directives.flag}

    def run(self) -> list[nodes.Node]:
        """A row a claim, whose name leads to its figures."""
        rows, brief = self.rows(), "brief" in self.options
        verdicts, cells = collection.overall(rows), []
        for id, claim in collection.CLAIMS.items():
            mine = [row for row in rows if row.id == id]
            verdict = nodes.strong("", verdicts[id])
            figures = nodes.inline("", "", nodes.Text(f"{verdicts[id]} "), marks(mine)) if brief else None
            counted = [figures] if figures else [verdict, nodes.Text(formatting.counted(mine))]
            cells.append([to_claim(id), nodes.Text(claim), *counted])
        said = self.caption()
        if brief:
            said.append(nodes.Text(f" Of {len(rows)} figures: {formatting.counted(rows)}."))
        found = table(said, ["", "claim", "verdict", *([] if brief else ["figures"])], cells, "claims")
        found["classes"] += ["brief"] if brief else []
        return [found]


class Claim(Claims):
    """``{claim} C2``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The claim's rows, its notebooks and its commands."""
        id = self.arguments[0]
        mine = [row for row in self.rows() if row.id == id]
        if id not in collection.CLAIMS:
            raise self.error(f"claim {id}: expected one of {', '.join(collection.CLAIMS)}")
        given = any(row.published is not None for row in mine)
        cells = [[figure(row), *([nodes.Text(published(row))] if given else []), judged(row)] for row in mine]
        head = ["figure", *(["published"] if given else []), "ours, with its 95% interval"]
        again = "\n".join(dict.fromkeys(row.command for row in mine))
        commands = nodes.literal_block(again, again, language="text")
        return [table(self.caption(), head, cells, "claims"), links(mine), commands]


class Verdicts(Claims):
    """``{verdicts} C2 C3``: each claim in words, its verdict, and below them the directive's content."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """A box with a line for each claim."""
        rows, lines = self.rows(), nodes.bullet_list()
        judged = collection.overall(rows)
        for id in self.arguments[0].split():
            if id not in collection.CLAIMS:
                raise self.error(f"claim {id}: expected one of {', '.join(collection.CLAIMS)}")
            counts = f" ({formatting.counted([row for row in rows if row.id == id])} of its figures)."
            verdict = nodes.strong("", judged[id].capitalize())
            said = [nodes.Text(f"{id}. {collection.CLAIMS[id]} "), verdict, nodes.Text(counts)]
            lines += nodes.list_item("", nodes.paragraph("", "", *said))
        below = nodes.paragraph("", "", *self.caption())
        return [nodes.admonition("", nodes.title("", "What holds"), lines, below, classes=["verdicts"])]


def to_claim(id: str) -> nodes.Node:
    """A link to the claim's figures, on whichever page they are."""
    to = {"refdomain": "std", "reftype": "ref", "reftarget": id.lower(), "refexplicit": True, "refwarn": True}
    return addnodes.pending_xref("", nodes.inline("", id), **to)


def marks(rows: list[Row]) -> nodes.raw:
    """A small mark for each row, filled, half, empty or a dash by its verdict; for who cannot see them, their count."""
    found = sorted((row.verdict for row in rows), key=VERDICTS.index)
    each = "".join(f'<i class="{verdict.replace(" ", "-")}"></i>' for verdict in found)
    text = f'<span class="marks" role="img" aria-label="{formatting.counted(rows)}">{each}</span>'
    return nodes.raw("", text, format="html")


def figure(row: Row) -> nodes.inline:
    """What is measured, and of which network."""
    return nodes.inline("", "", nodes.strong("", f"{row.subject}: "), nodes.Text(row.claim))


def published(row: Row) -> str:
    """The paper's figure, where it gives one."""
    return "" if row.published is None else f"{row.published:{row.form}}"


def judged(row: Row) -> nodes.inline:
    """The row's sentence, its verdict in bold."""
    return nodes.inline(
        "", "", nodes.strong("", row.verdict.capitalize()), nodes.Text(row.sentence[len(row.verdict) :])
    )


def links(rows: list[Row]) -> nodes.paragraph:
    """Where these rows are looked at, and what measures them again."""
    found: list[nodes.Node] = [nodes.Text("Looked at in ")]
    for number, name in enumerate(dict.fromkeys(row.notebook for row in rows)):
        to = {"refdomain": "std", "reftype": "doc", "reftarget": f"/notebooks/{name}", "refexplicit": False}
        found += [nodes.Text(", " if number else ""), addnodes.pending_xref("", nodes.inline("", name), **to)]
    return nodes.paragraph("", "", *found, nodes.Text(". Measured again by:"))


def setup(app: Sphinx):
    """Register the directives."""
    app.add_directive("claims-summary", ClaimsSummary)
    app.add_directive("claim", Claim)
    app.add_directive("verdicts", Verdicts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
