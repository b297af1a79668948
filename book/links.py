"""The book's links to other hosts, in `book/external-links.csv`: address, where it stands, when it was last seen.

`python -m book.links list` writes the list anew from the book in `_build/html` and from the README; the dates of
addresses that stay are kept. `python -m book.links look` asks every address for an answer and writes today's date
beside those that give one. A date that is empty says that nobody has looked.
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

from wmgp.errors import InputError, command_line
from wmgp.io.atomic import write_atomic

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "book" / "external-links.csv"
COLUMNS = ["address", "used_in", "last_seen"]
AGENT = {"User-Agent": "Mozilla/5.0 (compatible; wmgp-links/1)"}  # some hosts refuse urllib by its name
SECONDS = 20


class Anchors(HTMLParser):
    """The addresses that a page's links lead to."""

    def __init__(self, text: str):
        super().__init__()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the address of an anchor."""
        if tag == "a":
            self.addresses += [value for name, value in attrs if name == "href" and value]


def external(pages: Path, readme: Path, own: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Where each external address stands: pages and README, by address. What starts as `own` does is not external."""
    links = {str(page.relative_to(pages)): Anchors(page.read_text()).addresses for page in pages.rglob("*.html")}
    links["README.md"] = re.findall(r"\]\((https?:[^)\s]+)\)", readme.read_text())
    found: dict[str, set[str]] = {}
    for place, addresses in links.items():
        for address in addresses:
            if re.match("https?://", address) and not address.startswith(own):
                found.setdefault(address, set()).add(place)
    return {address: sorted(found[address]) for address in sorted(found)}


def read(path: Path) -> list[dict[str, str]]:
    """The list's rows. InputError where it is no such list."""
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
    """Whether the text is a date as the list has it."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """Write the list whole, or not at all."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomic(path, text.getvalue().encode())


def renew(path: Path, found: dict[str, list[str]]) -> list[dict[str, str]]:
    """The list's rows for the links found, with the dates of those that were there."""
    seen = {row["address"]: row["last_seen"] for row in read(path)} if path.is_file() else {}
    return [{"address": a, "used_in": " ".join(places), "last_seen": seen.get(a, "")} for a, places in found.items()]


def look(address: str) -> str:
    """Nothing where the address answers; otherwise what went wrong. A host that refuses HEAD is asked once more."""
    wrong = ""
    for method in ("HEAD", "GET"):
        try:
            with urllib.request.urlopen(urllib.request.Request(address, headers=AGENT, method=method), timeout=SECONDS):
                return ""
        except urllib.error.HTTPError as error:
            error.close()
            wrong = f"answered {error.code} {error.reason}"
        except (OSError, ValueError) as error:  # no such host, refused, too slow, no address at all
            return f"no answer: {getattr(error, 'reason', error)}"
    return wrong


def look_all(path: Path) -> int:
    """Look every address up, and write the day beside those that answer; returns how many did not."""
    rows, missing = read(path), 0
    for row in rows:
        wrong = look(row["address"])
        missing += bool(wrong)
        row["last_seen"] = row["last_seen"] if wrong else datetime.now(UTC).date().isoformat()
        print(f"{row['address']}: {wrong or 'seen'}", flush=True)
    write(path, rows)
    print(f"{len(rows) - missing} of {len(rows)} seen")
    return missing


def own_addresses() -> tuple[str, ...]:
    """What the project's own addresses begin with, if `_config.yml` has its address."""
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["project_address"]
    return (address, address.replace("github.com", "mybinder.org/v2/gh")) if address else ()


@command_line
def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m book.links", description="The book's links to other hosts.")
    parser.add_argument("what", choices=["list", "look"], help="write the list anew, or look its addresses up")
    parser.add_argument("--pages", type=Path, default=ROOT / "_build" / "html", help="the built book")
    parser.add_argument("--list", type=Path, default=LIST, help="the list")
    told = parser.parse_args(arguments)
    if told.what == "look":
        return 1 if look_all(told.list) else 0
    if not (told.pages / "index.html").is_file():
        raise InputError(f"{told.pages}: expected a built book: run `make book`")
    write(told.list, renew(told.list, external(told.pages, ROOT / "README.md", own_addresses())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
