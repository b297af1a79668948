"""Punctuation stays on the line of the formula or the code that it follows: a browser would break there."""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

CLOSING = ".,;:!?)"


class HeldTogether(SphinxPostTransform):
    """Formula or code and the punctuation after it into one piece of a line, of the class ``held``."""

    default_priority = 900  # once what is a link, and what a cell shows, is resolved
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """All of them in the page."""
        hold_all(self.document)


def hold_all(page: nodes.Element) -> None:
    """Every formula and every piece of code that punctuation follows."""
    for kind in (nodes.math, nodes.literal):
        for piece in list(page.findall(kind)):
            follows = piece.next_node(descend=False, siblings=True)
            if isinstance(follows, nodes.Text) and follows.astext()[:1] in CLOSING:
                hold(piece, follows)


def hold(piece: nodes.Node, follows: nodes.Text) -> None:
    """The piece and the punctuation with which the text begins, and then the rest of it."""
    text, parent = follows.astext(), piece.parent
    rest = text.lstrip(CLOSING)
    place = parent.index(piece)
    held = nodes.inline("", "", piece.deepcopy(), nodes.Text(text[: len(text) - len(rest)]), classes=["held"])
    parent[place : place + 2] = [held, nodes.Text(rest)] if rest else [held]


def setup(app: Sphinx):
    """Register the transform."""
    app.add_post_transform(HeldTogether)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
