"""A figure that a notebook's cell drew, and that has no words of its own, is called after the section it stands in."""

from docutils import nodes
from sphinx.application import Sphinx


def name_figures(app: Sphinx, doctree: nodes.document) -> None:
    """Give every image without an alternative text one, for whoever cannot see it."""
    for image in doctree.findall(nodes.image):
        if not image.get("alt"):
            section = image
            while section.parent is not None and not isinstance(section, nodes.section):
                section = section.parent
            title = section.next_node(nodes.title)
            image["alt"] = f"Figure of the section “{title.astext()}”" if title else "Figure"


def setup(app: Sphinx):
    """Register the step."""
    app.connect("doctree-read", name_figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
