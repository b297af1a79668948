"""Files that are whole or absent: a folder to write in, beside what is to be written, gone when all is over."""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

USED = ".wmgp-"  # how the name of such a folder begins
MADE = ".wmgp."  # and until it is locked, so that no other run takes it for abandoned
REPLACED = "replaced"  # where what is written over is kept in it until the new is in its place


@contextmanager
def staging_dir(parent: Path) -> Generator[Path, None, None]:
    """A new hidden folder in ``parent``, removed at the end; one that a killed run left there is removed at the start.

    Whoever writes in such a folder holds a lock on it, which the system lets go when the process dies. Where folders
    cannot be locked, those of other runs stay; so does one that holds the only copy of what was to be replaced.
    Raises OSError where ``parent`` cannot be written to.
    """
    for left in parent.glob(f"{USED}*"):
        with _locked(left) as abandoned:
            if abandoned and not (left / REPLACED).exists():
                shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(dir=parent, prefix=MADE))
    with _locked(made):
        used = made.rename(parent / (USED + made.name.removeprefix(MADE)))
        try:
            yield used
        finally:
            shutil.rmtree(used, ignore_errors=True)


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write `path` whole or not at all, whoever else writes it meanwhile; its folder is made where there is none."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with staging_dir(path.parent) as aside:
        new = aside / path.name
        new.write_bytes(data)
        os.replace(new, path)


@contextmanager
def _locked(folder: Path) -> Generator[bool, None, None]:
    """Hold a folder's lock, if it can be had; whether it was."""
    held = _lock(folder)
    try:
        yield held is not None
    finally:
        if held is not None:
            os.close(held)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock until it is closed; None where that cannot be had."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
