"""The book's links: internal links have targets, external links are listed, and the list's dates are updated."""

import re
from collections import Counter
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from book import links

LINK_ATTRIBUTES = ("href", "src", "data", "poster")


def parsed(pages) -> dict[Path, BeautifulSoup]:
    """Return path -> page for every page of a folder; static files are not pages."""
    found = [page.resolve() for page in sorted(pages.rglob("*.html")) if "_static" not in page.parts]
    return {page: BeautifulSoup(page.read_text(), "html.parser") for page in found}


@pytest.fixture(scope="module")
def soup(plain) -> dict[Path, BeautifulSoup]:
    return parsed(plain)


def ids(page: BeautifulSoup) -> Counter[str]:
    """Return the number of times that each id occurs on a page."""
    return Counter(str(tag["id"]) for tag in page.find_all(id=True))


def broken(pages: dict[Path, BeautifulSoup]) -> dict[str, list[str]]:
    """Return page -> its relative links without a target."""
    known, found = {path: set(ids(page)) | {"", "top"} for path, page in pages.items()}, {}
    for path, page in pages.items():
        for tag in page.find_all(True):
            for address in (tag.get(name) for name in LINK_ATTRIBUTES):
                parts = urlsplit(str(address)) if address else None
                if parts is None or parts.scheme or parts.netloc:
                    continue
                target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                if not target.is_file() or unquote(parts.fragment) not in known.get(target, {parts.fragment}):
                    found.setdefault(path.name, []).append(address)
    return found


def test_every_internal_link_has_a_target(soup):
    assert broken(soup) == {}


def test_no_page_has_an_id_twice(soup):
    twice = {path.name: [name for name, n in ids(page).items() if n > 1] for path, page in soup.items()}
    assert {name: what for name, what in twice.items() if what} == {}


def test_broken_links_and_repeated_ids_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<p id="x"></p><a href="b%20c.html#y">1</a><a href="gone.html">2</a><a href="#x">')
    (tmp_path / "b c.html").write_text('<i id="z"></i><i id="z"></i><img src="gone.png"><a href="a.html?q=1#x">3</a>')
    pages = parsed(tmp_path)
    assert broken(pages) == {"a.html": ["b%20c.html#y", "gone.html"], "b c.html": ["gone.png"]}
    assert ids(pages[(tmp_path / "b c.html").resolve()])["z"] == 2


def test_the_list_has_exactly_the_links_to_other_hosts(plain):
    listed = {row["address"]: row["used_in"].split() for row in links.read(links.LIST)}
    found = links.external_links(plain, links.ROOT / "README.md", links.own_addresses())
    assert found == listed, "run `python -m book.links list`"


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of two pages and its README; the fixture is the options of `python -m book.links`."""
    pages = tmp_path / "pages"
    (pages / "book").mkdir(parents=True)
    (pages / "index.html").write_text('<a href="https://a.example/x?y=1&amp;z=2">x</a><a href="book/b.html">y</a>')
    (pages / "book" / "b.html").write_text('<a href="https://a.example/x?y=1&z=2">x</a> https://text.example')
    (tmp_path / "README.md").write_text("[z](http://z.example/) [home](book/b.html)\n")
    monkeypatch.setattr(links, "ROOT", tmp_path)
    monkeypatch.setattr(links, "own_addresses", tuple)
    return ["--pages", str(pages), "--list", str(tmp_path / "list.csv")]


def test_writing_the_list_keeps_its_dates(book, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("address,used_in,last_seen\nhttp://z.example/,old.html,2026-01-02\nhttp://gone/,a,2026-01-02\n")
    assert links.main(["list", *book]) == 0
    assert path.read_text() == (
        "address,used_in,last_seen\n"
        "http://z.example/,README.md,2026-01-02\n"
        "https://a.example/x?y=1&z=2,book/b.html index.html,\n"
    )


class Answer(BaseHTTPRequestHandler):
    """Pages that exist, are gone, have moved, or answer GET requests only."""

    def do_GET(self):
        place = self.path.strip("/")
        self.send_response({"there": 200, "get": 200, "moved": 301}.get(place, 404))
        if place == "moved":
            self.send_header("Location", "/there")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self):
        if self.path == "/get":
            self.send_error(405)
        else:
            self.do_GET()

    def log_message(self, format: str, *args: object):
        """Log nothing."""


@pytest.fixture
def host():
    """The address of a local server."""
    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_only_addresses_that_answer_get_a_new_date(host, tmp_path, capsys):
    path = tmp_path / "list.csv"
    old = {"there": "", "moved#part": "2026-01-02", "get": "", "gone": "2026-01-02", "never": ""}
    rows = [{"address": f"{host}/{name}", "used_in": "a.html", "last_seen": seen} for name, seen in old.items()]
    links.write(path, [*rows, {"address": "http://127.0.0.1:1/", "used_in": "a.html", "last_seen": ""}])
    assert links.main(["look", "--list", str(path)]) == 1
    today = datetime.now(UTC).date().isoformat()
    assert [row["last_seen"] for row in links.read(path)] == [today, today, today, "2026-01-02", "", ""]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{host}/there: answered" and said[3] == f"{host}/gone: answered 404 Not Found"
    assert re.fullmatch(r"http://127.0.0.1:1/: no answer: .*refused.*", said[5]) and said[6] == "3 of 6 answered"
    links.write(path, links.read(path)[:3])
    assert links.main(["look", "--list", str(path)]) == 0


BAD = {
    "expected the columns": "address,last_seen\nhttp://a/,\n",
    "line 2: expected the columns": "address,used_in,last_seen\nhttp://a/\n",
    "line 3: last_seen should be a date": "address,used_in,last_seen\nhttp://a/,b,\nhttp://a/,b,20260102\n",
}


@pytest.mark.parametrize("said", BAD)
def test_a_malformed_list_is_an_error_of_one_line_and_stays_unchanged(tmp_path, book, capsys, said):
    path = tmp_path / "list.csv"
    path.write_text(BAD[said])
    for what in ("look", "list"):
        with pytest.raises(SystemExit, match="2"):
            links.main([what, *book])
        error = capsys.readouterr().err
        assert said in error and str(path) in error and error.count("\n") == 1
    assert path.read_text() == BAD[said]


def test_a_missing_list_or_book_is_an_error_of_one_line(tmp_path, capsys):
    for what, said in (("look", "expected a list of links"), ("list", "run `make book`")):
        with pytest.raises(SystemExit, match="2"):
            links.main([what, "--list", str(tmp_path / "no.csv"), "--pages", str(tmp_path)])
        assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
