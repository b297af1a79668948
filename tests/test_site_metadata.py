"""Metadata and navigation of the site: link previews, the 404 page, search results, provenance below figures."""

import functools
import http.server
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
import yaml
from books import PHONE, ROOT, build, small_book
from docutils import nodes
from PIL import Image
from sphinx.errors import ConfigError

from wmgp.experiments.results import tables, used_files
from wmgp.experiments.results.array_files import read_arrays, write_arrays
from wmgp.experiments.training import history

sys.path.insert(0, str(ROOT / "book" / "_ext"))

import figure_provenance
import link_preview
import workarounds

pytestmark = pytest.mark.slow

ADDRESS = "https://github.com/Someone/wmgp"
SITE = "https://someone.github.io/wmgp/"
DRAWN = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0h9"/></svg>'
TEXT = (
    '# About [kurtosis] "tails"\n\nThe *first* words. And $k$ more: a < b.\n\n## Tails\n\nHere kurtosis stands again.'
)


@pytest.fixture(scope="module", params=["", ADDRESS], ids=["without an address", "with an address"])
def small(request, tmp_path_factory) -> tuple[Path, str]:
    """The pages of a book with one notebook, which draws a figure from a recorded table, and the project's address."""
    folder = small_book(tmp_path_factory.mktemp("small"), TEXT, request.param)
    notebook = nbformat.read(folder / "page.ipynb", as_version=4)
    data = {"image/svg+xml": DRAWN, "text/plain": "a figure"}
    drawing = nbformat.v4.new_code_cell('draw("speed.csv")', execution_count=3)
    drawing.outputs = [nbformat.v4.new_output("display_data", data=data)]
    printing = nbformat.v4.new_code_cell("print(1)", execution_count=4)
    printing.outputs = [nbformat.v4.new_output("stream", text="1\n")]
    notebook.cells += [drawing, printing]
    notebook.metadata["results"] = ["speed.csv"]
    nbformat.write(notebook, folder / "page.ipynb")
    (folder / "results" / "speed.csv").write_text("network,run\na,x\n")
    (folder / "results" / "speed.json").write_text(json.dumps({"x": {"commit": "0123456789" * 4}}))
    record = (ROOT / "results" / "mobilenet_v2.json").read_bytes()
    (folder / "results" / "mobilenet_v2.json").write_bytes(record)
    return build(folder), request.param


def metas(html: str) -> dict[str, str]:
    """Return the names and contents of a page's meta tags."""
    return dict(re.findall(r'<meta (?:name|property)="([^"]+)" content="([^"]*)"', html))


def test_every_page_has_a_description_for_link_previews(small):
    pages, address = small
    tags = metas((pages / "page.html").read_text())
    words = "The first words. And k more: a &lt; b."
    assert tags["description"] == tags["og:description"] == words
    assert tags["og:title"] == "About [kurtosis] “tails”"
    assert tags["og:site_name"] == "What Makes a Good Prune?"
    assert tags.get("og:url") == (f"{SITE}page.html" if address else None)
    assert tags.get("og:image") == (f"{SITE}_static/link_preview.png" if address else None)
    assert tags["twitter:card"] == ("summary_large_image" if address else "summary")
    redirect = metas((pages / "index.html").read_text())
    assert redirect["description"] == redirect["og:description"] == words
    assert redirect["og:title"] == tags["og:title"] and redirect.get("og:url") == tags.get("og:url")
    if address:
        assert tags["og:image:width"] == "1200" and tags["og:image:height"] == "630" and tags["og:image:alt"]
        with Image.open(pages / "_static" / "link_preview.png") as picture:
            assert picture.size == (1200, 630) and picture.convert("L").getextrema() == (0, 255)
    assert 'rel="icon" href="_static/favicon.svg"' in (pages / "page.html").read_text()
    assert (pages / "_static" / "favicon.svg").is_file()


def test_without_the_record_no_tag_refers_to_the_picture(tmp_path):
    config: Any = SimpleNamespace(project_address=ADDRESS, ogp_image=None)
    app: Any = SimpleNamespace(srcdir=tmp_path)
    link_preview.set_image(app, config)
    assert config.ogp_image is None and metas("".join(config.ogp_custom_meta_tags)) == {"twitter:card": "summary"}


def test_descriptions_end_with_a_sentence():
    def first(text: str) -> str:
        page, boxed = nodes.section("", nodes.paragraph("", text)), nodes.admonition("", nodes.paragraph("", "boxed"))
        page.insert(0, boxed)
        return link_preview.first_sentences(nodes.section("", page))

    assert first("What is  it?\nIt is this [Someone and Other, 2024a]. Yes.") == "What is it? It is this. Yes."
    assert first(f"Short. {'long ' * 60}end.") == "Short."
    cut = first(f"{'long ' * 60}end.")
    assert len(cut) <= link_preview.MAX_DESCRIPTION and cut.endswith("long …")
    assert link_preview.first_sentences(nodes.section()) == ""


class Host(http.server.SimpleHTTPRequestHandler):
    """Serve the pages like GitHub: below /wmgp/, and 404.html for unknown addresses."""

    def do_GET(self):
        here = Path(self.directory, self.path.partition("?")[0].removeprefix("/wmgp/"))
        known = self.path.startswith("/wmgp/") and here.is_file()
        content = (here if known else Path(self.directory, "404.html")).read_bytes()
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", self.guess_type(str(here)) if known else "text/html")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object):
        """Log nothing."""


@pytest.fixture
def site(small):
    """The address of a server of the small book, and the project's address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Host, directory=str(small[0]))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://someone.github.io:{server.server_port}/wmgp/", small[1]
        server.shutdown()


@pytest.fixture
def visitor(browser, site):
    """A page in a browser that reaches the server under GitHub's name; a missing file fails the test."""
    port = site[0].split(":")[2].partition("/")[0]
    context, missing = browser.new_context(viewport=PHONE), []

    def behind(route):
        answer = route.fetch(url=route.request.url.replace("someone.github.io", "127.0.0.1"))
        if answer.status != 200 and route.request.resource_type != "document":
            missing.append(route.request.url)
        route.fulfill(response=answer)

    context.route(f"http://someone.github.io:{port}/**", behind)
    yield context.new_page()
    context.unroute_all(behavior="ignoreErrors")  # requests that are still open when the test ends
    context.close()
    if site[1]:  # without an address, a browser may request files before the script has set the base
        assert missing == []


@pytest.mark.parametrize("lost", ["gone.html", "book/deep/down/gone.html"])
def test_the_404_page_works_at_any_depth(visitor, site, lost):
    visitor.goto(site[0] + lost)
    assert visitor.title().startswith("Page not found")
    assert visitor.evaluate("getComputedStyle(document.querySelector('.not-found')).display") == "flex"  # styled
    assert visitor.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
    targets = visitor.eval_on_selector_all("article a[href]", "links => links.map(a => a.href)")
    starts = [f"{site[0]}{page}.html" for page in ("book/paper", "notebooks/01_l1_is_optimal", "book/how-much")]
    assert set(starts) <= set(targets)
    assert all((ROOT / target.removeprefix(site[0])).parent.is_dir() for target in targets if "#" not in target)
    visitor.fill("#not-found-query", "kurtosis")
    visitor.keyboard.press("Enter")
    visitor.wait_for_selector("#search-results li")
    assert visitor.url.startswith(f"{site[0]}search.html?q=kurtosis")


def test_the_links_of_the_404_page_have_targets():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]
    targets = re.findall(r'href="/([^"]+)\.html"', config["notfound_context"]["body"])
    assert len(targets) > 5
    for target in targets:
        assert any((ROOT / f"{target}{ending}").is_file() for ending in (".md", ".ipynb")), target


def test_a_search_shows_a_page_with_a_matching_title_first_and_quotes_its_text(visitor, site):
    visitor.goto(f"{site[0]}search.html?q=kurtosis")
    visitor.wait_for_selector("#search-results li p.context")
    first = visitor.inner_text("#search-results li >> nth=0")
    assert first.startswith("About [kurtosis]") and "The first words. And k more" in first
    assert not re.search(r"\.pdf|Contents|draw\(|How this was made|\\\(", first)


@pytest.mark.parametrize(
    "follows, closing, rest",
    [(". And on", ".", " And on"), (").", ").", None), (" and on", None, " and on"), ("", None, None)],
)
def test_punctuation_stays_on_the_line_of_the_formula_before_it(follows, closing, rest):
    text = [nodes.Text(follows)] if follows else []
    paragraph = nodes.paragraph("", "", nodes.Text("So "), nodes.math("", "x"), *text, nodes.strong("", "!"))
    workarounds.join_punctuation(paragraph)
    assert paragraph.astext() == f"So x{follows}!"
    spans = [child.astext() for child in paragraph.findall(nodes.inline) if "nowrap" in child["classes"]]
    assert spans == ([f"x{closing}"] if closing else [])
    assert rest is None or nodes.Text(rest) in paragraph.children


def test_boxes_that_scroll_sideways_fade_out_until_their_end(browser, tmp_path):
    script = (ROOT / "book" / "_static" / "scroll_fade.js").as_uri()
    box = "<div class='cell_output' style='width: 100px; overflow: auto'><div style='width: {}px'>x</div></div>"
    html = f"<script defer src='{script}'></script>{box.format(300)}{box.format(100)}"
    (tmp_path / "page.html").write_text(html)
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    wide, narrow = (f".cell_output >> nth={place}" for place in (0, 1))
    page.wait_for_selector(f"{wide} >> xpath=self::*[contains(@class, 'scroll-fade')]")
    assert "scroll-fade" not in page.get_attribute(narrow, "class")
    page.evaluate("document.querySelector('.cell_output').scrollLeft = 200")
    page.wait_for_function("!document.querySelector('.cell_output').classList.contains('scroll-fade')")
    page.evaluate("document.querySelector('.cell_output').scrollLeft = 50")
    page.wait_for_function("document.querySelector('.cell_output').classList.contains('scroll-fade')")
    page.close()


def test_a_figure_has_a_note_on_its_provenance(small):
    pages, address = small
    html = (pages / "page.html").read_text()
    [note] = re.findall(r'(?s)<details class="provenance">.*?</details>', html)  # none below printed text
    text = re.sub("<[^>]+>", "", note)
    assert "Cell [3] of page.ipynb" in text and "make notebooks ONLY=page" in text
    assert "results/speed.csv, measured at commit 0123456" in text and "built at" not in text
    assert (f'href="{ADDRESS}/commit/{"0123456789" * 4}"' in note) == bool(address)
    assert html.index("_images/") < html.index('<details class="provenance">')


@pytest.mark.parametrize(
    ("files", "text"),
    [
        (
            {"a.csv": ["0123456789"], "published.json": []},
            "results/a.csv, measured at commit 0123456",
        ),
        ({}, "reads no recorded results"),
        (None, "are not recorded"),
    ],
)
def test_the_note_lists_the_results_that_the_notebook_read(files, text):
    html = figure_provenance.note_html("notebooks/01", 1, files, "", "")
    assert text in re.sub("<[^>]+>", "", html)


def test_readers_record_the_files_of_a_results_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(used_files, "names", set())
    parent = tmp_path / "results" / "parents" / "0a0a" / "lenet5-mnist-seed0.json"
    parent.parent.mkdir(parents=True)
    parent.write_text('{"network": "a", "data": "b", "start": "c", "seed": 0}')
    write_arrays(tmp_path / "results" / "map.npz", {}, {})
    write_arrays(tmp_path / "other.npz", {}, {})
    (tmp_path / "results" / "a.csv").touch()
    monkeypatch.chdir(tmp_path / "results")
    tables.locate("a.csv")
    history.read_parent_records("parents")
    for path in ("map.npz", "../other.npz"):
        read_arrays(path)
    assert used_files.names == {"a.csv", "parents", "map.npz"}


def test_every_notebook_uses_results_with_known_commits():
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        names = figure_provenance.results_read(notebook)
        assert names and names == sorted(names), f"{notebook.stem}: run `make notebooks ONLY={notebook.stem}`"
        commits = {name: figure_provenance.measured_at(ROOT / "results" / name) for name in names}
        assert all(each or name == "published.json" for name, each in commits.items()), (notebook.stem, commits)
        assert all(re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit) for each in commits.values() for commit in each)


def test_the_commit_of_the_build_is_only_taken_from_this_project(tmp_path):
    assert figure_provenance.build_commit(tmp_path) == ""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], cwd=tmp_path, check=True)
    (inner := tmp_path / "source").mkdir()
    assert figure_provenance.build_commit(inner) == ""  # a checkout of another project
    for name in ("notebooks/run.py", "wmgp/__init__.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (other := tmp_path / "other").mkdir()
    assert re.fullmatch(r"[0-9a-f]{40}", figure_provenance.build_commit(other))


def test_without_an_address_the_links_of_the_404_page_are_relative():
    html = '<head><a href="/a.html"><a href="#x"><a href="https://x/y"><img src="//z"><form action="/b.html">'
    assert workarounds.relative_links(html) == html.replace('="/a', '="a').replace('="/b', '="b').replace(
        "<head>", f"<head>\n{workarounds.BASE}"
    )


@pytest.mark.parametrize("address", ["http://github.com/a/b", "https://example.org/a/b", "https://github.com/a"])
def test_a_malformed_address_stops_the_build(address):
    with pytest.raises(ConfigError, match="https://github.com/OWNER/NAME or empty"):
        workarounds.site_url(address)
