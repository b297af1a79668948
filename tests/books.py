"""Builds of the book for tests: the whole book once, or a small book around one page; and a browser."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ["book", "notebooks", "results", "README.md", "CONTRIBUTING.md", "_config.yml", "_toc.yml"]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


def build(folder: Path) -> Path:
    """Build the book in ``folder`` with warnings as errors; return the folder of its pages."""
    command = [Path(sys.executable).with_name("jupyter-book"), "build", ".", "-W", "-n", "--keep-going"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"})
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return folder / "_build" / "html"


def copy_sources(folder: Path) -> Path:
    """Copy the sources of the book to a folder and return it."""
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def plain(tmp_path_factory) -> Path:
    """The pages of the whole book, built from the committed notebooks."""
    return build(copy_sources(tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = next(filter(None, map(shutil.which, BROWSERS)), own if Path(own).is_file() else None)
        if found is None:
            pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)} is on the path")
        browser = playwright.chromium.launch(executable_path=found, args=QUIET)
        yield browser
        browser.close()


def small_book(folder: Path, text: str, address: str = "") -> Path:
    """Write a book with the project's settings whose first page is a notebook with one cell of text."""
    (folder / "results").mkdir()
    (folder / "book").mkdir()
    for name in ("_ext", "_static"):
        shutil.copytree(ROOT / "book" / name, folder / "book" / name)
    (folder / "book" / "references.bib").touch()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "page.ipynb")
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    config["sphinx"]["config"]["project_address"] = address
    (folder / "_config.yml").write_text(json.dumps(config))
    # sphinx-notfound-page fails in a book with an empty table of contents.
    (folder / "second.md").write_text("# Second page\n")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: page\nchapters: [{file: second}]\n")
    return folder


def documents() -> list[str]:
    """Return the pages in the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


def html_files(pages: Path) -> list[Path]:
    """Return every page except index.html, which redirects to the home page."""
    files = sorted(f for f in pages.rglob("*.html") if "_static" not in f.parts and f != pages / "index.html")
    assert len(files) >= len(documents())
    return files
