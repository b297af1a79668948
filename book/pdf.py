"""The whole book as one PDF: `python -m book.pdf` prints the pages in `_build/html` to `_build/html/wmgp.pdf`.

The built pages are joined into one HTML page with a table of contents, and their ids and links are renamed. Headless
Chromium prints it twice: the first time to learn the page numbers, the second time with these numbers in the contents.
Afterwards every page links to the PDF in its download menu. `--only book/theorem` prints the named pages only.
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
from wmgp.errors import InputError, exit_on_input_error
from wmgp.io.atomic import write_atomic

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[1]
NAME = "wmgp.pdf"
PLACEHOLDER = '<p class="whole-book"></p>'  # replaced by a link to the PDF
STYLE = Path(__file__).with_name("pdf.css")
EXCLUDED = "a.headerlink, script, noscript, link, style, div.analyzer, .tag_hide-input > details.hide, .only-dark"
ANALYZER = "(On the web, this is where a file is dropped: the page in the browser computes the answer.)"
ID_ATTRIBUTES = ("for", "aria-labelledby", "aria-describedby", "aria-controls")  # their values are ids
UNBREAKABLE = {  # tags -> text to keep on one line: options such as `--points`; numbered names, dates, intervals
    ("pre", "code"): re.compile(r"(?<![^\s\[(|])(-[^\s\])|]{1,40})(?![^\s\])|])"),
    ("td", "th"): re.compile(r"(\b\w+(?:-\d+)+\b|(?<!\\)\([^()\\]{1,30}\))"),
}
UNDERSCORE = re.compile("(?<=_)(?=.)")
WIDTH = 657  # pixels between A4's margins at 96 pixels per inch
FOOTER = """<div style="width: 100%; font: 8px sans-serif; text-align: center; color: #555">
<span class="pageNumber"></span></div>"""
HEADING = "<p role='heading' aria-level='1' class='top {}'>{}</p>"  # the outline would list the theme's h1 twice
PAPER: dict[str, Any] = {
    "format": "A4",
    "margin": dict.fromkeys(("top", "right", "bottom", "left"), "18mm"),
    "print_background": True,
    "display_header_footer": True,
    "header_template": "<span></span>",
    "footer_template": FOOTER,
}
SET_NUMBERS = """numbers => {
    for (const place of document.querySelectorAll("[data-of]")) place.textContent = numbers[place.dataset.of] ?? "";
}"""
FIT = Path(__file__).with_name("pdf.js").read_text(encoding="utf-8")


def contents() -> list[tuple[str, list[str]]]:
    """Return the book's parts and their pages; the first part is the home page."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    parts = [(part["caption"], [chapter["file"] for chapter in part["chapters"]]) for part in toc["parts"]]
    return [("", [toc["root"]]), *parts]


def slug(name: str) -> str:
    """Return a page's id in the joined page."""
    return name.replace("/", "-")


def article(pages: Path, name: str, printed: set[str]) -> Tag:
    """Return a page's article for the joined page; `printed` are the names of all its pages."""
    soup = BeautifulSoup((pages / f"{name}.html").read_text(), "html.parser")
    found = soup.find("article", class_="bd-article")
    if not isinstance(found, Tag):
        raise InputError(f"{pages / name}.html: expected a page of the book, with an article")
    if analyzer := found.find("div", class_="analyzer"):
        analyzer.insert_before(soup.new_tag("p", string=ANALYZER))
    remove_excluded(found)
    set_line_breaks(found, soup)
    for tag in found.find_all("details"):
        tag["open"] = ""
    for tag in found.find_all(re.compile("h[1-5]")):
        tag.name = f"h{int(tag.name[1]) + 1}"
    rename(found, pages, name, printed)
    found["id"] = slug(name)
    return found


def remove_excluded(found: Tag) -> None:
    """Remove the parts that are useless on paper, folded code, and cells that are then empty."""
    inline_styles(found)
    for tag in found.select(EXCLUDED):
        tag.decompose()
    for tag in found.select("div.tag_hide-input"):
        if not tag.get_text(strip=True) and not tag.find(["img", "svg"]):
            tag.decompose()


def inline_styles(found: Tag) -> None:
    """Move a drawing's style for `*` to the drawing: in the joined page it would match every element."""
    for style in found.select("svg > defs > style, svg > style"):
        drawing = style.find_parent("svg")
        rule = re.fullmatch(r"\s*\*\s*{([^}]*)}\s*", style.get_text())
        if drawing and rule:
            drawing["style"] = "; ".join(filter(None, [rule[1].strip(), str(drawing.get("style", ""))]))


def set_line_breaks(found: Tag, soup: BeautifulSoup) -> None:
    """Forbid line breaks within some words, and allow them after the underscores of a name in a table."""
    for tags, words in UNBREAKABLE.items():
        for text in texts(found, tags, words):
            parts = words.split(text)
            parts[1::2] = [soup.new_tag("span", string=word, attrs={"class": "unbreakable"}) for word in parts[1::2]]
            text.replace_with(*parts)
    for text in texts(found, ("td",), UNDERSCORE):
        for part in UNDERSCORE.split(text)[:-1]:
            text.insert_before(part, soup.new_tag("wbr"))
        text.replace_with(UNDERSCORE.split(text)[-1])


def texts(found: Tag, tags: tuple[str, ...], words: re.Pattern[str]) -> list[NavigableString]:
    """Return the texts inside the tags that match the words, without formulas and unbreakable words."""
    matching = [text for text in found.find_all(string=words) if text.find_parent(tags)]
    return [text for text in matching if not text.find_parent(class_=["math", "unbreakable"])]


def rename(found: Tag, pages: Path, name: str, printed: set[str]) -> None:
    """Prefix the ids with the page's id, redirect links to `printed` pages, and remove links to other files."""
    here = (pages / name).parent
    prefix = f"{slug(name)}--"
    for tag in found.find_all(True):
        if tag.get("id"):
            tag["id"] = prefix + str(tag["id"])
        for key, value in tag.attrs.items():
            if key in ID_ATTRIBUTES:
                tag[key] = " ".join(prefix + id for id in str(value).split())
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
        if target.suffix == ".html" and other in printed:
            tag["href"] = f"#{slug(other)}" + (f"--{parts.fragment}" if parts.fragment else "")
        else:
            del tag["href"]


def head(pages: Path) -> str:
    """Return the home page's styles and MathJax scripts, with paths for the joined page."""
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


def joined_page(pages: Path, only: list[str]) -> str:
    """Return the book, or some of its pages, as one HTML page; page numbers in the contents are empty."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    parts = [(caption, [name for name in names if not only or name in only]) for caption, names in contents()]
    printed = {name for _, names in parts for name in names}
    lines, body = [], []
    for caption, names in parts:
        part_title = ""
        if caption and names:
            lines.append(f"<li class='part'>{escape(caption)}</li>")
            part_title = HEADING.format("part", escape(caption))
        for name in names:
            found = article(pages, name, printed)
            title = found.find("h2")
            text = escape(title.get_text() if title else name)
            number = f"<span class='number' data-of='{slug(name)}'></span>"
            lines.append(f"<li><a href='#{slug(name)}'>{text}</a><span class='dots'></span>{number}</li>")
            body.append(f"<div class='sheet'>{part_title}{found}</div>")
            part_title = ""
    title = escape(config["title"])
    front = f"<header class='cover'><p class='title'>{title}</p><p>{escape(config['author'])}</p></header>"
    return (
        f"<!doctype html><html lang='en' data-theme='light' data-mode='light'><head><meta charset='utf-8'>"
        f"<title>{title}</title>{head(pages)}</head><body><main class='bd-main bd-content'>{front}"
        f"<div class='sheet'>{HEADING.format('', 'Contents')}<ol class='contents'>{''.join(lines)}</ol></div>"
        f"{''.join(body)}</main></body></html>"
    )


def page_numbers(pdf: bytes) -> dict[str, int]:
    """Return the page number of each named destination in a PDF that Chromium wrote."""
    kids = b" ".join(re.findall(rb"/Type /Pages.*?/Kids \[([^\]]*)\]", pdf, re.DOTALL)).split(b" 0 R")
    leaves = set(re.findall(rb"(?:^|\n)(\d+) 0 obj\s*<<\s*/Type /Page\b", pdf))
    order = [kid.strip() for kid in kids if kid.strip() in leaves]
    places = re.findall(rb"/([\w.-]+) \[(\d+) 0 R /XYZ", pdf)
    return {name.decode(): order.index(page) + 1 for name, page in places if page in order}


def print_page(page: "Page", file: Path) -> bytes:
    """Return the PDF of a joined page, printed twice: the second time with page numbers in the contents."""
    page.set_default_timeout(600_000)  # the whole book takes minutes on a busy machine
    page.set_viewport_size({"width": WIDTH, "height": 1000})
    page.emulate_media(media="print", color_scheme="light")
    page.goto(file.as_uri(), wait_until="load")
    page.evaluate("window.MathJax ? MathJax.startup.promise.then(() => null) : null")
    page.evaluate(FIT)
    page.evaluate(SET_NUMBERS, page_numbers(page.pdf(**PAPER)))
    return page.pdf(**PAPER, outline=True, tagged=True)


def make(page: "Page", pages: Path, out: Path, only: list[str]) -> None:
    """Print the book in `pages` to the PDF `out`."""
    file = pages / "joined.html"
    try:
        file.write_text(joined_page(pages, only))
        pdf = print_page(page, file)
    finally:
        file.unlink(missing_ok=True)
    write_atomic(out, pdf)


def add_links(pages: Path) -> None:
    """Link to the PDF in every page's download menu and at its placeholder, unless the links exist."""
    begin = r'(<div class="dropdown dropdown-download-buttons">.*?<ul class="dropdown-menu">)'
    for page in pages.rglob("*.html"):
        text = page.read_text()
        href = "../" * (len(page.relative_to(pages).parts) - 1) + NAME
        link = f'<li><a href="{href}" class="btn btn-sm dropdown-item">The whole book as PDF</a></li>'
        if link not in text:
            text = re.sub(begin, rf"\1\n      {link}", text, count=1, flags=re.DOTALL)
            page.write_text(
                text.replace(PLACEHOLDER, PLACEHOLDER.replace("></", f'><a href="{href}">The whole book as PDF</a></'))
            )


@exit_on_input_error
def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m book.pdf", description="Print the built book to a PDF.")
    parser.add_argument("--pages", type=Path, default=ROOT / "_build" / "html", help="the built book")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="PAGE", help="print only these pages, named as in _toc.yml"
    )
    options = parser.parse_args(arguments)
    pages = options.pages.resolve()
    known = [name for _, names in contents() for name in names]
    if unknown := [name for name in options.only if name not in known]:
        raise InputError(f"--only {unknown[0]}: expected one of {', '.join(known)}")
    if not (pages / f"{known[0]}.html").is_file():
        raise InputError(f"{options.pages}: expected a built book: run `make book`")
    with chromium() as browser:
        make(browser.new_page(), pages, pages / NAME, options.only)
    add_links(pages)
    print(f"The book as PDF: {(pages / NAME).as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
