"""Complete the Open Graph tags of sphinxext-opengraph, which decide how a link to a page looks in a chat or a feed.

The package cuts descriptions within words, keeps citations in them and sets wrong spaces around brackets; it writes a
relative `og:url` if `project_address` is empty; and it skips `index.html`, which Jupyter Book writes as a redirect to
the first page. The picture is drawn from `results/mobilenet_v2.json`, and only if the site has an address.
"""

import json
import re
from html import escape
from pathlib import Path
from textwrap import shorten
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

IMAGE = "_static/link_preview.png"
RECORD = "results/mobilenet_v2.json"
MAX_DESCRIPTION = 200  # characters; previews show about so many
ALT = "Cosine similarity against the amount pruned: it falls late. A mark shows the amount that the rule picks."
REDIRECT = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8" /><title>{title}</title>
<meta http-equiv="Refresh" content="0; url={page}.html" />
{tags}
</head><body><p><a href="{page}.html">{title}</a></p></body></html>
"""
SIZE_TAGS = [f'<meta property="og:image:{side}" content="{n}" />' for side, n in (("width", 1200), ("height", 630))]
TAG = re.compile(r'<meta (?:property="og:|name="(?:description|twitter:))[^>]*>')


def first_sentences(doctree: nodes.Element) -> str:
    """Return the first paragraph of a section as plain text, cut after the last sentence that fits."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, nodes.section):
            text = re.sub(r"\s*\[[^\]]*\d{4}\w?\]", "", " ".join(paragraph.astext().split()))  # without citations
            fitting = ""
            for sentence in re.findall(r".+?[.?!:](?=\s|$)|.+$", text):
                if len(fitting) + len(sentence) > MAX_DESCRIPTION:
                    break
                fitting += sentence
            # A colon introduces something that the preview does not show.
            return re.sub(":$", ".", fitting.strip()) or shorten(text, MAX_DESCRIPTION, placeholder=" …")
    return ""


def set_description(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Set the description of a page; the package prefers these values to its own."""
    if doctree is not None and (text := escape(first_sentences(doctree))):
        context["meta"] = {**(context.get("meta") or {}), "og:description": text}
        context["metatags"] = f'{context.get("metatags", "")}\n<meta name="description" content="{text}" />\n'


def recorded_front(srcdir: str | Path) -> dict[str, Any]:
    """Return the recorded analysis of MobileNetV2, or an empty dict if there is none with a front and an optimum."""
    record = Path(srcdir, RECORD)
    analysis = json.loads(record.read_text(encoding="utf-8")).get("analysis", {}) if record.is_file() else {}
    return analysis if {"front", "optimal"} <= analysis.keys() else {}


def set_image(app: Sphinx, config: Config) -> None:
    """Add the tags of the picture if the site has an address and the picture's data exist."""
    image = bool(config.project_address and recorded_front(app.srcdir))
    if image:
        config.ogp_image, config.ogp_image_alt = IMAGE, ALT
    card = "summary_large_image" if image else "summary"
    config.ogp_custom_meta_tags = [f'<meta name="twitter:card" content="{card}" />', *(SIZE_TAGS if image else [])]


def drop_relative_url(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Remove `og:url` if the site has no address: the tag needs an absolute one."""
    if not app.config.project_address:
        context["metatags"] = re.sub(r'<meta property="og:url"[^>]*>\n?', "", context.get("metatags", ""))


def draw(analysis: dict[str, Any], out: Path) -> None:
    """Draw the picture, 1200 by 630 pixels: the title, and the front of MobileNetV2 with its optimum."""
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
    drawn.text(0.05, 0.2, "the paper, checked\nstep by step", fontsize=14, color="#444444", linespacing=1.3)
    save(drawn, out)


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Draw the picture, and write `index.html` with the tags of the first page."""
    if exception is not None or app.builder.name != "html":
        return
    if app.config.ogp_image:
        draw(recorded_front(app.srcdir), Path(app.outdir, IMAGE))
    page = app.config.root_doc
    if page != "index":
        html = Path(app.outdir, f"{page}.html").read_text(encoding="utf-8")
        [title] = re.findall(r'<meta property="og:title" content="([^"]*)"', html)
        text = REDIRECT.format(title=title, page=page, tags="\n".join(TAG.findall(html)))
        Path(app.outdir, "index.html").write_text(text, encoding="utf-8")


def setup(app: Sphinx):
    """Register the steps. All but the description come after those of Jupyter Book and sphinxext-opengraph."""
    app.connect("config-inited", set_image, priority=900)
    app.connect("html-page-context", set_description, priority=400)
    app.connect("html-page-context", drop_relative_url, priority=900)
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
