"""Ids that sphinx-proof gives to every proof alike, and to what every theorem says, are numbered from the second on."""

from collections import Counter

from docutils import nodes
from sphinx.application import Sphinx

SAME = ("proof", "proof-content")


def number_ids(app: Sphinx, doctree: nodes.document) -> None:
    """Leave no id twice on a page."""
    met: Counter[str] = Counter()
    for node in doctree.findall(nodes.Element):
        for place, name in enumerate(node["ids"]):
            if name in SAME:
                met[name] += 1
                node["ids"][place] = name if met[name] == 1 else f"{name}-{met[name]}"


def setup(app: Sphinx):
    """Register the step."""
    app.connect("doctree-read", number_ids)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
