"""Write a pruned copy of a checkpoint: pruned weights become zero, all other content stays the same."""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

from ..arrays import to_bits
from ..errors import InputError
from .atomic import BACKUP_NAME, staging_dir
from .checkpoints import Checkpoint
from .safetensors_files import CHANGED_WHILE_READ, MappedTensor
from .state_dicts import all_tensors, get_tensors, mapping_at
from .torch_files import is_zip, load_torch

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 1 << 22  # values written at a time
FORMAT_OF_SUFFIX = {"safetensors": "safetensors", "pt": "torch", "pth": "torch", "bin": "torch", "ckpt": "torch"}
OUT_EXISTS = "exists already; --force replaces it"
# (name, mask of the flattened tensor), True = kept; or (name, float64 values that replace the tensor's)
FlatMasks = Iterable[tuple[str, Bool[np.ndarray, " n"] | Float[np.ndarray, " n"]]]


def save_pruned(checkpoint: Checkpoint, out: str | Path, masks: FlatMasks, force: bool = False) -> None:
    """Write the checkpoint to ``out`` with zeros where a mask is False (True = kept).

    ``masks`` yields (parameter name, mask of its flattened tensor); masks are consumed one at a time. A float array
    instead replaces the values (see `wmgp.reparametrizations.stored_masks`). Format, names, order, dtypes, shapes,
    metadata and other objects in a torch file stay the same. A sharded checkpoint becomes a folder of its shards and
    index. If anything fails, ``out`` stays as it was. Raises InputError as `check_out` does, for a mask that fits no
    tensor, for a source that changes during the copy, and if writing fails.
    """
    out = Path(os.path.abspath(out))
    check_out(checkpoint, out, force)
    write = _write_torch if checkpoint.format == "torch" else _write_safetensors
    try:
        with staging_dir(out.parent) as staging:
            new = staging / out.name
            write(checkpoint, new, masks)
            checkpoint.check_unchanged()
            _move_into_place(new, out, staging / BACKUP_NAME, force)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error


def _move_into_place(new: Path, out: Path, backup: Path, force: bool) -> None:
    """Move the new file or folder to ``out``; without ``force``, never replace what another run wrote meanwhile."""
    if not force:
        if new.is_file():
            try:
                return os.link(new, out)
            except FileExistsError as error:
                raise InputError(f"{out}: {OUT_EXISTS}") from error
            except OSError:  # a file system without hard links
                pass
        if os.path.lexists(out):
            raise InputError(f"{out}: {OUT_EXISTS}")
    if out.is_dir():
        out.rename(backup)
    try:
        os.replace(new, out)
    except OSError:
        if backup.exists() and not os.path.lexists(out):
            backup.rename(out)
        raise


def check_out(checkpoint: Checkpoint, out: str | Path, force: bool = False) -> None:
    """Raise InputError unless the checkpoint can be written to ``out``: a new path with a suffix of its format.

    With ``force``, ``out`` may exist: a file, a link (its target stays), or a folder that holds only shards and their
    index. The source itself, devices and pipes are never replaced.
    """
    out = Path(out)
    if checkpoint.format == "sharded torch":
        raise InputError(
            f"{checkpoint.path}: shards of torch.save can be analysed, not pruned; save them as safetensors"
        )
    is_folder = checkpoint.format == "sharded safetensors"
    suffix_format = FORMAT_OF_SUFFIX.get(out.suffix.lower().removeprefix("."))
    if is_folder and (suffix_format or out.suffix == ".json"):
        raise InputError(f"{out}: expected the name of a folder for the pruned shards, found the suffix of a file")
    if not is_folder and suffix_format not in (None, checkpoint.format):
        raise InputError(f"{out}: expected a suffix of the source's format, {checkpoint.format}, found {out.suffix}")
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist")
    if not os.path.lexists(out):
        return
    sources = (checkpoint.path, _root_dir(checkpoint), *checkpoint.files)
    if out.exists() and any(out.samefile(source) for source in sources):
        raise InputError(f"{out}: the output is the source itself")
    if out.exists() and not (out.is_file() or out.is_dir()):
        raise InputError(f"{out}: neither a file nor a folder (a device or a pipe), and is not replaced")
    if not force:
        raise InputError(f"{out}: {OUT_EXISTS}")
    if out.is_dir() != is_folder:
        raise InputError(f"{out}: a {'file' if is_folder else 'folder'} is in the way of the output")
    if is_folder and not _has_only_shards(out):
        raise InputError(f"{out}: the folder holds more than shards and their index, and is not replaced")


def _has_only_shards(folder: Path) -> bool:
    files = (file for file in folder.rglob("*") if not file.is_dir())
    return all(file.name.endswith((".safetensors", ".index.json")) for file in files)


def _root_dir(checkpoint: Checkpoint) -> Path:
    """The folder of an index and its shards; without an index, the checkpoint's path."""
    return checkpoint.index.parent if checkpoint.index else checkpoint.path


def _name_in_file(name: str, tensors: Mapping[str, Any]) -> str:
    """The tensor's name in the file: torch's prune stores the values of a pruned NAME as NAME_orig."""
    name_in_file = name if name in tensors else f"{name}_orig"
    if name_in_file not in tensors:
        raise InputError(f"{name}: the checkpoint has no such tensor")
    return name_in_file


def _write_safetensors(checkpoint: Checkpoint, new: Path, masks: FlatMasks) -> None:
    """Copy the files, then overwrite the values. Plain writes raise an error on a full disk; a mapping would crash."""
    files = [*checkpoint.files, checkpoint.index] if checkpoint.index else checkpoint.files
    copies = {file: new / file.relative_to(_root_dir(checkpoint)) for file in files}
    for file, copy in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    for name, mask in masks:
        tensor = checkpoint.tensors[_name_in_file(name, checkpoint.tensors)]
        assert isinstance(tensor, MappedTensor)
        _check_mask_size(name, mask, tensor.n)
        with copies[tensor.path].open("r+b") as file:
            file.seek(tensor.offset)
            if mask.dtype != bool:
                file.write(to_bits(mask, tensor.dtype).data)
                continue
            for start in range(0, tensor.n, CHUNK):
                kept = mask[start : start + CHUNK]
                file.write((tensor.bits(start, start + len(kept)) * kept).data)
                tensor.release()


def _write_torch(checkpoint: Checkpoint, new: Path, masks: FlatMasks) -> None:
    """Load the file again, zero the weights in that copy, and save the complete object."""
    import torch

    saved = load_torch(checkpoint.path)
    state = mapping_at(saved, checkpoint.key)
    if state is None:
        raise InputError(f"{checkpoint.path}: {CHANGED_WHILE_READ}")
    _separate_memory(saved, state)
    for name, mask in masks:
        tensor = _with_own_memory(state, _name_in_file(name, state))
        _check_mask_size(name, mask, tensor.numel())
        values = torch.from_numpy(mask).view(tensor.shape)
        with torch.no_grad():
            tensor.masked_fill_(~values, 0) if mask.dtype == bool else tensor.copy_(values)
    try:
        torch.save(saved, new, _use_new_zipfile_serialization=is_zip(checkpoint.path))
    except RuntimeError as error:  # torch's error for a full disk does not name the reason
        raise OSError("it could not be written completely; the disk may be full") from error


def _separate_memory(saved: Any, state: dict[str, Any]) -> None:
    """Give the state dict its own copy of the memory that it shares with tensors elsewhere in the object.

    Those are ignored and stay unchanged. Tensors that share memory within the state dict still share it.
    """
    import torch

    def memory(tensor: "Tensor") -> int:
        plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) and str(tensor.layout) == "torch.strided"
        return tensor.untyped_storage().data_ptr() if plain and not tensor.is_meta else 0

    outside = {memory(tensor) for mapping, tensor in all_tensors(saved) if mapping is not state} - {0}
    copies: dict[int, Any] = {}  # by the memory of a storage
    moved: dict[int, Tensor] = {}  # by the identity of a tensor: an object under two names stays one
    for name, tensor in get_tensors(state).items():
        if memory(tensor) not in outside:
            continue
        if memory(tensor) not in copies:
            copies[memory(tensor)] = tensor.untyped_storage().clone()
        if id(tensor) not in moved:
            values = torch.empty(0, dtype=tensor.dtype).set_(
                copies[memory(tensor)], tensor.storage_offset(), tensor.shape, tensor.stride()
            )
            is_parameter = isinstance(tensor, torch.nn.Parameter)
            moved[id(tensor)] = torch.nn.Parameter(values, tensor.requires_grad) if is_parameter else values
        dict.__setitem__(state, name, moved[id(tensor)])


def _with_own_memory(state: dict[str, Any], name: str) -> "Tensor":
    """The named tensor, with its own memory for every value: an expanded tensor is replaced by a contiguous copy.

    All names of an expanded tensor get the same copy.
    """
    tensor = state[name]
    if 0 not in tensor.stride():
        return tensor
    copy, memory = tensor.contiguous(), (tensor.data_ptr(), tensor.shape)
    names = [other for other, value in get_tensors(state).items() if (value.data_ptr(), value.shape) == memory]
    dict.update(state, dict.fromkeys(names, copy))
    return copy


def _check_mask_size(name: str, mask: np.ndarray, n: int) -> None:
    if mask.shape != (n,):
        raise InputError(f"{name}: expected a mask of shape ({n},), found {mask.shape}")
