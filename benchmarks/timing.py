"""Shared by the benchmarks: timers, and a table with its provenance."""

import csv
import io
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from wmgp.experiments.results.provenance import keep_runs, record_run
from wmgp.io.atomic import write_atomic

CPU = torch.device("cpu")
Row = dict[str, Any]  # of a benchmark's table: column -> cell


def time_work(work: Callable[[], object], device: torch.device = CPU) -> float:
    """Return the seconds of the work, until it ends on the device."""
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def time_fastest(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the seconds of the fastest of `repeats` runs, and its result."""
    best, found = float("inf"), None
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        took = time.perf_counter() - start
        if took < best:
            best, found = took, result
    return best, found


def csv_table(rows: Iterable[Mapping[str, Any]], run: str, columns: Sequence[str]) -> str:
    """Return the rows as CSV, floats with six significant digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = ({**row, "run": run}[name] for name in columns)
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells])
    return out.getvalue()


def write_table(
    out: Path,
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    settings: Mapping[str, Any],
    command: str,
    took: float,
) -> str:
    """Replace a benchmark's table and its provenance beside it; return the table's text.

    `settings` decide the result, `command` (without --out) runs the benchmark again, `took` is the wall time in
    seconds.
    """
    measured = datetime.now(UTC).isoformat()  # each measurement is a run, even with equal settings
    run = record_run(out, {**settings, "measured": measured}, f"{command} --out results/{out.name}", took)
    text = csv_table(rows, run, columns)
    write_atomic(out, text.encode())
    keep_runs(out, [run])
    return text
