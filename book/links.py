"""The list of the book's links to other hosts, `book/external-links.csv`: address, pages, date of the last answer.

`python -m book.links list` writes the list from the book in `_build/html` and from the README; it keeps the dates of
known addresses. `python -m book.links look` requests every address and writes today's date for those that answer. An
empty date means that the address was never checked.
"""

import argparse
import csv
import io
import re
import sys
import urllib.error
import urllib.request
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path

import yaml

from wmgp.errors import InputError, exit_on_input_error
from wmgp.io.atomic import write_atomic

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "book" / "external-links.csv"
COLUMNS = ["address", "used_in", "last_seen"]
USER_AGENT = {"User-Agent": "Mozilla/5.0 (compatible; wmgp-links/1)"}  # some hosts refuse urllib's own
TIMEOUT = 20  # seconds


class Anchors(HTMLParser):
    """The targets of a page's links."""

    def __init__(self, text: str):
        super().__init__()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the target of an anchor."""
        if tag == "a":
            self.addresses += [value for name, value in attrs if name == "href" and value]


def external_links(pages: Path, readme: Path, own: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Return address -> pages that link to it, README included. Addresses that start with one of `own` are internal."""
    addresses = {str(page.relative_to(pages)): Anchors(page.read_text()).addresses for page in pages.rglob("*.html")}
    addresses["README.md"] = re.findall(r"\]\((https?:[^)\s]+)\)", readme.read_text())
    pages_by_address: dict[str, set[str]] = {}
    for page, targets in addresses.items():
        for address in targets:
            if re.match("https?://", address) and not address.startswith(own):
                pages_by_address.setdefault(address, set()).add(page)
    return {address: sorted(pages_by_address[address]) for address in sorted(pages_by_address)}


def read(path: Path) -> list[dict[str, str]]:
    """Return the list's rows. InputError if the file is missing or malformed."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{path}: expected a list of links ({error.strerror})") from error
    for number, row in enumerate(rows, 2):
        if list(row) != COLUMNS or not all(isinstance(row[name], str) for name in COLUMNS):
            raise InputError(f"{path}, line {number}: expected the columns {', '.join(COLUMNS)}")
        if row["last_seen"] and not is_date(row["last_seen"]):
            raise InputError(f"{path}, line {number}: last_seen should be a date or empty, not {row['last_seen']!r}")
    return rows


def is_date(text: str) -> bool:
    """Return True for a date such as 2026-01-31."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """Write the list atomically."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomic(path, text.getvalue().encode())


def update(path: Path, links: dict[str, list[str]]) -> list[dict[str, str]]:
    """Return the rows for the given links with the dates from the old list."""
    dates = {row["address"]: row["last_seen"] for row in read(path)} if path.is_file() else {}
    return [{"address": a, "used_in": " ".join(pages), "last_seen": dates.get(a, "")} for a, pages in links.items()]


def request(address: str) -> str:
    """Return "" if the address answers, or the error. A host that refuses HEAD gets a GET request too."""
    problem = ""
    for method in ("HEAD", "GET"):
        try:
            with urllib.request.urlopen(
                urllib.request.Request(address, headers=USER_AGENT, method=method), timeout=TIMEOUT
            ):
                return ""
        except urllib.error.HTTPError as error:
            error.close()
            problem = f"answered {error.code} {error.reason}"
        except (OSError, ValueError) as error:  # no such host, refused, timed out, malformed address
            return f"no answer: {getattr(error, 'reason', error)}"
    return problem


def request_all(path: Path) -> int:
    """Request every address, write today's date for those that answer, and return the number of the others."""
    rows, missing = read(path), 0
    for row in rows:
        problem = request(row["address"])
        missing += bool(problem)
        row["last_seen"] = row["last_seen"] if problem else datetime.now(UTC).date().isoformat()
        print(f"{row['address']}: {problem or 'answered'}", flush=True)
    write(path, rows)
    print(f"{len(rows) - missing} of {len(rows)} answered")
    return missing


def own_addresses() -> tuple[str, ...]:
    """Return the prefixes of the project's own addresses, or () if `_config.yml` has no address."""
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["project_address"]
    return (address, address.replace("github.com", "mybinder.org/v2/gh")) if address else ()


@exit_on_input_error
def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m book.links", description="The book's links to other hosts.")
    parser.add_argument("what", choices=["list", "look"], help="write the list, or request its addresses")
    parser.add_argument("--pages", type=Path, default=ROOT / "_build" / "html", help="the built book")
    parser.add_argument("--list", type=Path, default=LIST, help="the list")
    options = parser.parse_args(arguments)
    if options.what == "look":
        return 1 if request_all(options.list) else 0
    if not (options.pages / "index.html").is_file():
        raise InputError(f"{options.pages}: expected a built book: run `make book`")
    write(options.list, update(options.list, external_links(options.pages, ROOT / "README.md", own_addresses())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
