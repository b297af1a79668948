"""Arrays with how they came about beside them, and files that one process at a time may change."""

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
    """Write arrays to `path` (.npz), and how they came about to the .json beside it."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    write_atomic(path, file.getvalue())
    write_atomic(Path(path).with_suffix(".json"), json.dumps(facts, indent=1, allow_nan=False).encode() + b"\n")


def read_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `write_arrays` wrote: the arrays, and how they came about. InputError where either file is none of it."""
    path = Path(path)
    used_files.record(path)
    try:
        with path.open("rb") as file, np.load(file) as archive:  # left open where it is none, had numpy opened it
            arrays = {name: archive[name] for name in archive.files}
        return arrays, json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: expected recorded arrays, with a .json file beside them ({error})") from error


@contextmanager
def locked(path: str | Path) -> Generator[io.FileIO, None, None]:
    """`path` open for reading and appending, made where absent, and held against other processes meanwhile."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with io.FileIO(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
