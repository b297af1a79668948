"""Checkpoint files: known by their content, read tensor by tensor, and never able to run code."""

import json
import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt

from .errors import InputError
from .formats import HEAD, foreign, refuse_packed
from .torchfiles import find_state_dict, load_torch, tensors_of

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

LONGEST_HEADER = 100_000_000  # bytes: the library's limit


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that stays in its file until its values are asked for.

    ``offset`` and ``nbytes`` are bytes in the file at ``path``; ``dtype`` is numpy's name ("float32", "int64", ...), or
    "bfloat16", or torch's for float8.
    """

    path: Path
    offset: int
    nbytes: int
    shape: tuple[int, ...]
    dtype: str
    mapped: mmap.mmap = field(repr=False, compare=False)

    @property
    def n(self) -> int:
        """The number of values."""
        return math.prod(self.shape)

    def bits(self, start: int, stop: int) -> UInt[np.ndarray, " n"]:
        """Values start..stop, in the file's order, as unsigned integers (uint16, uint32, uint64): a read-only view.

        It is a copy only where the file does not align the values. Floating dtypes of BITS only.
        """
        dtype = np.dtype(BITS[self.dtype])
        view = np.frombuffer(self.mapped, dtype, stop - start, self.offset + start * dtype.itemsize)
        return view if view.flags.aligned else view.copy()

    def release(self) -> None:
        """Let the tensor's pages go, so that resident memory does not grow with the file; they can be read again."""
        if hasattr(mmap, "MADV_DONTNEED") and self.nbytes:
            first = self.offset - self.offset % mmap.PAGESIZE
            self.mapped.madvise(mmap.MADV_DONTNEED, first, self.offset + self.nbytes - first)

    def tensor(self) -> "Tensor":
        """A copy as a torch tensor of the same shape and dtype (this imports torch)."""
        import torch

        values = torch.empty(self.shape, dtype=getattr(torch, self.dtype))
        values.view(-1).view(torch.uint8).numpy()[:] = np.frombuffer(self.mapped, np.uint8, self.nbytes, self.offset)
        return values


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint: ``tensors`` by name in the file's order, of every dtype: StoredTensor, or torch's Tensor.

    ``format`` is "safetensors", "torch", or one of them after "sharded"; ``key`` is where a torch file nests the
    state dict (None at its top level); ``files`` are the files the tensors came from and ``index`` the shards' index.
    """

    path: Path
    format: str
    tensors: Mapping[str, Any]
    key: str | None = None
    files: tuple[Path, ...] = ()
    index: Path | None = None


def open_checkpoint(path: str | Path, key: str | None = None) -> Checkpoint:
    """Open a safetensors file, a file that torch.save wrote, an index of shards of either, or a folder of shards.

    ``key`` says where a torch file nests its state dict. Torch files are read with ``weights_only=True`` and cannot
    run code. Raises InputError, in one line that names the file, for whatever is not such a checkpoint.
    """
    path = Path(path)
    try:
        checkpoint = _open(path, key)
        refuse_packed(path, checkpoint.tensors)
        return checkpoint
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _open(path: Path, key: str | None) -> Checkpoint:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    kind = "folder" if path.is_dir() else _kind(path)
    if kind == "torch":
        state, key = find_state_dict(path, load_torch(path), key)
        return Checkpoint(path, "torch", tensors_of(state), key, (path,))
    if key is not None:
        raise InputError(f"{path}: a key chooses a state dict in a torch file; this is not one")
    if kind == "safetensors":
        return Checkpoint(path, kind, _read_safetensors(path), files=(path,))
    return _read_folder(path) if kind == "folder" else _read_index(path, path)


def _kind(path: Path) -> str:
    """What the file holds, by its first bytes: "safetensors", "torch" or "index"."""
    if not path.is_file():
        raise InputError(f"{path}: neither a file nor a folder")
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise InputError(f"{path}: the file is empty")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"{") and b"\0" not in head[:8] and _weight_map(path) is not None:
        return "index"
    # Before the others: the header's length, in front of it, may look like their first bytes.
    sensible = int.from_bytes(head[:8], "little") <= LONGEST_HEADER
    if head[8:9] == b"{" and (sensible or foreign(path, head) is None):
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "torch"
    guess = foreign(path, head)
    looks = f"it looks like {guess}" if guess else f"it begins with {head[:8]!r}"
    raise InputError(f"{path}: not a checkpoint (safetensors, an index of shards, or a file of torch.save): {looks}")


def _read_safetensors(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one safetensors file, in its header's order; the library judges whether the file is sound."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        reason = next((plain for words, plain in BROKEN.items() if words in str(error)), str(error))
        raise InputError(f"{path}: not a sound safetensors file: {reason}") from error
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    header.pop("__metadata__", None)
    return {
        name: StoredTensor(
            path, start + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0],
            tuple(entry["shape"]), DTYPES.get(entry["dtype"]) or entry["dtype"], mapped,
        )
        for name, entry in header.items()
    }  # fmt: skip


def _weight_map(path: Path) -> dict[str, str] | None:
    """The tensor -> file table of an index of shards; None where the file is no such index."""
    try:
        table = json.loads(path.read_bytes())["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return table if isinstance(table, dict) and all(isinstance(name, str) for name in table.values()) else None


def _read_index(index: Path, path: Path) -> Checkpoint:
    """The shards that an index names, all of them beside it; ``path`` is what the user called it."""
    table = _weight_map(index)
    if table is None:
        raise InputError(f"{index}: not an index of shards: it has no weight_map of tensor names to file names")
    shards: dict[str, dict[str, StoredTensor | Tensor]] = {}
    for file in dict.fromkeys(table.values()):
        pure = PureWindowsPath(file)  # knows both kinds of slashes, and drives
        if not file or pure.anchor or ".." in pure.parts:
            raise InputError(f"{index}: the shard {file!r} is not inside the index's folder")
        shard = index.parent / file
        if not shard.is_file():
            raise InputError(f"{index}: the shard {file!r} is missing")
        shards[file] = _read_shard(shard)
    for name, file in table.items():
        if name not in shards[file]:
            raise InputError(f"{index}: the tensor {name!r} is promised in {file!r}, which does not have it")
    tensors = {name: shards[file][name] for name, file in table.items()}
    stored = all(isinstance(tensor, StoredTensor) for tensor in tensors.values())
    kind = "sharded safetensors" if stored else "sharded torch"
    return Checkpoint(path, kind, tensors, None, tuple(index.parent / f for f in shards), index)


def _read_shard(shard: Path) -> "dict[str, StoredTensor | Tensor]":
    """The tensors of one of the files that an index names."""
    kind = _kind(shard)
    if kind == "index":
        raise InputError(f"{shard}: an index's shards must hold tensors; this is another index")
    if kind == "safetensors":
        return dict(_read_safetensors(shard))
    return dict(tensors_of(find_state_dict(shard, load_torch(shard), None)[0]))


def _read_folder(folder: Path) -> Checkpoint:
    """A folder's index of shards or, without one, all its safetensors files."""
    indices = sorted(folder.glob("*.safetensors.index.json")) or sorted(folder.glob("*.index.json"))
    if len(indices) > 1:
        raise InputError(f"{folder}: several indices; name one of {', '.join(i.name for i in indices)}")
    if indices:
        return _read_index(indices[0], folder)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder}: the folder has no *.index.json and no *.safetensors; name a torch file itself")
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        if _kind(file) != "safetensors":
            raise InputError(f"{file}: not a safetensors file")
        for name, tensor in _read_safetensors(file).items():
            if name in tensors:
                raise InputError(f"{folder}: the tensor {name!r} is in both {tensors[name].path.name} and {file.name}")
            tensors[name] = tensor
    return Checkpoint(folder, "sharded safetensors", tensors, None, tuple(files))
