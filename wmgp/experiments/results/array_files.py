"""Array files with their provenance, and file locks."""

import fcntl
import io
import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ...errors import InputError
from ...io.atomic import write_atomic
from . import used_files


def write_arrays(path: str | Path, arrays: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write arrays to `path` (.npz), and their provenance `facts` to the .json beside it."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    write_atomic(path, file.getvalue())
    write_atomic(Path(path).with_suffix(".json"), json.dumps(facts, indent=1, allow_nan=False).encode() + b"\n")


def read_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and facts of `write_arrays`. Raises InputError if either file is missing or invalid."""
    path = Path(path)
    used_files.record(path)
    try:
        with path.open("rb") as file, np.load(file) as archive:  # np.load would leave an invalid file open
            arrays = {name: archive[name] for name in archive.files}
        return arrays, json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: expected recorded arrays, with a .json file beside them ({error})") from error


@contextmanager
def locked(path: str | Path) -> Generator[io.FileIO, None, None]:
    """Open `path` for reading and appending, create it if missing, and lock it against other processes."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with io.FileIO(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
