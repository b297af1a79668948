"""What is shown of a page where somebody links to it: its title, its first words, and a picture.

The words are those of the page's first paragraph. The picture is drawn while the book is built, from
``results/mobilenet_v2.json``. Addresses of pages and picture have to be whole ones, so they are absent while
``project_address`` is empty.
"""

import json
import re
from html import escape, unescape
from pathlib import Path
from textwrap import shorten
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

PICTURE = "_static/card.png"
RECORD = "results/mobilenet_v2.json"
LONGEST = 200  # letters of a description: about what is shown of it
PAGES = {  # those that have no source: title and words
    "404": ("There is no such page", "There is no such page in this book."),
    "genindex": ("Index", "The names of the package wmgp, from A to Z."),
    "search": ("Search", "Search all pages of the book."),
}
ALT = "A curve of cosine similarity against the amount pruned, high for long, and a mark where the rule would stop."
HOME = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8" /><title>{title}</title>
<meta http-equiv="Refresh" content="0; url={home}.html" />
{tags}
</head><body><p><a href="{home}.html">{title}</a></p></body></html>
"""
HOMES: dict[Path, str] = {}  # the page that leads to the first one, by the folder that a build writes to


def first_words(doctree: nodes.Element) -> str:
    """The first paragraph that stands in a section itself, as plain text: whole sentences, if they are short enough."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            text = re.sub(r"\s*\[[^\]]*\d{4}\w?\]", "", " ".join(paragraph.astext().split()))  # no citations
            sentences = re.findall(r".+?[.?!:](?=\s|$)|.+$", text)
            whole = ""
            for sentence in sentences:
                if len(whole) + len(sentence) > LONGEST:
                    break
                whole += sentence
            whole = re.sub(":$", ".", whole.strip())  # what it introduces is not shown
            return whole or shorten(text, LONGEST, placeholder=" …")
    return ""


def tags(title: str, words: str, book: str, address: str, picture: str) -> str:
    """The lines for a page's head; without `address` and `picture` where they are empty."""
    said = {
        "og:type": "article",
        "og:site_name": book,
        "og:title": title,
        "og:description": words,
        "og:url": address,
        "og:image": picture,
        **({"og:image:width": "1200", "og:image:height": "630", "og:image:alt": ALT} if picture else {}),
    }
    named = {"description": words, "twitter:card": "summary_large_image" if picture else "summary"}
    lines = [f'<meta name="{name}" content="{escape(value)}" />' for name, value in named.items() if value]
    lines += [f'<meta property="{name}" content="{escape(value)}" />' for name, value in said.items() if value]
    return "\n".join(lines)


def add_tags(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """A page's lines; what the first page says is kept for the one that leads to it."""
    title, words = PAGES.get(pagename, (context.get("title", app.config.html_title), ""))
    if doctree is not None:
        words = first_words(doctree)
    site = app.config.html_baseurl if app.config.project_address else ""
    picture = site + PICTURE if site and recorded_front(app) else ""
    title = unescape(re.sub("<[^>]+>", "", title))
    said = tags(title, words, app.config.html_title, f"{site}{pagename}.html" if site else "", picture)
    context["metatags"] = "\n".join([context.get("metatags", ""), said])
    if pagename == app.config.root_doc:
        HOMES[app.outdir] = HOME.format(title=escape(title), home=pagename, tags=said)


def recorded_front(app: Sphinx) -> dict[str, Any]:
    """The analysis that the picture shows; empty where none is recorded, or none with a front."""
    record = Path(app.srcdir, RECORD)
    analysis = json.loads(record.read_text(encoding="utf-8")).get("analysis", {}) if record.is_file() else {}
    return analysis if {"front", "optimal"} <= analysis.keys() else {}


def draw(analysis: dict[str, Any], out: Path) -> None:
    """The picture, 1200 by 630: the title, and the front of MobileNetV2 with the point nearest to utopia."""
    from wmgp.plotting import GUIDE, PALETTE, figure, save

    front, optimal = analysis["front"], analysis["optimal"]
    drawn, axes = figure(size=(6.0, 3.15))
    drawn.set_layout_engine("none")
    axes.set_position((0.55, 0.14, 0.38, 0.74))
    axes.fill_between(front["amount"], front["cosine"], color=PALETTE[0], alpha=0.12, linewidth=0)
    axes.plot(front["amount"], front["cosine"], color=PALETTE[0], linewidth=3, clip_on=False)
    axes.plot([optimal["amount"], 1], [optimal["cosine"], 1], **GUIDE | {"linewidth": 2})
    axes.plot(optimal["amount"], optimal["cosine"], "o", color=PALETTE[1], markersize=11, zorder=3)
    axes.plot(1, 1, "*", color=PALETTE[3], markersize=15, clip_on=False)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[0, 1], yticks=[0, 1])
    axes.set_xlabel("amount pruned", labelpad=-10)
    axes.set_ylabel("cosine to the parent", labelpad=-6)
    axes.grid(visible=False)
    drawn.text(0.05, 0.9, "What Makes\na Good\nPrune?", fontsize=25, fontweight="bold", va="top", linespacing=1.2)
    drawn.text(0.05, 0.2, "a book that takes\none answer apart", fontsize=14, color="#444444", linespacing=1.3)
    save(drawn, out)


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Draw the picture, and let the page that leads to the first one say what that says."""
    home = HOMES.pop(app.outdir, None)
    if exception is None and app.builder.name == "html":
        if analysis := recorded_front(app):
            draw(analysis, Path(app.outdir, PICTURE))
        if home is not None and app.config.root_doc != "index":
            Path(app.outdir, "index.html").write_text(home, encoding="utf-8")


def setup(app: Sphinx):
    """The last step after the table of contents has written its own first page."""
    app.connect("html-page-context", add_tags)
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
