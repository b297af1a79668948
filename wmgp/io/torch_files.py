"""Load files that torch.save wrote, without running code."""

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

from ..errors import InputError
from .pickled_objects import explain
from .safetensors_files import CHANGED_WHILE_READ, file_identity
from .torch_archive import DAMAGED, check_archive, check_protocol
from .unsupported import HEAD_BYTES

MAX_IN_MEMORY = 1 << 30  # bytes; larger files are mapped
LEGACY_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")  # torch.save wrote this first, before version 1.6
MAGIC_END = 32  # the magic number lies before this byte, in all protocols


def load_torch(path: Path, max_in_memory: int = MAX_IN_MEMORY) -> Any:
    """The object in a torch file, on the CPU. Never runs the file's code.

    Files of up to `max_in_memory` bytes are read into memory, and their checksums verified, so that later changes of
    the file do no harm. Larger files are memory-mapped if their format allows it.
    """
    identity = file_identity(path)
    in_memory, zipped = path.stat().st_size <= max_in_memory, is_zip(path)
    if zipped:
        check_archive(path, checksums=in_memory)
    else:
        _check_legacy_protocol(path)
    import torch

    # torch takes a file with the suffix .safetensors for that format.
    mapped = zipped and not in_memory and path.suffix.lower() != ".safetensors"
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # torch's advice to the author of the file
            loaded = torch.load(path if mapped else file, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: {_explain_refusal(path, error)}") from error
    except OSError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: not enough memory to read it, or it is damaged") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"{path}: {DAMAGED}") from error
    if file_identity(path) != identity:
        raise InputError(f"{path}: {CHANGED_WHILE_READ}")
    return loaded


def _check_legacy_protocol(path: Path) -> None:
    """Raise InputError if a file in torch's old format has a pickle protocol that torch does not read."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if LEGACY_MAGIC in head[:MAGIC_END]:
        check_protocol(path, head)


def is_zip(path: Path) -> bool:
    """Return True if the file is a zip archive, as torch.save writes since version 1.6 (before: a pickle)."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _explain_refusal(path: Path, error: pickle.UnpicklingError) -> str:
    """The reason why torch did not unpickle a file, and what to save instead, in one line."""
    needed = re.search(r"GLOBAL (\S+)", str(error))
    reason = f"refused: reading it would run code{f' ({needed[1]})' if needed else ''}"
    if advice := explain(path):
        return f"{reason}; {advice}"
    if needed:
        return f"{reason}; if you trust it, load it with torch.load(PATH, weights_only=False) and save its state_dict"
    return f"{reason}; expected a state_dict saved with torch.save's defaults (or it is damaged)"
