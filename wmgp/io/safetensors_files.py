"""Safetensors files, mapped into memory: a tensor's values are read only when needed."""

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

# safetensors' dtype names -> numpy's (for bfloat16 and float8, torch's). Other dtypes keep safetensors' name.
DTYPE_NAMES: dict[str, str] = {
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "BF16": "bfloat16", "BOOL": "bool", "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
}  # fmt: skip
BITS_DTYPES = {"float64": "<u8", "float32": "<u4", "float16": "<u2", "bfloat16": "<u2"}

# Part of an error message of the safetensors library -> the reason in plain words.
PLAIN_REASONS = {
    "not fully covered": "the file is shorter or longer than its header promises; it may be truncated",
    "invalid header length": "the header's length points beyond the end of the file; it may be truncated",
    "header too large": "the header's length is absurdly large",
    "header too small": "the file ends before its header",
    "invalid offset": "the tensors' offsets overlap or leave gaps",
}
RELEASED_BYTES = 1 << 20  # freed at a time: a system call for each of many small tensors takes longer than reading it
CHANGED_WHILE_READ = "the file was changed while it was read"
interrupted = threading.Event()  # set by the command line, to stop the threads that read


def file_identity(file: Path | int) -> tuple[int, ...]:
    """Device, inode, size and modification time of a path or descriptor: they differ if the file was changed."""
    status = os.stat(file)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class MappedFile:
    """A file mapped into memory, readable until the file changes.

    Reading a mapped page that a truncation removed would kill the process, so the file is checked before every read.
    """

    def __init__(self, path: Path):
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)
        self.identity = file_identity(self.descriptor)
        self.bytes = mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_READ)
        # Bytes to release. Threads may overwrite each other's: their memory is freed later, and no value is lost.
        self.pending, self.n_pending = (0, 0), 0

    def check_unchanged(self) -> None:
        """Raise InputError if the file has changed since it was opened."""
        if interrupted.is_set():
            raise KeyboardInterrupt
        if file_identity(self.descriptor) != self.identity:
            raise InputError(f"{self.path}: {CHANGED_WHILE_READ}")

    def view(self, dtype: np.dtype, n: int, offset: int) -> np.ndarray:
        """A read-only view of n values, starting at this byte."""
        self.check_unchanged()
        return np.frombuffer(self.bytes, dtype, n, offset)

    def release(self, offset: int, nbytes: int) -> None:
        """Free the memory of these bytes, together with others if they are few; they can be read again."""
        start, stop = self.pending
        start, stop = (min(start, offset), max(stop, offset + nbytes)) if stop else (offset, offset + nbytes)
        self.n_pending += nbytes
        if self.n_pending < RELEASED_BYTES:
            self.pending = start, stop
            return
        self.pending, self.n_pending = (0, 0), 0
        if hasattr(mmap, "MADV_DONTNEED"):
            page_start = start - start % mmap.PAGESIZE
            self.bytes.madvise(mmap.MADV_DONTNEED, page_start, stop - page_start)


@dataclass(frozen=True)
class MappedTensor:
    """A tensor in a mapped file. ``offset`` and ``nbytes`` are in bytes, from the start of the file at ``path``.

    ``dtype`` is numpy's name ("float32", "int64", ...), or torch's for "bfloat16" and float8.
    """

    path: Path
    offset: int
    nbytes: int
    shape: tuple[int, ...]
    dtype: str
    file: MappedFile = field(repr=False, compare=False)

    @property
    def n(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def bits(self, start: int, stop: int) -> UInt[np.ndarray, " n"]:
        """Values start to stop in the file's order, as unsigned integers of their width (16, 32 or 64 bits).

        A read-only view, or a copy if the file does not align the values. For the floating dtypes in BITS_DTYPES.
        """
        dtype = np.dtype(BITS_DTYPES[self.dtype])
        view = self.file.view(dtype, stop - start, self.offset + start * dtype.itemsize)
        return view if view.flags.aligned else view.copy()

    def release(self) -> None:
        """Free the memory of the values read so far; they can be read again."""
        self.file.release(self.offset, self.nbytes)

    def tensor(self) -> "Tensor":
        """A copy as a torch tensor of the same shape and dtype (this imports torch)."""
        import torch

        values = torch.empty(self.shape, dtype=getattr(torch, self.dtype))
        stored_bytes = self.file.view(np.dtype(np.uint8), self.nbytes, self.offset)
        values.view(-1).view(torch.uint8).numpy()[:] = stored_bytes
        self.file.check_unchanged()
        return values


def read_safetensors(path: Path) -> dict[str, MappedTensor]:
    """The tensors of one safetensors file, in its header's order. Raises InputError if the library rejects the file."""
    from safetensors import SafetensorError, safe_open

    identity = file_identity(path)
    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        reason = next((plain for words, plain in PLAIN_REASONS.items() if words in str(error)), str(error))
        raise InputError(f"{path}: not a valid safetensors file: {reason}") from error
    file = MappedFile(path)
    if file.identity != identity:
        raise InputError(f"{path}: {CHANGED_WHILE_READ}")
    data_start = 8 + int.from_bytes(file.bytes[:8], "little")
    try:
        header = json.loads(file.bytes[8:data_start].decode("utf-8"), object_pairs_hook=dict_without_duplicates)
    except ValueError as error:
        raise InputError(f"{path}: not a valid safetensors file: {error}") from error
    header.pop("__metadata__", None)
    return {name: _mapped_tensor(file, data_start, name, entry) for name, entry in header.items()}


def dict_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict. Raises ValueError for a duplicate name, because its value would be ambiguous."""
    unique = dict(pairs)
    if len(unique) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return unique


def _mapped_tensor(file: MappedFile, data_start: int, name: str, entry: dict[str, Any]) -> MappedTensor:
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    # An empty tensor may have sizes that no file could hold; the library checks only the others.
    if math.prod(size for size in shape if size) >= 1 << 63:
        raise InputError(f"{file.path}: the tensor {name!r} has an absurd shape: {list(shape)}")
    dtype = DTYPE_NAMES.get(entry["dtype"]) or entry["dtype"]
    return MappedTensor(file.path, data_start + begin, end - begin, shape, dtype, file)
