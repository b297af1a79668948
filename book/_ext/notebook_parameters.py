"""``{notebook-parameters}``: a table of every notebook's parameters, read from the notebooks themselves.

Without an argument, all notebooks under their titles; with a name such as ``02_how_much``, that one alone.
"""

import re
from pathlib import Path

import nbformat
import papermill
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from tables import table

HEAD = ["Name", "Type", "Default", "What it is"]
CODE = ("name", "inferred_type_name", "default")


def title(notebook: Path) -> str:
    """The text of a notebook's first heading."""
    cells = nbformat.read(notebook, as_version=4).cells
    lines = [line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    return next((line.lstrip("# ") for line in lines if line.startswith("# ")), notebook.stem)


class NotebookParameters(SphinxDirective):
    """The directive."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """A table for each notebook; the page is built again when a notebook changes."""
        folder = Path(self.env.srcdir, "notebooks")
        found = sorted(folder.glob(f"{self.arguments[0] if self.arguments else '[0-9][0-9]_*'}.ipynb"))
        if not found:
            raise self.error(f"no notebook {' '.join(self.arguments)} in {folder.name}")
        return [self.table_of(notebook) for notebook in found]

    def table_of(self, notebook: Path) -> nodes.table:
        """Name, type, default and comment of each parameter, in the order in which papermill finds them."""
        self.env.note_dependency(str(notebook))
        caption = [nodes.literal("", notebook.stem), nodes.Text(f": {title(notebook)}")]
        found = papermill.inspect_notebook(str(notebook)).values()
        rows = [[*(nodes.literal("", str(p[key])) for key in CODE), self.comment(p["help"])] for p in found]
        return table(caption, HEAD, rows, "parameters")

    def comment(self, text: str) -> nodes.inline:
        """A comment as a page shows it: what stands in quotes is a value, so it is code."""
        parsed, _ = self.parse_inline(re.sub(r'(?<!`)"([^"\s]+)"', r'`"\1"`', text))
        return nodes.inline("", "", *parsed)


def setup(app: Sphinx):
    """Register the directive."""
    app.add_directive("notebook-parameters", NotebookParameters)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
