"""Small corrections of the pages that Sphinx, its theme and its extensions write. Each section gives its reason."""

import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError
from sphinx.transforms.post_transforms import SphinxPostTransform

# --- The project's address. Theme, Open Graph tags and 404 page each have a setting of their own for it. ---


def site_url(address: str) -> str:
    """Return the URL of the GitHub Pages site of the repository at `address`, or raise a ConfigError."""
    host, _, path = address.removeprefix("https://").partition("/")
    owner, _, name = path.strip("/").partition("/")
    if not address.startswith("https://") or host != "github.com" or not owner or not name or "/" in name:
        raise ConfigError(f"project_address should be https://github.com/OWNER/NAME or empty, not {address!r}")
    return f"https://{owner.lower()}.github.io/{name}/"


def set_address(app: Sphinx, config: Config) -> None:
    """Derive all addresses from `project_address` before the theme and the extensions read their options."""
    url = site_url(config.project_address) if config.project_address else ""
    config.ogp_site_url = url
    config.notfound_urls_prefix = root = urlparse(url).path or "/"
    # A template resolves the links around the 404 page's text, but none inside it.
    body = config.notfound_context["body"].replace('="/', f'="{root}')
    config.notfound_context = {**config.notfound_context, "body": body}
    if url:
        config.html_baseurl = url
        config.html_theme_options |= {
            "repository_url": config.project_address,
            "repository_branch": "main",
            "use_repository_button": True,
            "launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "colab_url": "https://colab.research.google.com",
                "notebook_interface": "jupyterlab",
            },
        }


# --- The 404 page without an address. sphinx-notfound-page links to the root of the host, but GitHub serves a project
# from a folder of the host. A script finds that folder in the page's own address before anything else loads. ---

BASE = """<script>
if (location.protocol.startsWith("http")) {
  const folder = location.hostname.endsWith(".github.io") ? location.pathname.split("/")[1] + "/" : "";
  document.write(`<base href="/${folder}" />`);
}
</script>"""


def relative_links(html: str) -> str:
    """Return the 404 page with relative links and the script that sets their base."""
    return re.sub(r'="/(?!/)', '="', html).replace("<head>", f"<head>\n{BASE}", 1)


def relink_404(app: Sphinx, exception: Exception | None) -> None:
    """Rewrite the finished 404 page if the project has no address."""
    path = Path(app.outdir, "404.html")
    if exception is None and app.builder.name == "html" and not app.config.project_address:
        path.write_text(relative_links(path.read_text(encoding="utf-8")), encoding="utf-8")


# --- Alt text. A notebook's figure has none unless its cell sets one; the section's title describes it best. ---


def add_alt_text(app: Sphinx, doctree: nodes.document) -> None:
    """Give every image without alt text the title of its section."""
    for image in doctree.findall(nodes.image):
        if not image.get("alt"):
            section = image
            while section.parent is not None and not isinstance(section, nodes.section):
                section = section.parent
            title = section.next_node(nodes.title)
            image["alt"] = f"Figure of the section “{title.astext()}”" if title else "Figure"


# --- Line breaks. Browsers break a line between a formula or code and the punctuation after it. ---

CLOSING = ".,;:!?)"


class NoWrap(SphinxPostTransform):
    """Wrap formula or code and the punctuation after it in a span of the class `nowrap`."""

    default_priority = 900  # after links and the outputs of cells are resolved
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Change the page."""
        join_punctuation(self.document)


def join_punctuation(page: nodes.Element) -> None:
    """Move the punctuation after each formula or piece of code into one span with it."""
    for kind in (nodes.math, nodes.literal):
        for piece in list(page.findall(kind)):
            text = piece.next_node(descend=False, siblings=True)
            if not isinstance(text, nodes.Text) or text.astext()[:1] not in CLOSING:
                continue
            rest = text.astext().lstrip(CLOSING)
            closing = text.astext().removesuffix(rest)
            place = piece.parent.index(piece)
            span = nodes.inline("", "", piece.deepcopy(), nodes.Text(closing), classes=["nowrap"])
            piece.parent[place : place + 2] = [span, nodes.Text(rest)] if rest else [span]


# --- Thebe. The theme loads it on every page from another host, and its scripts declare a name twice. ---


def drop_thebe_files(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Remove thebe's scripts and styles from a page's head."""
    for files in ("script_files", "css_files"):
        context[files] = [file for file in context.get(files, []) if not is_thebe(file)]


def is_thebe(file: object) -> bool:
    """Return True if the name or the text of a script or style mentions thebe."""
    return "thebe" in f"{getattr(file, 'filename', file)} {getattr(file, 'attributes', '')}".lower()


def drop_thebe_settings(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Remove the settings that sphinx-thebe adds to the end of a page."""
    for node in list(doctree.findall(nodes.raw)):
        if "x-thebe-config" in node.astext() or "kernelName =" in node.astext():
            node.parent.remove(node)


# --- Ids of proofs. sphinx-proof gives the same ids to every proof of a page, but an id may occur only once. ---

REPEATED_IDS = ("proof", "proof-content")


def number_proof_ids(app: Sphinx, doctree: nodes.document) -> None:
    """Number these ids from the second on."""
    count: Counter[str] = Counter()
    for node in doctree.findall(nodes.Element):
        for place, name in enumerate(node["ids"]):
            if name in REPEATED_IDS:
                count[name] += 1
                node["ids"][place] = name if count[name] == 1 else f"{name}-{count[name]}"


# --- Search results. Sphinx shows a page's buttons and code below a result; `_static/search.js` removes them. ---


def add_search_script(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add the script to the search page."""
    if pagename == "search":
        app.add_js_file("search.js", loading_method="defer")


def setup(app: Sphinx):
    """Register the steps."""
    app.add_config_value("project_address", "", "html", str)
    app.connect("config-inited", set_address, priority=100)
    app.connect("build-finished", relink_404)
    app.connect("doctree-read", add_alt_text)
    app.add_post_transform(NoWrap)
    app.connect("html-page-context", drop_thebe_files, priority=900)  # after sphinx-thebe adds them
    app.connect("doctree-resolved", drop_thebe_settings, priority=900)
    app.connect("doctree-read", number_proof_ids)
    app.connect("html-page-context", add_search_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
