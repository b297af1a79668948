"""``{speed-figure} benchmark_sizes.csv``: the recorded seconds against size, drawn while the book is built.

Its body is the caption, to which where the figures come from is added, and ``:alt:`` says what there is to see.
"""

import io
from html import escape

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import directives
from recorded import provenance, result_file
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from benchmarks.figure import speed_figure
from wmgp.plotting import REPRODUCIBLE, style


def drawing(rows: pd.DataFrame, alt: str) -> str:
    """The figure as part of a page."""
    from matplotlib import rc_context

    file = io.StringIO()
    with rc_context(style()):
        speed_figure(rows).savefig(file, format="svg", metadata=REPRODUCIBLE)
    svg = file.getvalue()
    return f'<div role="img" aria-label="{escape(alt)}">{svg[svg.index("<svg") :]}</div>'


class SpeedFigure(SphinxDirective):
    """The directive ``{speed-figure}``."""

    required_arguments = 1
    has_content = True
    option_spec = {"alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """The figure, its caption, and where it comes from."""
        try:
            path = result_file(self.env, self.arguments[0])
            rows = pd.read_csv(path)
            said, _ = self.parse_inline(" ".join([*self.content, provenance(path, rows)]))
            shown = nodes.raw("", drawing(rows, self.options["alt"]), format="html")
        except (KeyError, ValueError, OSError) as error:
            raise self.error(f"speed-figure: {error}") from error
        return [nodes.figure("", shown, nodes.caption("", "", *said))]


def setup(app: Sphinx):
    """Register the directive."""
    app.add_directive("speed-figure", SpeedFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
