"""Building the book for tests, and what its pages are."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ["book", "notebooks", "results", "README.md", "_config.yml", "_toc.yml"]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


def build(folder: Path) -> Path:
    """Build the book in ``folder`` with warnings as errors; returns the folder of its pages."""
    command = [Path(sys.executable).with_name("jupyter-book"), "build", ".", "-W", "-n", "--keep-going"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"})
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return folder / "_build" / "html"


def copy_sources(folder: Path) -> Path:
    """A clean copy of what the book is built from."""
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


def documents() -> list[str]:
    """The pages that the table of contents names."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


def html_files(pages: Path) -> list[Path]:
    """Every page but the first, which only leads to the home page."""
    files = sorted(f for f in pages.rglob("*.html") if "_static" not in f.parts and f != pages / "index.html")
    assert len(files) >= len(documents())
    return files
