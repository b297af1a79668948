"""``404.html``: the page shown for an address that is not there, whatever its depth.

Its links are made to begin at the site's root, which ``project_address`` tells. While that is empty the page itself
takes the root to be what GitHub would make it: the first folder of the address, or none on a host of one's own.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from cards import PAGES
from sphinx.application import Sphinx

BODY = """
<section id="no-such-page">
<h1>There is no such page</h1>
<p>The address may be misspelt, or the page has moved. Search for what you were after:</p>
<form class="missing" role="search" action="search.html" method="get">
<label for="missing-query">Search the book</label>
<input type="search" name="q" id="missing-query" autocomplete="off" required />
<button type="submit">Search</button>
</form>
<p>Or begin at one of the three doors:</p>
<ul>
<li><strong>Read.</strong> <a href="book/paper.html">The paper in five minutes</a>, <a href="book/theorem.html">the
theorem and its proof</a>, <a href="book/claims.html">what holds</a>.</li>
<li><strong>Re-run.</strong> <a href="notebooks/01_l1_is_optimal.html">The notebooks</a>, with
<a href="book/papermill.html">your own parameters</a>.</li>
<li><strong>Use.</strong> <a href="book/how-much.html">One command</a> for your model, or
<a href="book/analyze.html">a page that reads your file</a>.</li>
</ul>
<p><a href="book/index.html">The book's first page</a></p>
</section>
"""
# Written into the page before anything else is loaded. From the disk nothing has to be done.
GUESS = """<script>
if (location.protocol.startsWith("http")) {
  const folder = location.hostname.endsWith(".github.io") ? location.pathname.split("/")[1] + "/" : "";
  document.write(`<base href="/${folder}" />`);
}
</script>"""
RELATIVE = re.compile(r'(\b(?:href|src|action|data-content_root)=")(?!#|/|[a-z]+:)')


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The page, for the builder of HTML to write."""
    if app.builder.name == "html":
        yield "404", {"title": PAGES["404"][0], "body": BODY}, "page.html"


def rooted(html: str, address: str) -> str:
    """The page with its links from the root of the site at `address`, or with the guess where that is empty."""
    if not address:
        return html.replace("<head>", f"<head>\n{GUESS}", 1)
    return RELATIVE.sub(lambda found: found[1] + urlparse(address).path, html)


def root_links(app: Sphinx, exception: Exception | None) -> None:
    """The finished page once more."""
    path = Path(app.outdir, "404.html")
    if exception is None and app.builder.name == "html":
        address = app.config.html_baseurl if app.config.project_address else ""
        path.write_text(rooted(path.read_text(encoding="utf-8"), address), encoding="utf-8")


def setup(app: Sphinx):
    """Both steps."""
    app.connect("html-collect-pages", pages)
    app.connect("build-finished", root_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
