"""Atomic writes: each file is written in a temporary folder beside its destination, then renamed into place."""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

LOCKED_PREFIX = ".wmgp-"  # of a staging folder's name
UNLOCKED_PREFIX = ".wmgp."  # until the folder is locked, so that no other run removes it as abandoned
BACKUP_NAME = "replaced"  # in a staging folder: the old output, until the new output is in place


@contextmanager
def staging_dir(parent: Path) -> Generator[Path, None, None]:
    """Create a hidden temporary folder in ``parent`` and remove it at the end.

    Each run locks its folder, and the system releases the lock when the process dies. Folders that a killed run left
    are removed at the start, unless they hold the only copy of a replaced output. On systems that cannot lock folders,
    the folders of other runs stay. Raises OSError if ``parent`` is not writable.
    """
    for folder in parent.glob(f"{LOCKED_PREFIX}*"):
        with _locked(folder) as is_abandoned:
            if is_abandoned and not (folder / BACKUP_NAME).exists():
                shutil.rmtree(folder, ignore_errors=True)
    unlocked = Path(tempfile.mkdtemp(dir=parent, prefix=UNLOCKED_PREFIX))
    with _locked(unlocked):
        staging = unlocked.rename(parent / (LOCKED_PREFIX + unlocked.name.removeprefix(UNLOCKED_PREFIX)))
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def write_atomic(path: str | Path, data: bytes) -> None:
    """Write `path` completely or not at all, also if other processes write it; create its folder if missing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with staging_dir(path.parent) as staging:
        new = staging / path.name
        new.write_bytes(data)
        os.replace(new, path)


@contextmanager
def _locked(folder: Path) -> Generator[bool, None, None]:
    """Try to hold a folder's lock; yield True if this process holds it."""
    descriptor = _lock(folder)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(folder: Path) -> int | None:
    """A file descriptor that holds the folder's lock until it is closed; None if the lock is not available."""
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
