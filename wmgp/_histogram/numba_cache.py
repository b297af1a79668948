"""A cache folder for numba's compiled code, because numba raises an error if it cannot write its cache anywhere."""

import os
import sys


def ensure_cache_dir() -> None:
    """Give numba a temporary cache folder if neither the package's folder nor the user's cache is writable.

    The folder is private to this process and its children: in a shared folder, other users could place code.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    package_cache = os.path.join(os.path.dirname(os.path.abspath(__file__)), "__pycache__")
    user_cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if _is_writable(package_cache) or _is_writable(os.path.join(os.path.abspath(user_cache), "numba")):
        return
    import atexit
    import shutil
    import tempfile

    try:
        folder = tempfile.mkdtemp(prefix="wmgp-numba-")
    except OSError:  # no writable folder at all
        return
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder
    if numba := sys.modules.get("numba"):  # already imported, and does not read the environment again
        numba.config.CACHE_DIR = folder


def _is_writable(folder: str) -> bool:
    """Return True if files can be created in the folder, or the folder itself can be created."""
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)
