"""``{claims-summary}``, ``{claim} C2``, ``{verdicts} C2 C3``: the paper's claims, checked as by `wmgp claims`.

``{claims-summary}`` has one row per claim with its verdict and its number of checks by verdict. With the option
``:brief:`` it has a mark for each check instead, and the caption gives the number of all checks. ``{claim}`` shows the
checks of one claim, its notebooks and its commands. ``{verdicts}`` is the box at the top of a notebook. The build stops
if a claim has no check or a number has no provenance.
"""

from functools import cache
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from recorded_results import make_table
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from wmgp import InputError
from wmgp.experiments.claims import collection, formatting
from wmgp.experiments.claims.verdicts import VERDICTS, Row

collect = cache(collection.collect)  # once per build


class Claims(SphinxDirective):
    """A directive on a page that depends on the recorded results."""

    has_content = True

    def rows(self) -> list[Row]:
        """Return the checks of all claims."""
        folder = Path(self.env.srcdir, "results")
        for path in folder.rglob("*.*"):
            self.env.note_dependency(str(path))
        try:
            return collect(folder)
        except InputError as error:
            raise self.error(f"claims: {error}") from error

    def body(self) -> list[nodes.Node]:
        """Return the directive's body as inline text."""
        text, _ = self.parse_inline(" ".join(self.content))
        return text

    def check_id(self, id: str) -> None:
        """Stop the build unless there is such a claim."""
        if id not in collection.CLAIMS:
            raise self.error(f"claim {id}: expected one of {', '.join(collection.CLAIMS)}")


class ClaimsSummary(Claims):
    """The directive ``{claims-summary}``."""

    option_spec = {"brief": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Return the table; a claim's name links to its checks."""
        rows, brief = self.rows(), "brief" in self.options
        verdicts, cells = collection.overall(rows), []
        for id, claim in collection.CLAIMS.items():
            checks = [row for row in rows if row.id == id]
            if brief:
                result = [nodes.inline("", "", nodes.Text(f"{verdicts[id]} "), verdict_marks(checks))]
            else:
                result = [nodes.strong("", verdicts[id]), nodes.Text(formatting.format_verdict_counts(checks))]
            cells.append([claim_link(id), nodes.Text(claim), *result])
        caption = self.body()
        if brief:
            caption.append(nodes.Text(f" Of {len(rows)} checks: {formatting.format_verdict_counts(rows)}."))
        table = make_table(caption, ["", "claim", "verdict", *([] if brief else ["checks"])], cells, "claims")
        table["classes"] += ["brief"] if brief else []
        return [table]


class Claim(Claims):
    """The directive ``{claim}``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table of the claim's checks, links to its notebooks, and its commands."""
        id = self.arguments[0]
        self.check_id(id)
        rows = [row for row in self.rows() if row.id == id]
        with_published = any(row.published is not None for row in rows)
        cells = [
            [check_cell(row), *([nodes.Text(published_value(row))] if with_published else []), result_cell(row)]
            for row in rows
        ]
        head = ["check", *(["published"] if with_published else []), "measured here, with its 95% interval"]
        text = "\n".join(dict.fromkeys(row.command for row in rows))
        commands = nodes.literal_block(text, text, language="text")
        return [make_table(self.body(), head, cells, "claims"), notebook_links(rows), commands]


class Verdicts(Claims):
    """The directive ``{verdicts}``."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return a box with a line for each claim, and below the lines the directive's body."""
        rows, lines = self.rows(), nodes.bullet_list()
        verdicts = collection.overall(rows)
        for id in self.arguments[0].split():
            self.check_id(id)
            counts = f" (checks: {formatting.format_verdict_counts([row for row in rows if row.id == id])})."
            verdict = nodes.strong("", verdicts[id].capitalize())
            text = [nodes.Text(f"{id}. {collection.CLAIMS[id]} "), verdict, nodes.Text(counts)]
            lines += nodes.list_item("", nodes.paragraph("", "", *text))
        body = nodes.paragraph("", "", *self.body())
        return [nodes.admonition("", nodes.title("", "Verdicts"), lines, body, classes=["verdicts"])]


def claim_link(id: str) -> nodes.Node:
    """Return a link to the claim's checks."""
    to = {"refdomain": "std", "reftype": "ref", "reftarget": id.lower(), "refexplicit": True, "refwarn": True}
    return addnodes.pending_xref("", nodes.inline("", id), **to)


def verdict_marks(rows: list[Row]) -> nodes.raw:
    """Return a small mark per check whose shape shows the verdict; screen readers read the counts instead."""
    verdicts = sorted((row.verdict for row in rows), key=VERDICTS.index)
    marks = "".join(f'<i class="{verdict.replace(" ", "-")}"></i>' for verdict in verdicts)
    text = f'<span class="marks" role="img" aria-label="{formatting.format_verdict_counts(rows)}">{marks}</span>'
    return nodes.raw("", text, format="html")


def check_cell(row: Row) -> nodes.inline:
    """Return the network and the measured quantity."""
    return nodes.inline("", "", nodes.strong("", f"{row.subject}: "), nodes.Text(row.claim))


def published_value(row: Row) -> str:
    """Return the paper's value, or "" if the paper gives none."""
    return "" if row.published is None else f"{row.published:{row.form}}"


def result_cell(row: Row) -> nodes.inline:
    """Return the check's sentence with its verdict in bold."""
    rest = nodes.Text(row.sentence[len(row.verdict) :])
    return nodes.inline("", "", nodes.strong("", row.verdict.capitalize()), rest)


def notebook_links(rows: list[Row]) -> nodes.paragraph:
    """Return links to the notebooks of these checks, as the line above their commands."""
    links: list[nodes.Node] = [nodes.Text("Notebooks: ")]
    for number, name in enumerate(dict.fromkeys(row.notebook for row in rows)):
        to = {"refdomain": "std", "reftype": "doc", "reftarget": f"/notebooks/{name}", "refexplicit": False}
        links += [nodes.Text(", " if number else ""), addnodes.pending_xref("", nodes.inline("", name), **to)]
    return nodes.paragraph("", "", *links, nodes.Text(". These commands measure the values again:"))


def setup(app: Sphinx):
    """Register the directives."""
    app.add_directive("claims-summary", ClaimsSummary)
    app.add_directive("claim", Claim)
    app.add_directive("verdicts", Verdicts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
