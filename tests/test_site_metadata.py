"""What a book shows of itself: where it is linked to, where an address is wrong, in a search, and below its figures."""

import functools
import http.server
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
from books import PHONE, ROOT, build, little_book
from docutils import nodes
from PIL import Image

sys.path.insert(0, str(ROOT / "book" / "_ext"))

import cards
import held_together
import made_by
import missing_page

ADDRESS = "https://github.com/Someone/wmgp"
SITE = "https://someone.github.io/wmgp/"
DRAWN = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0h9"/></svg>'
TEXT = (
    '# About [kurtosis] "tails"\n\nThe *first* words. And $k$ more: a < b.\n\n## Tails\n\nHere kurtosis stands again.'
)


@pytest.fixture(scope="module", params=["", ADDRESS], ids=["without an address", "with an address"])
def small(request, tmp_path_factory) -> tuple[Path, str]:
    """The pages of a book of one notebook, which draws a figure from a table, and the project's address."""
    folder = little_book(tmp_path_factory.mktemp("small"), TEXT, request.param)
    notebook = nbformat.read(folder / "page.ipynb", as_version=4)
    data = {"image/svg+xml": DRAWN, "text/plain": "a figure"}
    drawing = nbformat.v4.new_code_cell('draw("speed.csv")', execution_count=3)
    drawing.outputs = [nbformat.v4.new_output("display_data", data=data)]
    printing = nbformat.v4.new_code_cell("print(1)", execution_count=4)
    printing.outputs = [nbformat.v4.new_output("stream", text="1\n")]
    notebook.cells += [drawing, printing]
    nbformat.write(notebook, folder / "page.ipynb")
    (folder / "results" / "speed.csv").write_text("network,run\na,x\n")
    (folder / "results" / "speed.json").write_text(json.dumps({"x": {"commit": "0123456789" * 4}}))
    record = (ROOT / "results" / "mobilenet_v2.json").read_bytes()
    (folder / "results" / "mobilenet_v2.json").write_bytes(record)
    return build(folder), request.param


def metas(html: str) -> dict[str, str]:
    """The names and contents of a page's meta lines."""
    return dict(re.findall(r'<meta (?:name|property)="([^"]+)" content="([^"]*)"', html))


def test_every_page_says_what_it_is(small):
    pages, address = small
    said = metas((pages / "page.html").read_text())
    words = "The first words. And k more: a &lt; b."
    assert said["description"] == said["og:description"] == words
    assert said["og:title"] == "About [kurtosis] “tails”"
    assert said["og:site_name"] == "What Makes a Good Prune?"
    assert said.get("og:url") == (f"{SITE}page.html" if address else None)
    assert said.get("og:image") == (f"{SITE}_static/card.png" if address else None)
    assert said["twitter:card"] == ("summary_large_image" if address else "summary")
    for name in ("index", "search", "genindex", "404"):
        assert {"description", "og:title", "og:description"} <= set(metas((pages / f"{name}.html").read_text())), name
    assert metas((pages / "index.html").read_text())["og:description"] == words
    with Image.open(pages / "_static" / "card.png") as picture:
        assert picture.size == (1200, 630) and picture.convert("L").getextrema() == (0, 255)
    assert 'rel="icon" href="_static/favicon.svg"' in (pages / "page.html").read_text()
    assert (pages / "_static" / "favicon.svg").is_file()


def test_without_its_record_no_picture_is_promised():
    said = metas(cards.tags("A page", "Its words", "The book", f"{SITE}a.html", ""))
    assert said["twitter:card"] == "summary" and not [name for name in said if name.startswith("og:image")]


def test_descriptions_are_whole_sentences():
    def first(text: str) -> str:
        page, boxed = nodes.section("", nodes.paragraph("", text)), nodes.admonition("", nodes.paragraph("", "boxed"))
        page.insert(0, boxed)
        return cards.first_words(nodes.section("", page))

    assert first("What is  it?\nIt is this [Someone and Other, 2024a]. Yes.") == "What is it? It is this. Yes."
    assert first(f"Short. {'long ' * 60}end.") == "Short."
    cut = first(f"{'long ' * 60}end.")
    assert len(cut) <= cards.LONGEST and cut.endswith("long …")
    assert cards.first_words(nodes.section()) == ""


class Host(http.server.SimpleHTTPRequestHandler):
    """As GitHub serves a project's pages: below /wmgp/, and 404.html for what is not there, at its address."""

    def do_GET(self):
        here = Path(self.directory, self.path.partition("?")[0].removeprefix("/wmgp/"))
        known = self.path.startswith("/wmgp/") and here.is_file()
        content = (here if known else Path(self.directory, "404.html")).read_bytes()
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", self.guess_type(str(here)) if known else "text/html")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object):
        """Say nothing."""


@pytest.fixture
def site(small):
    """The address at which the small book is served, and the project's."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Host, directory=str(small[0]))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://someone.github.io:{server.server_port}/wmgp/", small[1]
        server.shutdown()


@pytest.fixture
def visitor(browser, site):
    """A page in a browser that finds the server behind GitHub's name; whatever is not found fails the test."""
    port = site[0].split(":")[2].partition("/")[0]
    context, missing = browser.new_context(viewport=PHONE), []

    def behind(route):
        answer = route.fetch(url=route.request.url.replace("someone.github.io", "127.0.0.1"))
        if answer.status != 200 and route.request.resource_type != "document":
            missing.append(route.request.url)
        route.fulfill(response=answer)

    context.route(f"http://someone.github.io:{port}/**", behind)
    yield context.new_page()
    context.unroute_all(behavior="ignoreErrors")  # what was still asked for when the test was over
    context.close()
    if site[1]:  # without an address a browser that reads ahead asks for files before the script has told it the root
        assert missing == []


@pytest.mark.parametrize("lost", ["gone.html", "book/deep/down/gone.html"])
def test_a_wrong_address_leads_on_from_any_depth(visitor, site, lost):
    visitor.goto(site[0] + lost)
    assert visitor.title().startswith("There is no such page")
    assert visitor.evaluate("getComputedStyle(document.querySelector('.missing')).display") == "flex"  # styled
    assert visitor.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
    targets = visitor.eval_on_selector_all("article a[href]", "links => links.map(a => a.href)")
    doors = [f"{site[0]}{page}.html" for page in ("book/paper", "notebooks/01_l1_is_optimal", "book/how-much")]
    assert set(doors) <= set(targets)
    assert all((ROOT / target.removeprefix(site[0])).parent.is_dir() for target in targets if "#" not in target)
    visitor.fill("#missing-query", "kurtosis")
    visitor.keyboard.press("Enter")
    visitor.wait_for_selector("#search-results li")
    assert visitor.url.startswith(f"{site[0]}search.html?q=kurtosis")


def test_the_links_of_the_missing_page_lead_somewhere():
    for target in re.findall(r'href="([^"]+)\.html"', missing_page.BODY):
        assert any((ROOT / f"{target}{ending}").is_file() for ending in (".md", ".ipynb")), target


def test_a_search_shows_the_page_that_is_called_so_first_with_its_own_words(visitor, site):
    visitor.goto(f"{site[0]}search.html?q=kurtosis")
    visitor.wait_for_selector("#search-results li p.context")
    first = visitor.inner_text("#search-results li >> nth=0")
    assert first.startswith("About [kurtosis]") and "The first words. And k more" in first
    assert not re.search(r"\.pdf|Contents|draw\(|How this was made|\\\(", first)


@pytest.mark.parametrize(
    "follows, within, left",
    [(". And on", ".", " And on"), (").", ").", None), (" and on", None, " and on"), ("", None, None)],
)
def test_punctuation_stays_with_the_formula_before_it(follows, within, left):
    text = [nodes.Text(follows)] if follows else []
    paragraph = nodes.paragraph("", "", nodes.Text("So "), nodes.math("", "x"), *text, nodes.strong("", "!"))
    held_together.hold_all(paragraph)
    assert paragraph.astext() == f"So x{follows}!"
    found = [child.astext() for child in paragraph.findall(nodes.inline) if "held" in child["classes"]]
    assert found == ([f"x{within}"] if within else [])
    assert left is None or nodes.Text(left) in paragraph.children


def test_what_scrolls_sideways_says_so_until_its_end(browser, tmp_path):
    script = (ROOT / "book" / "_static" / "more.js").as_uri()
    box = "<div class='cell_output' style='width: 100px; overflow: auto'><div style='width: {}px'>x</div></div>"
    html = f"<script defer src='{script}'></script>{box.format(300)}{box.format(100)}"
    (tmp_path / "page.html").write_text(html)
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    wide, narrow = (f".cell_output >> nth={place}" for place in (0, 1))
    page.wait_for_selector(f"{wide} >> xpath=self::*[contains(@class, 'more')]")
    assert "more" not in page.get_attribute(narrow, "class")
    page.evaluate("document.querySelector('.cell_output').scrollLeft = 200")
    page.wait_for_function("!document.querySelector('.cell_output').classList.contains('more')")
    page.evaluate("document.querySelector('.cell_output').scrollLeft = 50")
    page.wait_for_function("document.querySelector('.cell_output').classList.contains('more')")
    page.close()


def test_a_figure_tells_how_it_was_made(small):
    pages, address = small
    html = (pages / "page.html").read_text()
    [told] = re.findall(r'(?s)<details class="made">.*?</details>', html)  # none for what is only printed
    text = re.sub("<[^>]+>", "", told)
    assert "Cell [3] of page.ipynb" in text and "make notebooks ONLY=page" in text
    assert "results/speed.csv, measured at commit 0123456" in text and "built at" not in text
    assert (f'href="{ADDRESS}/commit/{"0123456789" * 4}"' in told) == bool(address)
    assert html.index("_images/") < html.index('<details class="made">')


def test_what_a_notebook_reads_is_found_in_its_code(tmp_path):
    results = tmp_path / "results"
    (results / "parents").mkdir(parents=True)
    for name in ("a.csv", "b.csv", "map_x.npz", "map_y.npz", "mobilenet_v2.json"):
        (results / name).touch()
    code = 'table = "a.csv"  # b.csv\nresults.locate(f"parents/{seed}.safetensors")\nfolder.glob("map_*.npz")\n"a.txt"'
    cells = [nbformat.v4.new_markdown_cell('"b.csv"'), nbformat.v4.new_code_cell(code)]
    cells.append(nbformat.v4.new_code_cell("pretrained.report()"))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01.ipynb")
    found = made_by.reads(tmp_path / "01.ipynb", results)
    assert sorted(found) == ["a.csv", "map_x.npz", "map_y.npz", "mobilenet_v2.json", "parents"]


def test_every_notebook_rests_on_files_that_say_who_measured_them():
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        found = {name: made_by.commits(ROOT / "results" / name) for name in made_by.reads(notebook, ROOT / "results")}
        assert found, notebook.stem
        assert all(commits or name == "published.json" for name, commits in found.items()), (notebook.stem, found)
        assert all(re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit) for each in found.values() for commit in each)


def test_the_commit_of_the_build_is_that_of_this_project_alone(tmp_path):
    assert made_by.built_from(tmp_path) == ""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], cwd=tmp_path, check=True)
    (inner := tmp_path / "source").mkdir()
    assert made_by.built_from(inner) == ""  # a checkout, but of something else
    for name in ("notebooks/run.py", "wmgp/__init__.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (other := tmp_path / "other").mkdir()
    assert re.fullmatch(r"[0-9a-f]{40}", made_by.built_from(other))


def test_links_begin_at_the_root_only_where_they_are_relative():
    html = '<head><a href="a.html"><a href="#x"><a href="https://x/y"><img src="/z"><form action="b.html">'
    assert missing_page.rooted(html, SITE) == (
        '<head><a href="/wmgp/a.html"><a href="#x"><a href="https://x/y"><img src="/z"><form action="/wmgp/b.html">'
    )
    assert missing_page.rooted(html, "").count("<script>") == 1
