"""Tensors that stay in their safetensors file until their values are asked for."""

import json
import math
import mmap
import os
import threading
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt

from ..errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

# The names safetensors gives to dtypes, and numpy's (for float8, torch's); what is not here keeps the file's name.
DTYPES: dict[str, str] = {
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "BF16": "bfloat16", "BOOL": "bool", "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
}  # fmt: skip
BITS = {"float64": "<u8", "float32": "<u4", "float16": "<u2", "bfloat16": "<u2"}

# The library's words for a broken file, in plainer ones.
BROKEN = {
    "not fully covered": "the file is shorter or longer than its header promises; it may be truncated",
    "invalid header length": "the header's length points beyond the end of the file; it may be truncated",
    "header too large": "the header's length is absurdly large",
    "header too small": "the file ends before its header",
    "invalid offset": "the tensors' offsets overlap or leave gaps",
}
CHANGED = "the file was changed while it was read"
interrupted = threading.Event()  # the command line sets it, so that no thread goes on reading


def file_identity(file: Path | int) -> tuple[int, ...]:
    """What tells whether a file (or what an open descriptor leads to) is still the same: place, size and time."""
    found = os.stat(file)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class MappedFile:
    """A file's bytes, mapped into memory, read only as long as nobody changes the file.

    Touching a page that is no longer there would end the process, so each look at the file is between two at its size.
    """

    def __init__(self, path: Path):
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)
        self.stamp = file_identity(self.descriptor)
        self.bytes = mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_READ)

    def check(self) -> None:
        """Raise InputError where the file is not what it was when it was opened."""
        if interrupted.is_set():
            raise KeyboardInterrupt
        if file_identity(self.descriptor) != self.stamp:
            raise InputError(f"{self.path}: {CHANGED}")

    def view(self, dtype: np.dtype, n: int, offset: int) -> np.ndarray:
        """n values from that byte on, as a read-only view."""
        self.check()
        return np.frombuffer(self.bytes, dtype, n, offset)

    def release(self, offset: int, nbytes: int) -> None:
        """Let the pages of these bytes go."""
        self.check()
        if hasattr(mmap, "MADV_DONTNEED") and nbytes:
            first = offset - offset % mmap.PAGESIZE
            self.bytes.madvise(mmap.MADV_DONTNEED, first, offset + nbytes - first)


@dataclass(frozen=True)
class MappedTensor:
    """A tensor that stays in its file until its values are asked for.

    ``offset`` and ``nbytes`` are bytes in the file at ``path``; ``dtype`` is numpy's name ("float32", "int64", ...), or
    "bfloat16", or torch's for float8.
    """

    path: Path
    offset: int
    nbytes: int
    shape: tuple[int, ...]
    dtype: str
    file: MappedFile = field(repr=False, compare=False)

    @property
    def n(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    def bits(self, start: int, stop: int) -> UInt[np.ndarray, " n"]:
        """Values start..stop, in the file's order, as unsigned integers (uint16, uint32, uint64): a read-only view.

        It is a copy only where the file does not align the values. Floating dtypes of BITS only.
        """
        dtype = np.dtype(BITS[self.dtype])
        view = self.file.view(dtype, stop - start, self.offset + start * dtype.itemsize)
        return view if view.flags.aligned else view.copy()

    def release(self) -> None:
        """Let the tensor's pages go, so that resident memory does not grow with the file; they can be read again."""
        self.file.release(self.offset, self.nbytes)

    def tensor(self) -> "Tensor":
        """A copy as a torch tensor of the same shape and dtype (this imports torch)."""
        import torch

        values = torch.empty(self.shape, dtype=getattr(torch, self.dtype))
        found = self.file.view(np.dtype(np.uint8), self.nbytes, self.offset)
        values.view(-1).view(torch.uint8).numpy()[:] = found
        self.file.check()
        return values


def read_safetensors(path: Path) -> dict[str, MappedTensor]:
    """The tensors of one safetensors file, in its header's order; the library judges whether the file is sound."""
    from safetensors import SafetensorError, safe_open

    before = file_identity(path)
    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        reason = next((plain for words, plain in BROKEN.items() if words in str(error)), str(error))
        raise InputError(f"{path}: not a sound safetensors file: {reason}") from error
    file = MappedFile(path)
    if file.stamp != before:
        raise InputError(f"{path}: {CHANGED}")
    start = 8 + int.from_bytes(file.bytes[:8], "little")
    try:
        header = json.loads(file.bytes[8:start].decode("utf-8"), object_pairs_hook=unique)
    except ValueError as error:
        raise InputError(f"{path}: not a sound safetensors file: {error}") from error
    header.pop("__metadata__", None)
    return {name: _stored(file, start, name, entry) for name, entry in header.items()}


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names are all different, for of two alike nobody knows which is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return found


def _stored(file: MappedFile, start: int, name: str, entry: dict[str, Any]) -> MappedTensor:
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if math.prod(size for size in shape if size) >= 1 << 63:  # of an empty tensor: others fit in their file
        raise InputError(f"{file.path}: the tensor {name!r} has an absurd shape: {list(shape)}")
    return MappedTensor(
        file.path, start + begin, end - begin, shape, DTYPES.get(entry["dtype"]) or entry["dtype"], file
    )
