"""Checkpoint files: known by their content, read tensor by tensor, and never able to run code."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .safetensors_files import MappedTensor, file_identity, read_safetensors, unique
from .torch_archive import check_room
from .torch_files import find_state_dict, load_torch, tensors_of
from .unsupported import HEAD, describe, reject_quantized

if TYPE_CHECKING:
    from torch import Tensor

LONGEST_INDEX = 1 << 28  # bytes: a million tensors take a tenth of it
LONGEST_HEADER = 100_000_000  # bytes: the library's limit


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
    stamps: tuple[tuple[int, ...], ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stamps", tuple(map(file_identity, self.files)))

    def check_unchanged(self) -> None:
        """Raise InputError where one of the files is not the one that was opened, or was changed since."""
        for file, before in zip(self.files, self.stamps, strict=True):
            if file_identity(file) != before:
                raise InputError(f"{file}: the file was changed while it was worked on")


def open_checkpoint(path: str | Path, key: str | None = None) -> Checkpoint:
    """Open a safetensors file, a file that torch.save wrote, an index of shards of either, or a folder of shards.

    ``key`` says where a torch file nests its state dict. Torch files are read with ``weights_only=True`` and cannot
    run code. Raises InputError, in one line that names the file, for whatever is not such a checkpoint.
    """
    path = Path(path)
    try:
        checkpoint = _open(path, key)
        reject_quantized(path, checkpoint.tensors)
        return checkpoint
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _open(path: Path, key: str | None) -> Checkpoint:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    kind = "folder" if path.is_dir() else _kind(path)
    if kind == "torch":
        tensors, key = _torch_tensors(path, key)
        return Checkpoint(path, "torch", tensors, key, (path,))
    if key is not None:
        raise InputError(f"{path}: a key chooses a state dict in a torch file; this is not one")
    if kind == "safetensors":
        return Checkpoint(path, kind, read_safetensors(path), files=(path,))
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
    if head[8:9] == b"{" and (sensible or describe(path, head) is None):
        return "safetensors"
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "torch"
    guess = describe(path, head)
    looks = f"it looks like {guess}" if guess else f"it begins with {head[:8]!r}"
    raise InputError(f"{path}: not a checkpoint (safetensors, an index of shards, or a file of torch.save): {looks}")


def _weight_map(path: Path) -> dict[str, str] | None:
    """The tensor -> file table of an index of shards; None where the file is no such index."""
    if path.stat().st_size > LONGEST_INDEX:
        return None
    try:
        table = json.loads(path.read_bytes(), object_pairs_hook=unique)["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return table if isinstance(table, dict) and all(isinstance(name, str) for name in table.values()) else None


def _read_index(index: Path, path: Path) -> Checkpoint:
    """The shards that an index names, all of them beside it; ``path`` is what the user called it."""
    table = _weight_map(index)
    if table is None:
        raise InputError(f"{index}: not an index of shards: it has no weight_map of tensor names to file names")
    shards: dict[str, dict[str, MappedTensor | Tensor]] = {}
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
    stored = all(isinstance(tensor, MappedTensor) for tensor in tensors.values())
    kind = "sharded safetensors" if stored else "sharded torch"
    return Checkpoint(path, kind, tensors, None, tuple(index.parent / f for f in shards), index)


def _read_shard(shard: Path) -> "dict[str, MappedTensor | Tensor]":
    """The tensors of one of the files that an index names."""
    kind = _kind(shard)
    if kind == "index":
        raise InputError(f"{shard}: an index's shards must hold tensors; this is another index")
    if kind == "safetensors":
        return dict(read_safetensors(shard))
    return dict(_torch_tensors(shard, None, whole=0)[0])  # mapped: there may be many of them


def _torch_tensors(path: Path, key: str | None, **how: int) -> "tuple[dict[str, Tensor], str | None]":
    state, key = find_state_dict(path, load_torch(path, **how), key)
    tensors = tensors_of(state)
    if nested := [name for name, tensor in tensors.items() if tensor.is_nested]:
        raise InputError(f"{path}: the tensor {nested[0]!r} is nested: expected one of a single shape")
    check_room(path, tensors)
    return tensors, key


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
    tensors: dict[str, MappedTensor] = {}
    for file in files:
        if _kind(file) != "safetensors":
            raise InputError(f"{file}: not a safetensors file")
        for name, tensor in read_safetensors(file).items():
            if name in tensors:
                raise InputError(f"{folder}: the tensor {name!r} is in both {tensors[name].path.name} and {file.name}")
            tensors[name] = tensor
    return Checkpoint(folder, "sharded safetensors", tensors, None, tuple(files))
