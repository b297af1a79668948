"""The recorded results that this process has read. `notebooks/run.py` writes them into a notebook's metadata."""

import os
from pathlib import Path

names: set[str] = set()


def record(path: str | Path) -> None:
    """Record a file `.../results/NAME` or `.../results/NAME/...` as NAME; ignore files outside a folder `results`."""
    _, found, inside = Path(os.path.abspath(path)).as_posix().rpartition("/results/")
    if found:
        names.add(inside.partition("/")[0])
