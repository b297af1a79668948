"""The PDF of two pages of the book: page numbers in the contents, outline, links, and nothing wider than A4."""

import re

import pytest
from books import ROOT

from book import pdf

pytestmark = pytest.mark.slow

ONLY = ["notebooks/12_rescaling", "book/bibliography"]


@pytest.fixture(scope="module")
def page(browser):
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def printed(page, plain, tmp_path_factory):
    """The PDF of two pages of the book; the browser still shows the printed page."""
    out = tmp_path_factory.mktemp("pdf") / pdf.NAME
    pdf.make(page, plain, out, ONLY)
    assert not (plain / "joined.html").exists()
    return out.read_bytes()


def test_the_pdf_has_pages_an_outline_and_links(printed):
    assert printed.startswith(b"%PDF-") and printed.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type /Page\b", printed)) > 6
    assert b"/Outlines " in printed
    titles = re.findall(rb"/Title \((.*?)\)", printed)
    assert b"Contents" in titles and b"Reference" in titles and len(titles) > 8
    addresses = re.findall(rb"/URI \((.*?)\)", printed)
    assert len(addresses) > 20 and all(address.startswith(b"https://") for address in addresses)


def test_the_contents_have_page_numbers(page, printed):
    numbers = pdf.page_numbers(printed)
    shown = page.eval_on_selector_all("[data-of]", "all => all.map(e => [e.dataset.of, +e.textContent])")
    assert dict(shown) == {pdf.slug(name): numbers[pdf.slug(name)] for name in ONLY}
    first, second = (numbers[pdf.slug(name)] for name in ONLY)
    assert 2 < first < second <= len(re.findall(rb"/Type /Page\b", printed))


def test_nothing_is_wider_than_the_paper_and_every_link_has_a_target(page, printed):
    wide = f"""all => all.filter(e => e.getBoundingClientRect().right > {pdf.WIDTH} + 1 && e.checkVisibility())
        .map(e => e.outerHTML.slice(0, 80))"""
    assert page.eval_on_selector_all("main img, main svg, main table, main pre, main mjx-container", wide) == []
    nowhere = """all => all.map(a => a.getAttribute("href").slice(1)).filter(id => !document.getElementById(id))"""
    assert page.eval_on_selector_all("a[href^='#']", nowhere) == []
    assert page.eval_on_selector_all("img", "all => all.filter(i => !i.naturalWidth).map(i => i.src)") == []
    ids = page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    assert len(ids) == len(set(ids)) and page.evaluate("document.documentElement.dataset.theme") == "light"


def test_tables_are_large_enough_to_read(page, printed):
    sizes = """all => all.map(e => parseFloat(getComputedStyle(e).fontSize) * e.currentCSSZoom * 72 / 96)"""
    cells = page.eval_on_selector_all("main :is(td, th)", sizes)
    assert len(cells) > 50 and min(cells) > 7
    assert min(page.eval_on_selector_all("main caption", sizes), default=8) > 7.5


def fitted(page, body: str) -> None:
    """Render HTML in the print layout."""
    page.set_viewport_size({"width": pdf.WIDTH, "height": 1000})
    page.emulate_media(media="print")
    style = f"{pdf.STYLE.read_text()} td {{ font-family: monospace; }}"
    page.set_content(f"<!doctype html><style>{style}</style><main class='bd-article'>{body}</main>")
    page.evaluate(pdf.FIT)


@pytest.mark.parametrize(
    ("cell", "kinds"),
    [
        ("12345", ["unwrapped"]),
        ("12345678901", ["unwrapped"]),
        ("1.234 <span class='unbreakable'>(1.2 to 1.3)</span>", ["wrapped"]),
        ("1.234 <span class='unbreakable'>(123456.2 to 12345678.3)</span>", ["wrapped", "broken"]),
    ],
)
def test_a_wide_table_shrinks_then_wraps_then_breaks_words(page, cell, kinds):
    fitted(page, f"<div><table class='results'><caption>Words</caption><tr>{f'<td>{cell}</td>' * 7}</tr></table></div>")
    table = "document.querySelector('table')"
    assert page.evaluate(f"[...{table}.classList]")[1:] == kinds
    left, right = page.evaluate(f"(box => [box.left, box.right])({table}.getBoundingClientRect())")
    wide, scale = right - left, page.evaluate(f"{table}.currentCSSZoom")
    assert wide < pdf.WIDTH + 0.5 and (scale == 1 or wide > 0.97 * pdf.WIDTH) and scale > 0.79
    assert page.evaluate(f"{table}.caption.currentCSSZoom") == pytest.approx(1, abs=0.01)


def test_long_boxes_may_continue_on_the_next_sheet_and_tall_figures_shrink(page):
    code = "<div class='highlight'><pre>{}</pre></div>"
    row = "<tr><td>1</td></tr>"
    drawing = "<figure><svg width='{0}' height='{1}' viewBox='0 0 {0} {1}'></svg></figure>"
    sizes = ((500, 300), (500, 600), (500, 900), (500, 2000))
    body = [*(code.format("line<br>" * n) for n in (5, 30)), *(f"<table>{row * n}</table>" for n in (5, 30))]
    fitted(page, "".join([*body, *(drawing.format(*size) for size in sizes)]))
    whole = "all => all.map(e => getComputedStyle(e).breakInside)"
    assert page.eval_on_selector_all(".highlight, table", whole) == ["avoid", "auto"] * 2
    tall = page.eval_on_selector_all("svg", "all => all.map(e => e.getBoundingClientRect().height)")
    assert tall == pytest.approx([300, 453, 567, 926], abs=2)


ARTICLE = """<article class="bd-article"><h1>A page</h1>
<svg><defs><style>*{stroke-linejoin: round}</style><clipPath id="c"></clipPath><path id="m"></path></defs>
<use xlink:href="#m"></use><use href="#m"></use><g clip-path="url(#c)" style="fill: url('#c')"></g></svg>
<div role="img" aria-labelledby="m c"></div>
<div class="cell tag_hide-input"><details class="hide above-input">code of words</details><p>words</p></div>
<div class="cell tag_hide-input"><details class="hide above-input">imports</details></div>
<div class="cell"><div><style scoped>th { color: red }</style><pre>run --points 3 a--b "-x" [--more]</pre></div></div>
<table><tr><td>LeNet-5 since 2024-05-07: 1 (0 to 2), a_file_name <code>a_b</code>
<span class="math">\\((a-1)\\)</span></td></tr></table></article>"""


@pytest.fixture
def made(tmp_path):
    """The printed article of a page with parts that only a screen needs."""
    (tmp_path / "page.html").write_text(ARTICLE)
    return pdf.article(tmp_path, "page", {"page"})


def test_a_drawing_keeps_its_references(made):
    ids = {tag["id"] for tag in made.find_all(id=True)}
    referred = re.findall(r"""(?:href="|url\(['"]?)#([^"')]+)""", str(made))
    assert ids == {"page--c", "page--m"} and referred == ["page--m", "page--m", "page--c", "page--c"]
    assert made.find(role="img")["aria-labelledby"] == "page--m page--c"


def test_styles_and_folded_code_are_removed(made):
    assert made.style is None and made.svg["style"] == "stroke-linejoin: round"
    assert "code of words" not in str(made) and "imports" not in str(made)
    assert len(made.select(".cell")) == 2


def test_options_dates_and_intervals_do_not_break_but_names_may(made):
    unbreakable = [tag.get_text() for tag in made.select(".unbreakable")]
    assert unbreakable == ["--points", "--more", "LeNet-5", "2024-05-07", "(0 to 2)"]
    assert made.pre.get_text() == 'run --points 3 a--b "-x" [--more]'
    assert "a_<wbr/>file_<wbr/>name <code>a_<wbr/>b</code>" in str(made.td)
    assert made.select_one(".math").decode_contents() == r"\((a-1)\)"


def test_the_joined_page_has_every_page_and_only_working_links(plain):
    text = pdf.joined_page(plain, [])
    names = [name for _, names in pdf.contents() for name in names]
    assert [name for name in names if f'id="{pdf.slug(name)}"' not in text] == []
    led = set(re.findall(r"""<a [^>]*href=["']#([^"']+)""", text))
    assert led - set(re.findall(r"""\bid=["']([^"']+)""", text)) == set()
    assert "file:" not in text and str(ROOT) not in text


MENU = '<div class="dropdown dropdown-download-buttons"><ul class="dropdown-menu"><li></ul></div>'


def test_every_page_links_to_the_pdf_once(tmp_path):
    (tmp_path / "book").mkdir()
    for name, text in (("search.html", MENU), ("book/a.html", MENU + pdf.PLACEHOLDER), ("none.html", "<p>no menu</p>")):
        (tmp_path / name).write_text(text)
    for _ in range(2):
        pdf.add_links(tmp_path)
    found = {p.name: re.findall('href="(.*?)"', p.read_text()) for p in sorted(tmp_path.rglob("*.html"))}
    assert found == {"a.html": ["../wmgp.pdf"] * 2, "none.html": [], "search.html": ["wmgp.pdf"]}


def test_a_missing_book_or_an_unknown_page_is_an_error_of_one_line(tmp_path, capsys):
    for told, said in (([], "run `make book`"), (["--only", "gone"], "--only gone: expected one of book/index, ")):
        with pytest.raises(SystemExit, match="2"):
            pdf.main(["--pages", str(tmp_path), *told])
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
