"""No page loads thebe: its scripts come from another host, and declare a name twice."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def drop_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Leave thebe's scripts and style out of a page's head."""
    for files in ("script_files", "css_files"):
        context[files] = [file for file in context.get(files, []) if not is_thebes(file)]


def is_thebes(file: object) -> bool:
    """Whether a script or style of the page, by its name or by its text, is thebe's."""
    return "thebe" in f"{getattr(file, 'filename', file)} {getattr(file, 'attributes', '')}".lower()


def drop_nodes(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Leave the settings that thebe puts at the end of a page out of it."""
    for node in list(doctree.findall(nodes.raw)):
        if "x-thebe-config" in node.astext() or "kernelName =" in node.astext():
            node.parent.remove(node)


def setup(app: Sphinx):
    """Both after thebe's own steps."""
    app.connect("html-page-context", drop_scripts, priority=900)
    app.connect("doctree-resolved", drop_nodes, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
