"""Measure how long each notebook takes at its defaults: ``python -m notebooks.times --out results/notebooks.csv``.

A row a notebook and device, with the provenance beside the table; rows of another device are kept.
"""

import argparse
import hashlib
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch

from wmgp.experiments.results.provenance import keep_runs, record_run
from wmgp.io.atomic import write_atomic

from .run import run, sources

COMMAND = "python -m notebooks.times --out results/notebooks.csv"


def measure(device: str) -> pd.DataFrame:
    """Seconds from start to end of every notebook, the start of Python and the imports among them."""
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for source in sources():
            start = time.perf_counter()
            run(source, Path(folder, "out.ipynb"), {"device": device}, progress=True)
            seconds[source.stem] = round(time.perf_counter() - start, 1)
    return pd.DataFrame({"notebook": list(seconds), "device": device, "seconds": list(seconds.values())})


def record(measured: pd.DataFrame, device: str, table: Path) -> None:
    """Put the rows in the table in place of the same device's, with a provenance of their own."""
    rows = pd.read_csv(table) if table.is_file() else measured.assign(run="").head(0)
    rows = rows.loc[rows["device"] != device]
    measured_at = datetime.now(UTC).isoformat()  # a run of its own, even of the same sources
    hashes = {p.stem: hashlib.sha256(p.read_bytes()).hexdigest() for p in sources()}
    mine = record_run(table, {"device": device, "measured": measured_at, **hashes}, COMMAND)
    keep_runs(table, [*rows["run"], mine])
    measured = measured.assign(run=mine)
    rows = pd.concat([rows, measured]).sort_values(["device", "notebook"])
    write_atomic(table, rows.to_csv(index=False, lineterminator="\n").encode())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure how long each notebook takes.")
    parser.add_argument("--out", type=Path, required=True, help="the table to write")
    table = parser.parse_args().out.resolve()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    record(measure(device), device, table)


if __name__ == "__main__":
    main()
