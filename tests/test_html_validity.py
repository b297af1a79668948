"""The book's pages are valid HTML: html5lib reports no parse error."""

from pathlib import Path

import html5lib
from books import html_files


def errors(page: Path) -> list[str]:
    """Return the page's parse errors with their lines."""
    parser = html5lib.HTMLParser()
    parser.parse(page.read_text())
    return [f"line {line}: {code}" for (line, _), code, _ in parser.errors]


def test_no_page_has_a_parse_error(plain):
    found = {str(page.relative_to(plain)): errors(page) for page in [plain / "index.html", *html_files(plain)]}
    assert {page: what for page, what in found.items() if what} == {}


def test_parse_errors_are_found(tmp_path):
    page = tmp_path / "bad.html"
    page.write_text('<!doctype html><title>x</title>\n<p><b>x</p>\n<i id="a" id="b">x</i>\n<p><div></p></div></span>')
    assert [line.partition(":")[0] for line in errors(page)] == ["line 2", "line 3", "line 4", "line 4", "line 4"]
