"""The whole book as one PDF: `python -m book.pdf` prints the pages in `_build/html` to `_build/html/wmgp.pdf`.

The built pages are put one after another into one page of contents and parts, ids and links among them renamed, and
headless Chromium prints it: once to learn where each page of the book begins, and again with those numbers in the
contents. Afterwards every page has a link to the PDF in its menu of downloads. `--only book/theorem` prints some alone.
"""

import argparse
import re
import sys
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import yaml
from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString

from benchmarks.browser import chromium
from wmgp.errors import InputError, command_line
from wmgp.io.atomic import write_atomic

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
NAME = "wmgp.pdf"
PLACE = '<p class="whole-book"></p>'  # of a link to the PDF, on a page that wants one outside its menu
STYLE = Path(__file__).with_name("pdf.css")
LEFT_OUT = "a.headerlink, script, noscript, link, style, div.analyzer, .tag_hide-input > details.hide, .only-dark"
ANALYZER = "(On the web, this is where a file is dropped: the page in the browser computes the answer.)"
REFERENCES = ("for", "aria-labelledby", "aria-describedby", "aria-controls")  # they hold ids, as some links do
WHOLE = {  # what no line should part, and where: options as `--points`; names and dates with numbers, and intervals
    ("pre", "code"): re.compile(r"(?<![^\s\[(|])(-[^\s\])|]{1,40})(?![^\s\])|])"),
    ("td", "th"): re.compile(r"(\b\w+(?:-\d+)+\b|(?<!\\)\([^()\\]{1,30}\))"),
}
UNDERSCORE = re.compile("(?<=_)(?=.)")
WIDTH = 657  # whole pixels between A4's margins, at 96 to the inch
FOOTER = """<div style="width: 100%; font: 8px sans-serif; text-align: center; color: #555">
<span class="pageNumber"></span></div>"""
HEADING = "<p role='heading' aria-level='1' class='top {}'>{}</p>"  # the theme's h1 stands in the outline twice
PAPER: dict[str, Any] = {
    "format": "A4",
    "margin": dict.fromkeys(("top", "right", "bottom", "left"), "18mm"),
    "print_background": True,
    "display_header_footer": True,
    "header_template": "<span></span>",
    "footer_template": FOOTER,
}
NUMBER = """numbers => {
    for (const place of document.querySelectorAll("[data-of]")) place.textContent = numbers[place.dataset.of] ?? "";
}"""
FIT = Path(__file__).with_name("pdf.js").read_text(encoding="utf-8")


def contents() -> list[tuple[str, list[str]]]:
    """The book's parts and their pages; the first part is the home page alone."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    parts = [(part["caption"], [chapter["file"] for chapter in part["chapters"]]) for part in toc["parts"]]
    return [("", [toc["root"]]), *parts]


def slug(name: str) -> str:
    """A page's id in the one page of them all."""
    return name.replace("/", "-")


def article(pages: Path, name: str, among: set[str]) -> Tag:
    """What a page says, ready to stand beside the others."""
    soup = BeautifulSoup((pages / f"{name}.html").read_text(), "html.parser")
    found = soup.find("article", class_="bd-article")
    if not isinstance(found, Tag):
        raise InputError(f"{pages / name}.html: expected a page of the book, with an article in it")
    if analyzer := found.find("div", class_="analyzer"):
        analyzer.insert_before(soup.new_tag("p", string=ANALYZER))
    leave_out(found)
    hold_words(found, soup)
    for tag in found.find_all("details"):
        tag["open"] = ""
    for tag in found.find_all(re.compile("h[1-5]")):
        tag.name = f"h{int(tag.name[1]) + 1}"
    rename(found, pages, name, among)
    found["id"] = slug(name)
    return found


def leave_out(found: Tag) -> None:
    """Take away what paper has no use for, folded code too, and cells of which nothing is left."""
    hand_down_styles(found)
    for tag in found.select(LEFT_OUT):
        tag.decompose()
    for tag in found.select("div.tag_hide-input"):
        if not tag.get_text(strip=True) and not tag.find(["img", "svg"]):
            tag.decompose()


def hand_down_styles(found: Tag) -> None:
    """Give drawings what their styles say of all: as part of one page, it would be said of that page's all."""
    for style in found.select("svg > defs > style, svg > style"):
        drawing = style.find_parent("svg")
        said = re.fullmatch(r"\s*\*\s*{([^}]*)}\s*", style.get_text())
        if drawing and said:
            drawing["style"] = "; ".join(filter(None, [said[1].strip(), str(drawing.get("style", ""))]))


def hold_words(found: Tag, soup: BeautifulSoup) -> None:
    """Say where a line may end: within none of some words, but after the underscores of a name in a table."""
    for places, words in WHOLE.items():
        for text in texts(found, places, words):
            parts = words.split(text)
            parts[1::2] = [soup.new_tag("span", string=word, attrs={"class": "whole"}) for word in parts[1::2]]
            text.replace_with(*parts)
    for text in texts(found, ("td",), UNDERSCORE):
        for part in UNDERSCORE.split(text)[:-1]:
            text.insert_before(part, soup.new_tag("wbr"))
        text.replace_with(UNDERSCORE.split(text)[-1])


def texts(found: Tag, places: tuple[str, ...], words: re.Pattern[str]) -> list[NavigableString]:
    """What is said in some places with such words in it, formulas and what is whole already left aside."""
    said = [text for text in found.find_all(string=words) if text.find_parent(places)]
    return [text for text in said if not text.find_parent(class_=["math", "whole"])]


def rename(found: Tag, pages: Path, name: str, among: set[str]) -> None:
    """Prefix the ids with the page's own; lead links to pages `among` these there, and drop those to other files."""
    here = (pages / name).parent
    prefix = f"{slug(name)}--"
    for tag in found.find_all(True):
        if tag.get("id"):
            tag["id"] = prefix + str(tag["id"])
        for key, value in tag.attrs.items():
            if key in REFERENCES:
                tag[key] = " ".join(prefix + one for one in str(value).split())
            elif key in ("href", "xlink:href") and tag.name != "a":
                tag[key] = re.sub("^#", f"#{prefix}", str(value))
            elif "url(" in str(value):
                tag[key] = re.sub(r"url\((['\"]?)#", rf"url(\1#{prefix}", str(value))
        if tag.get("src"):
            tag["src"] = (here / str(tag["src"])).resolve().relative_to(pages).as_posix()
    for tag in found.find_all("a", href=True):
        parts = urlsplit(str(tag["href"]))
        if parts.scheme:
            continue
        target = (here / parts.path).resolve() if parts.path else (pages / f"{name}.html").resolve()
        other = target.relative_to(pages).with_suffix("").as_posix()
        if target.suffix == ".html" and other in among:
            tag["href"] = f"#{slug(other)}" + (f"--{parts.fragment}" if parts.fragment else "")
        else:
            del tag["href"]


def head(pages: Path) -> str:
    """The styles and the formulas' scripts of the home page, from where the one page lies."""
    home = pages / contents()[0][1][0]
    soup = BeautifulSoup(home.with_suffix(".html").read_text(), "html.parser")
    kept = []
    for tag in soup.head.select("link[rel=stylesheet], script") if soup.head else []:
        if "mathjax" not in str(tag).lower() and tag.name == "script":
            continue
        for key in ("src", "href"):
            if tag.get(key):
                path = (home.parent / urlsplit(str(tag[key])).path).resolve()
                tag[key] = path.relative_to(pages).as_posix()
        kept.append(str(tag))
    return "\n".join([*kept, f"<style>{STYLE.read_text()}</style>"])


def whole(pages: Path, only: list[str]) -> str:
    """The book, or some pages of it, as one page; the contents leave room for numbers."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    parts = [(caption, [name for name in names if not only or name in only]) for caption, names in contents()]
    among = {name for _, names in parts for name in names}
    lines, body = [], []
    for caption, names in parts:
        above = ""
        if caption and names:
            lines.append(f"<li class='part'>{escape(caption)}</li>")
            above = HEADING.format("part", escape(caption))
        for name in names:
            found = article(pages, name, among)
            title = found.find("h2")
            said = escape(title.get_text() if title else name)
            number = f"<span class='number' data-of='{slug(name)}'></span>"
            lines.append(f"<li><a href='#{slug(name)}'>{said}</a><span class='dots'></span>{number}</li>")
            body.append(f"<div class='sheet'>{above}{found}</div>")
            above = ""
    title = escape(config["title"])
    front = f"<header class='cover'><p class='title'>{title}</p><p>{escape(config['author'])}</p></header>"
    return (
        f"<!doctype html><html lang='en' data-theme='light' data-mode='light'><head><meta charset='utf-8'>"
        f"<title>{title}</title>{head(pages)}</head><body><main class='bd-main bd-content'>{front}"
        f"<div class='sheet'>{HEADING.format('', 'Contents')}<ol class='contents'>{''.join(lines)}</ol></div>"
        f"{''.join(body)}</main></body></html>"
    )


def begins(pdf: bytes) -> dict[str, int]:
    """On which page each named place of a PDF of Chromium's is."""
    kids = b" ".join(re.findall(rb"/Type /Pages.*?/Kids \[([^\]]*)\]", pdf, re.DOTALL)).split(b" 0 R")
    leaves = set(re.findall(rb"(?:^|\n)(\d+) 0 obj\s*<<\s*/Type /Page\b", pdf))
    order = [kid.strip() for kid in kids if kid.strip() in leaves]
    places = re.findall(rb"/([\w.-]+) \[(\d+) 0 R /XYZ", pdf)
    return {name.decode(): order.index(page) + 1 for name, page in places if page in order}


def print_page(page: "Page", file: Path) -> bytes:
    """The PDF of a book in one page: printed twice, the second time with the numbers of its pages in the contents."""
    page.set_default_timeout(600_000)  # a busy machine takes minutes over the whole book
    page.set_viewport_size({"width": WIDTH, "height": 1000})
    page.emulate_media(media="print", color_scheme="light")
    page.goto(file.as_uri(), wait_until="load")
    page.evaluate("window.MathJax ? MathJax.startup.promise.then(() => null) : null")
    page.evaluate(FIT)
    page.evaluate(NUMBER, begins(page.pdf(**PAPER)))
    return page.pdf(**PAPER, outline=True, tagged=True)


def make(page: "Page", pages: Path, out: Path, only: list[str]) -> None:
    """Print the book in `pages` to a PDF."""
    file = pages / "whole.html"
    try:
        file.write_text(whole(pages, only))
        pdf = print_page(page, file)
    finally:
        file.unlink(missing_ok=True)
    write_atomic(out, pdf)


def offer(pages: Path) -> None:
    """A link to the PDF in every page's menu of downloads, and where a page keeps a place for it; once."""
    begin = r'(<div class="dropdown dropdown-download-buttons">.*?<ul class="dropdown-menu">)'
    for page in pages.rglob("*.html"):
        text = page.read_text()
        href = "../" * (len(page.relative_to(pages).parts) - 1) + NAME
        link = f'<li><a href="{href}" class="btn btn-sm dropdown-item">The whole book as PDF</a></li>'
        if link not in text:
            text = re.sub(begin, rf"\1\n      {link}", text, count=1, flags=re.DOTALL)
            page.write_text(text.replace(PLACE, PLACE.replace("></", f'><a href="{href}">The whole book as PDF</a></')))


@command_line
def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m book.pdf", description="Print the built book to a PDF.")
    parser.add_argument("--pages", type=Path, default=ROOT / "_build" / "html", help="the built book")
    parser.add_argument("--only", nargs="+", default=[], metavar="PAGE", help="these alone, as _toc.yml names them")
    told = parser.parse_args(arguments)
    pages = told.pages.resolve()
    known = [name for _, names in contents() for name in names]
    if unknown := [name for name in told.only if name not in known]:
        raise InputError(f"--only {unknown[0]}: expected one of {', '.join(known)}")
    if not (pages / f"{known[0]}.html").is_file():
        raise InputError(f"{told.pages}: expected a built book: run `make book`")
    with chromium() as browser:
        make(browser.new_page(), pages, pages / NAME, told.only)
    offer(pages)
    print(f"The book as PDF: {(pages / NAME).as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
