"""The PDF of the book, two pages of it: the contents and their numbers, outline, links, nothing wider than A4."""

import re

import pytest
from books import ROOT

from book import pdf

ONLY = ["notebooks/12_rescaling", "book/bibliography"]


@pytest.fixture(scope="module")
def page(browser):
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def printed(page, plain, tmp_path_factory):
    """The PDF of two pages of the book; the browser still shows what was printed."""
    out = tmp_path_factory.mktemp("pdf") / pdf.NAME
    pdf.make(page, plain, out, ONLY)
    assert not (plain / "whole.html").exists()
    return out.read_bytes()


def test_it_has_pages_an_outline_and_links(printed):
    assert printed.startswith(b"%PDF-") and printed.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type /Page\b", printed)) > 6
    assert b"/Outlines " in printed
    titles = re.findall(rb"/Title \((.*?)\)", printed)
    assert b"Contents" in titles and b"Reference" in titles and len(titles) > 8
    addresses = re.findall(rb"/URI \((.*?)\)", printed)
    assert len(addresses) > 20 and all(address.startswith(b"https://") for address in addresses)


def test_the_contents_have_the_numbers_of_their_pages(page, printed):
    begins = pdf.begins(printed)
    shown = page.eval_on_selector_all("[data-of]", "all => all.map(e => [e.dataset.of, +e.textContent])")
    assert dict(shown) == {pdf.slug(name): begins[pdf.slug(name)] for name in ONLY}
    first, second = (begins[pdf.slug(name)] for name in ONLY)
    assert 2 < first < second <= len(re.findall(rb"/Type /Page\b", printed))


def test_nothing_is_wider_than_the_paper_and_every_link_leads_somewhere(page, printed):
    wide = f"""all => all.filter(e => e.getBoundingClientRect().right > {pdf.WIDTH} + 1 && e.checkVisibility())
        .map(e => e.outerHTML.slice(0, 80))"""
    assert page.eval_on_selector_all("main img, main svg, main table, main pre, main mjx-container", wide) == []
    nowhere = """all => all.map(a => a.getAttribute("href").slice(1)).filter(id => !document.getElementById(id))"""
    assert page.eval_on_selector_all("a[href^='#']", nowhere) == []
    assert page.eval_on_selector_all("img", "all => all.filter(i => !i.naturalWidth).map(i => i.src)") == []
    ids = page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    assert len(ids) == len(set(ids)) and page.evaluate("document.documentElement.dataset.theme") == "light"


def test_the_whole_book_is_put_together(plain):
    text = pdf.whole(plain, [])
    names = [name for _, names in pdf.contents() for name in names]
    assert [name for name in names if f'id="{pdf.slug(name)}"' not in text] == []
    led = set(re.findall(r"""<a [^>]*href=["']#([^"']+)""", text))
    assert led - set(re.findall(r"""\bid=["']([^"']+)""", text)) == set()
    assert "file:" not in text and str(ROOT) not in text


MENU = '<div class="dropdown dropdown-download-buttons"><ul class="dropdown-menu"><li></ul></div>'


def test_every_page_offers_the_pdf_once(tmp_path):
    (tmp_path / "book").mkdir()
    for name, text in (("search.html", MENU), ("book/a.html", MENU + pdf.PLACE), ("none.html", "<p>no menu</p>")):
        (tmp_path / name).write_text(text)
    for _ in range(2):
        pdf.offer(tmp_path)
    found = {p.name: re.findall('href="(.*?)"', p.read_text()) for p in sorted(tmp_path.rglob("*.html"))}
    assert found == {"a.html": ["../wmgp.pdf"] * 2, "none.html": [], "search.html": ["wmgp.pdf"]}


def test_no_book_and_an_unknown_page_are_said_in_one_line(tmp_path, capsys):
    for told, said in (([], "run `make book`"), (["--only", "gone"], "--only gone: expected one of book/index, ")):
        assert pdf.main(["--pages", str(tmp_path), *told]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
