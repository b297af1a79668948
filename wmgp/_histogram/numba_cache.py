"""A place for what numba compiles, where it would find none and give up."""

import os
import sys


def ensure_cache_dir() -> None:
    """Where neither this package's folder nor the user's own can be written to, let numba have another.

    That one is for this process and its children: in a folder that others can write to they could place code.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    package = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__pycache__")
    users = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if _writable(package) or _writable(os.path.join(os.path.abspath(users), "numba")):
        return
    import atexit
    import shutil
    import tempfile

    try:
        folder = tempfile.mkdtemp(prefix="wmgp-numba-")
    except OSError:  # then there is no place at all
        return
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder
    if numba := sys.modules.get("numba"):  # it has read the environment already
        numba.config.CACHE_DIR = folder


def _writable(folder: str) -> bool:
    """Whether a folder is there to write to, or could be made."""
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)
