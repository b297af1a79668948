"""Speed of the book's page that analyses a checkpoint, against the package: same files, same core, one run.

`python -m benchmarks.browser --out results/benchmark_browser.csv` writes a file of normal values for each number
format. It times the page's scripts in headless Chromium and `wmgp.analyze`, both on the same core.
"""

import argparse
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import wmgp
from benchmarks.synthetic_checkpoints import DTYPES, write_checkpoint
from benchmarks.timing import Row, time_fastest, write_table
from wmgp.errors import InputError, exit_on_input_error

COLUMNS = (
    *("dtype", "parameters", "browser_seconds", "native_seconds", "browser_millions", "native_millions"),
    *("ratio", "run"),
)
SCRIPTS_FOLDER = Path(__file__).parents[1] / "book" / "_static" / "analyze"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
N_TENSORS = 16
FLOAT64_VALUES = 1 << 22  # fewer, because both sides sort float64 values, which is slow
ANALYZE_SCRIPT = """async () => {
    const files = [...document.querySelector("input").files];
    const start = performance.now();
    const report = await wmgp.analyzeInWorker(files, "weight_bias", () => {}).done;
    return {seconds: (performance.now() - start) / 1000, amount: report.optimal.amount, cosine: report.optimal.cosine};
}"""


def page_scripts() -> list[Path]:
    """Return the page's scripts that compute, in the page's loading order. InputError outside a checkout."""
    page = SCRIPTS_FOLDER / "page.html"
    if not page.is_file():
        raise InputError(f"{page}: not found; the page's scripts are in a checkout only")
    names = re.findall(r'<script defer src="[^"]*/analyze/([\w.]+)">', page.read_text(encoding="utf-8"))
    return [SCRIPTS_FOLDER / name for name in names[: names.index("worker.js") + 1]]


@contextmanager
def one_core() -> Generator[None, None, None]:
    """Restrict this process and its child processes to a single core within the context, if the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def chromium() -> Generator[Any, None, None]:
    """Yield headless Chromium: playwright's or the system's. Raises InputError if neither is installed."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise InputError("playwright: not installed; it drives the browser (pip install playwright)") from error
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = own if Path(own).is_file() else next(filter(None, map(shutil.which, BROWSERS)), None)
        if found is None:
            raise InputError(f"no browser is installed: none of {', '.join(BROWSERS)} is on the path")
        browser = playwright.chromium.launch(executable_path=found, args=CHROMIUM_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def minimal_page(folder: Path) -> Path:
    """Write a page with the scripts that compute and a file input, and return its path; it is opened from disk."""
    tags = "".join(f'<script src="{script.as_uri()}"></script>' for script in page_scripts())
    path = folder / "bare.html"
    path.write_text(f'<!doctype html><meta charset="utf-8"><input type="file" multiple>{tags}', encoding="utf-8")
    return path


def measure_dtype(page: Any, dtype: str, n: int, repeats: int, folder: Path) -> Row:
    """Return a row: the fastest of `repeats` runs of each side on one file. InputError if their results differ."""
    path = folder / f"{dtype}.safetensors"
    n = n // N_TENSORS * N_TENSORS
    write_checkpoint(path, dtype, [n // N_TENSORS] * N_TENSORS)
    page.set_input_files("input", str(path))
    answers = [page.evaluate(ANALYZE_SCRIPT) for _ in range(repeats + 1)][1:]  # without the warm-up run
    seconds = min(answer["seconds"] for answer in answers)
    wmgp.analyze(path)
    native, ours = time_fastest(lambda: wmgp.analyze(path), repeats)
    path.unlink()
    if (answers[0]["amount"], round(answers[0]["cosine"], 9)) != (ours.optimal.amount, round(ours.optimal.cosine, 9)):
        raise InputError(f"{dtype}: the page answers {answers[0]}, the package {ours.optimal}")
    return {
        "dtype": dtype, "parameters": n, "browser_seconds": seconds, "native_seconds": native,
        "browser_millions": n / seconds / 1e6, "native_millions": n / native / 1e6, "ratio": seconds / native,
    }  # fmt: skip


@exit_on_input_error
def main(arguments: Iterable[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.browser", description="The page, timed.")
    out = Path("results/benchmark_browser.csv")
    parser.add_argument("--out", type=Path, default=out, help="(default: %(default)s)")
    parser.add_argument("--dtypes", nargs="+", default=list(DTYPES), choices=DTYPES, help="(default: all)")
    parser.add_argument("--parameters", type=int, default=1 << 27, help="values of a file (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="(default: %(default)s)")
    chosen = parser.parse_args(None if arguments is None else list(arguments))
    began, rows = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as name, one_core(), chromium() as browser:
        page, version = browser.new_page(), browser.version
        page.goto(minimal_page(Path(name)).as_uri())
        for dtype in chosen.dtypes:
            n = min(chosen.parameters, FLOAT64_VALUES) if dtype == "float64" else chosen.parameters
            rows.append(measure_dtype(page, dtype, n, chosen.repeats, Path(name)))
            said = "{dtype:9} {browser_millions:6.0f} million values a second, {ratio:.1f} times as long as wmgp"
            print(said.format(**rows[-1]), flush=True)
    settings = {
        "benchmark": f"fastest of {chosen.repeats} runs after a first, the same file and the same core for both sides",
        "browser": f"Chromium {version}",
        "scripts_sha256": hashlib.sha256(b"\n".join(path.read_bytes() for path in page_scripts())).hexdigest(),
        "device": "cpu",
        "seed": 0,
    }
    write_table(chosen.out, rows, COLUMNS, settings, "python -m benchmarks.browser", time.perf_counter() - began)


if __name__ == "__main__":
    main()
