"""Open checkpoint files: recognised by their content, read tensor by tensor, without running code."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .quantized import reject_quantized
from .safetensors_files import MappedTensor, dict_without_duplicates, file_identity, read_safetensors
from .state_dicts import find_network, get_tensors
from .torch_archive import check_expansion
from .torch_files import MAX_IN_MEMORY, load_torch
from .unsupported import (
    DISTRIBUTED,
    DISTRIBUTED_SUFFIX,
    HEAD_BYTES,
    describe,
    describe_folder,
    reject_partitioned,
)

if TYPE_CHECKING:
    from torch import Tensor

MAX_INDEX_BYTES = 1 << 28  # an index of a million tensors has a tenth of this
MAX_HEADER_BYTES = 100_000_000  # limit of the safetensors library


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint. ``tensors``: all tensors by name, in the file's order, as MappedTensor or torch's Tensor.

    ``format`` is "safetensors", "torch", "sharded safetensors" or "sharded torch". ``key`` is the key of the state dict
    in a torch file (None at its top level). ``files`` are the files of the tensors, ``index`` is the shards' index.
    ``warnings`` name what else the files hold.
    """

    path: Path
    format: str
    tensors: Mapping[str, Any]
    key: str | None = None
    files: tuple[Path, ...] = ()
    index: Path | None = None
    warnings: tuple[str, ...] = ()
    identities: tuple[tuple[int, ...], ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "identities", tuple(map(file_identity, self.files)))

    def check_unchanged(self) -> None:
        """Raise InputError if a file was replaced or changed since it was opened."""
        for file, identity in zip(self.files, self.identities, strict=True):
            if file_identity(file) != identity:
                raise InputError(f"{file}: the file was changed while it was processed")


def open_checkpoint(path: str | Path, key: str | None = None) -> Checkpoint:
    """Open a safetensors file, a file that torch.save wrote, an index of shards of either, or a folder of shards.

    ``key`` selects the state dict in a torch file; by default it is the largest. Torch files are read with
    ``weights_only=True`` and cannot run code.
    Raises InputError (one line that names the file) for any other file, and for damaged or quantised checkpoints.
    """
    path = Path(path)
    try:
        checkpoint = _open(path, key)
        reject_partitioned(path, checkpoint.tensors)
        warnings = reject_quantized(path, checkpoint.tensors)
        return replace(checkpoint, warnings=(*checkpoint.warnings, *warnings)) if warnings else checkpoint
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def _open(path: Path, key: str | None) -> Checkpoint:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    kind = "folder" if path.is_dir() else _detect_format(path)
    if kind == "torch":
        tensors, key, warnings = _read_torch(path, key)
        return Checkpoint(path, "torch", tensors, key, (path,), warnings=warnings)
    if key is not None:
        raise InputError(f"{path}: not a torch file; a key selects a state dict in a torch file")
    if kind == "safetensors":
        return Checkpoint(path, kind, read_safetensors(path), files=(path,))
    return _read_folder(path) if kind == "folder" else _read_index(path, path)


def _detect_format(path: Path) -> str:
    """The format by the file's first bytes: "safetensors", "torch" or "index" (of shards)."""
    if not path.is_file():
        raise InputError(f"{path}: neither a file nor a folder")
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        raise InputError(f"{path}: the file is empty")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"{") and b"\0" not in head[:8] and _read_weight_map(path) is not None:
        return "index"
    # Before the other formats: the first eight bytes of a safetensors file are a length, and may look like their magic.
    is_header_length = int.from_bytes(head[:8], "little") <= MAX_HEADER_BYTES
    if head[8:9] == b"{" and (is_header_length or describe(path, head) is None):
        return "safetensors"
    if path.suffix == DISTRIBUTED_SUFFIX:
        raise InputError(f"{path}: it is a part of {DISTRIBUTED.format(folder=path.parent)}")
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "torch"
    description = describe(path, head)
    looks = f"it looks like {description}" if description else f"it begins with {head[:8]!r}"
    raise InputError(f"{path}: not a checkpoint (safetensors, an index of shards, or a file of torch.save): {looks}")


def _read_weight_map(path: Path) -> dict[str, str] | None:
    """The weight_map (tensor -> file) of an index of shards; None if the file is not such an index."""
    if path.stat().st_size > MAX_INDEX_BYTES:
        return None
    try:
        weight_map = json.loads(path.read_bytes(), object_pairs_hook=dict_without_duplicates)["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_valid = isinstance(weight_map, dict) and all(isinstance(name, str) for name in weight_map.values())
    return weight_map if is_valid else None


def _read_index(index: Path, path: Path) -> Checkpoint:
    """The shards of an index, which lie beside it; ``path`` is the path the user gave, the index or its folder."""
    weight_map = _read_weight_map(index)
    if weight_map is None:
        raise InputError(f"{index}: not an index of shards: it has no weight_map of tensor names to file names")
    shards: dict[str, dict[str, MappedTensor | Tensor]] = {}
    for file in dict.fromkeys(weight_map.values()):
        pure = PureWindowsPath(file)  # parses both kinds of slashes, and drives
        if not file or pure.anchor or ".." in pure.parts:
            raise InputError(f"{index}: the shard {file!r} is not inside the index's folder")
        shard = index.parent / file
        if not shard.is_file():
            raise InputError(f"{index}: the shard {file!r} is missing")
        shards[file] = _read_shard(shard)
    for name, file in weight_map.items():
        if name not in shards[file]:
            raise InputError(f"{index}: the index places the tensor {name!r} in {file!r}, where it is missing")
    tensors = {name: shards[file][name] for name, file in weight_map.items()}
    is_mapped = all(isinstance(tensor, MappedTensor) for tensor in tensors.values())
    kind = "sharded safetensors" if is_mapped else "sharded torch"
    return Checkpoint(path, kind, tensors, None, tuple(index.parent / f for f in shards), index)


def _read_shard(shard: Path) -> "dict[str, MappedTensor | Tensor]":
    """The tensors of one shard."""
    kind = _detect_format(shard)
    if kind == "index":
        raise InputError(f"{shard}: expected a shard with tensors, found another index")
    if kind == "safetensors":
        return dict(read_safetensors(shard))
    return dict(_read_torch(shard, None, max_in_memory=0)[0])  # mapped: all shards may not fit in memory


def _read_torch(
    path: Path, key: str | None, max_in_memory: int = MAX_IN_MEMORY
) -> "tuple[dict[str, Tensor], str | None, tuple[str, ...]]":
    """The tensors of the state dict in a torch file, its key, and warnings about the rest of the file."""
    network = find_network(path, load_torch(path, max_in_memory), key)
    tensors = get_tensors(network.mapping)
    if nested := [name for name, tensor in tensors.items() if tensor.is_nested]:
        raise InputError(f"{path}: the tensor {nested[0]!r} is nested: expected a tensor of a single shape")
    check_expansion(path, tensors)
    return tensors, network.key, network.warnings


def _read_folder(folder: Path) -> Checkpoint:
    """The checkpoint of a folder: its index of shards or, without an index, all its safetensors files."""
    indices = sorted(folder.glob("*.safetensors.index.json")) or sorted(folder.glob("*.index.json"))
    if len(indices) > 1:
        raise InputError(f"{folder}: several indices; name one of {', '.join(i.name for i in indices)}")
    if indices:
        return _read_index(indices[0], folder)
    files = sorted(folder.glob("*.safetensors"))
    if not files and (description := describe_folder(folder)):
        raise InputError(f"{folder}: {description}")
    if not files:
        raise InputError(f"{folder}: no *.index.json and no *.safetensors in the folder; name a torch file itself")
    tensors: dict[str, MappedTensor] = {}
    for file in files:
        if _detect_format(file) != "safetensors":
            raise InputError(f"{file}: not a safetensors file")
        for name, tensor in read_safetensors(file).items():
            if name in tensors:
                raise InputError(f"{folder}: the tensor {name!r} is in both {tensors[name].path.name} and {file.name}")
            tensors[name] = tensor
    return Checkpoint(folder, "sharded safetensors", tensors, None, tuple(files))
