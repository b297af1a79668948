"""Speed and memory of `analyze`: both sides of every ratio are measured in one run, with their provenance.

`python -m benchmarks.analyze --out results/benchmark.csv --readme README.md` writes the table, and a
short form of it into the README. It measures

- `wmgp.analyze` against the published 101 prunes, timed at a few amounts and scaled to 101;
- the first call in a new process, compilation included, and the same call again;
- the peak memory of `wmgp analyze` on a 1 GiB file;
- `import wmgp` against `import numpy`.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

import wmgp
from benchmarks.synthetic_checkpoints import write_checkpoint
from benchmarks.timing import Row, time_fastest, write_table
from wmgp.errors import InputError, exit_on_input_error
from wmgp.experiments import published_method
from wmgp.io.atomic import write_atomic

COLUMNS = ("case", "parameters", "peer", "seconds", "peer_seconds", "ratio", "peak_mib", "run")
AMOUNTS = (0.25, 0.5, 0.75)  # the published method takes about the same time at each
PRUNES = 101
REPEATS = 3


def heavy_tailed(name: str) -> nn.Module:
    """Return a torchvision network with Student-t weights (4 degrees of freedom): trained weights are heavy-tailed."""
    from torchvision import models

    net, rng = getattr(models, name)(), np.random.default_rng(0)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.from_numpy(rng.standard_t(4, tuple(p.shape)) * 0.02))
    return net


def compare_with_published(name: str) -> Row:
    """Return the row of `analyze` against the published prunes of the same network in the same process."""
    net = heavy_tailed(name)
    wmgp.analyze(net)  # compile before timing: the first call is a separate case
    ours, _ = time_fastest(lambda: wmgp.analyze(net), REPEATS)
    theirs = (
        sum(time_fastest(lambda a=a: published_method.front(net, [a]), REPEATS)[0] for a in AMOUNTS)
        / len(AMOUNTS)
        * PRUNES
    )
    n = sum(p.numel() for p in net.parameters())
    return make_row(f"analyze {name}", n, f"published method, {PRUNES} prunes", ours, theirs)


def time_first_call() -> Row:
    """Return the row of a first `analyze` with an empty cache, compilation included, against a second call."""
    code = (
        "import time, numpy as np, wmgp\n"
        "w = {'w.weight': np.random.default_rng(0).standard_normal(10**6, np.float32)}\n"
        "for _ in range(2): t = time.perf_counter(); wmgp.analyze(w); print(time.perf_counter() - t)"
    )
    with tempfile.TemporaryDirectory() as cache:
        first, second = map(float, run_python(code, NUMBA_CACHE_DIR=cache).split())
    return make_row("first call, with compilation", 10**6, "the same call again", first, second)


def time_imports() -> Row:
    """Return the row of `import wmgp` against `import numpy`, each in new processes."""
    ours, theirs = (
        min(float(run_python(f"import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"))
            for _ in range(REPEATS))
        for name in ("wmgp", "numpy")
    )  # fmt: skip
    return make_row("import wmgp", 0, "import numpy", ours, theirs)


def time_gigabyte_file() -> Row:
    """Return the row of `wmgp analyze` on a 1 GiB file (safetensors, float32, 16 tensors), with peak VmHWM (Linux)."""
    n = 1 << 24
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        write_checkpoint(path, "float32", [n] * 16)
        code = (
            "import re, time; from wmgp.cli import _run; t = time.perf_counter(); assert _run(['analyze', "
            f"{str(path)!r}]) == 0; print(time.perf_counter() - t, "
            "int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]) / 1024)"
        )
        seconds, peak = map(float, run_python(code).splitlines()[-1].split())
        start = time.perf_counter()
        with path.open("rb") as file:
            while file.read(1 << 22):
                pass
        reading = time.perf_counter() - start
    return make_row("analyze a 1 GiB file, whole process", 16 * n, "reading the file once", seconds, reading, peak)


def run_python(code: str, **environment: str) -> str:
    """Return the output of code in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout


def make_row(case: str, n: int, peer: str, seconds: float, peer_seconds: float, peak: float = float("nan")) -> Row:
    """Return one row of the table; `ratio` is the peer's seconds divided by ours."""
    return {
        "case": case,
        "parameters": n,
        "peer": peer,
        "seconds": seconds,
        "peer_seconds": peer_seconds,
        "ratio": peer_seconds / seconds,
        "peak_mib": peak,
    }


def markdown_table(table: str) -> str:
    """Return the table's text (CSV) as Markdown for the README."""
    lines = ["| what | parameters | seconds | against | ratio | peak memory |", "|---|---:|---:|---|---:|---:|"]
    for r in csv.DictReader(table.splitlines()):
        peak = "" if r["peak_mib"] == "nan" else f"{float(r['peak_mib']):.0f} MiB"
        parameters = f"{int(r['parameters']):,}" if int(r["parameters"]) else ""
        seconds, ratio = float(r["seconds"]), float(r["ratio"])
        ratio = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.2g}"
        lines.append(f"| {r['case']} | {parameters} | {seconds:.3g} | {r['peer']} | {ratio} | {peak} |")
    return "\n".join(lines)


def insert_table(readme: str, table: str) -> str:
    """Return the README's text with the table between its two marks."""
    before, rest = readme.split("<!-- benchmark -->")
    after = rest.split("<!-- /benchmark -->")[1]
    return f"{before}<!-- benchmark -->\n{markdown_table(table)}\n<!-- /benchmark -->{after}"


def all_rows() -> Iterator[Row]:
    """Yield the rows of all cases, the small ones first."""
    yield time_imports()
    yield time_first_call()
    yield time_gigabyte_file()
    yield compare_with_published("resnet18")
    yield compare_with_published("vgg11_bn")


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.analyze", description="How fast and how small.")
    parser.add_argument("--out", type=Path, default=Path("results", "benchmark.csv"), help="(default: %(default)s)")
    parser.add_argument("--readme", type=Path, help="write the table into this README, between its marks, too")
    options = parser.parse_args(arguments)
    out = options.out
    if not out.parent.is_dir():
        raise InputError(f"{out}: expected a file in an existing folder")
    start, rows = time.perf_counter(), []
    for found in all_rows():
        rows.append(found)
        print(f"{found['case']:40} {found['seconds']:10.4f} s   {found['peer']}: {found['ratio']:.4g} times as long")
    settings = {"benchmark": "best of 3, both sides in one run", "seed": 0}
    table = write_table(out, rows, COLUMNS, settings, "python -m benchmarks.analyze", time.perf_counter() - start)
    if options.readme:
        write_atomic(options.readme, insert_table(options.readme.read_text(encoding="utf-8"), table).encode())


if __name__ == "__main__":
    main()
