"""A checkpoint written again with its pruned weights at zero and all else as it was."""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from ..errors import InputError
from .atomic import REPLACED, staging_dir
from .checkpoints import Checkpoint
from .safetensors_files import MappedTensor
from .torch_files import find_state_dict, is_zip, load_torch, tensors_of

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 1 << 22  # values written at a time
ENDINGS = {"safetensors": "safetensors", "pt": "torch", "pth": "torch", "bin": "torch", "ckpt": "torch"}
EXISTS = "exists already; --force replaces it"
Masks = Iterable[tuple[str, Bool[np.ndarray, " n"]]]


def save_pruned(checkpoint: Checkpoint, out: str | Path, masks: Masks, force: bool = False) -> None:
    """Write the checkpoint to ``out`` with zeros where a mask is False (True is kept).

    ``masks`` are pairs of a parameter's name and a flat mask of all its values, taken one at a time. Format, names,
    order, dtypes, shapes and metadata stay as they are; so does all else that a torch file holds. A sharded
    checkpoint becomes a folder of the same shards and index. Whatever fails, ``out`` is not left half-written.
    Raises InputError where check_out does, for a mask that fits no tensor, and where writing fails.
    """
    out = Path(os.path.abspath(out))
    check_out(checkpoint, out, force)
    write = _write_torch if checkpoint.format == "torch" else _write_safetensors
    try:
        with staging_dir(out.parent) as aside:
            new = aside / out.name
            write(checkpoint, new, masks)
            checkpoint.check_unchanged()
            _place(new, out, aside / REPLACED, force)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}") from error


def _place(new: Path, out: Path, replaced: Path, force: bool) -> None:
    """Put the whole new file or folder where it belongs; without ``force`` never over what another run put there."""
    if not force:
        if new.is_file():
            try:
                return os.link(new, out)
            except FileExistsError as error:
                raise InputError(f"{out}: {EXISTS}") from error
            except OSError:  # a file system without hard links
                pass
        if os.path.lexists(out):
            raise InputError(f"{out}: {EXISTS}")
    if out.is_dir():
        out.rename(replaced)
    try:
        os.replace(new, out)
    except OSError:
        if replaced.exists() and not os.path.lexists(out):
            replaced.rename(out)
        raise


def check_out(checkpoint: Checkpoint, out: str | Path, force: bool = False) -> None:
    """Raise InputError unless ``out`` can take the checkpoint: a new path (or ``force``), not the source, its format.

    With ``force`` a folder is replaced only if it holds nothing but a checkpoint's shards, and a link is replaced
    itself, its target left as it is. A device or a pipe is never replaced, nor is a link to one.
    """
    out = Path(out)
    if checkpoint.format == "sharded torch":
        raise InputError(f"{checkpoint.path}: shards of torch.save can be analysed, not pruned; save as safetensors")
    folder = checkpoint.format == "sharded safetensors"
    ending = ENDINGS.get(out.suffix.lower().removeprefix("."))
    if folder and (ending or out.suffix == ".json"):
        raise InputError(f"{out}: the pruned shards are written to a folder, and this is named like a file")
    if not folder and ending not in (None, checkpoint.format):
        raise InputError(f"{out}: the source is in {checkpoint.format} format, which the ending {out.suffix} is not")
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist")
    if not os.path.lexists(out):
        return
    if out.exists() and any(out.samefile(source) for source in (checkpoint.path, _root(checkpoint), *checkpoint.files)):
        raise InputError(f"{out}: the output is the source itself")
    if out.exists() and not (out.is_file() or out.is_dir()):
        raise InputError(f"{out}: neither a file nor a folder (a device, or a pipe), and is not replaced")
    if not force:
        raise InputError(f"{out}: {EXISTS}")
    if out.is_dir() != folder:
        raise InputError(f"{out}: a {'file' if folder else 'folder'} is in the way of the output")
    if folder and not _only_shards(out):
        raise InputError(f"{out}: holds more than shards and their index, and is not replaced")


def _only_shards(folder: Path) -> bool:
    files = (file for file in folder.rglob("*") if not file.is_dir())
    return all(file.name.endswith((".safetensors", ".index.json")) for file in files)


def _root(checkpoint: Checkpoint) -> Path:
    """The folder of the shards; for a single file, the file."""
    return checkpoint.index.parent if checkpoint.index else checkpoint.path


def _stored_name(name: str, tensors: Mapping[str, Any]) -> str:
    """The name in the file: torch's prune keeps a pruned NAME's values in NAME_orig."""
    stored = name if name in tensors else f"{name}_orig"
    if stored not in tensors:
        raise InputError(f"{name}: the checkpoint has no such tensor")
    return stored


def _write_safetensors(checkpoint: Checkpoint, new: Path, masks: Masks) -> None:
    """Copy the files and overwrite the values in place: no mapping is written to, so a full disk is an error."""
    files = [*checkpoint.files, checkpoint.index] if checkpoint.index else checkpoint.files
    copies = {file: new / file.relative_to(_root(checkpoint)) for file in files}
    for file, copy in copies.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    for name, mask in masks:
        tensor = checkpoint.tensors[_stored_name(name, checkpoint.tensors)]
        assert isinstance(tensor, MappedTensor)
        _check_size(name, mask, tensor.n)
        with copies[tensor.path].open("r+b") as file:
            file.seek(tensor.offset)
            for start in range(0, tensor.n, BLOCK):
                kept = mask[start : start + BLOCK]
                file.write((tensor.bits(start, start + len(kept)) * kept).data)
                tensor.release()


def _write_torch(checkpoint: Checkpoint, new: Path, masks: Masks) -> None:
    """Zero the weights in a fresh private copy of what the file holds and save the whole of it."""
    import torch

    saved = load_torch(checkpoint.path)
    state, _ = find_state_dict(checkpoint.path, saved, checkpoint.key)
    for name, mask in masks:
        tensor = _own_values(state, _stored_name(name, state))
        _check_size(name, mask, tensor.numel())
        with torch.no_grad():
            tensor.masked_fill_(~torch.from_numpy(mask).view(tensor.shape), 0)
    try:
        torch.save(saved, new, _use_new_zipfile_serialization=is_zip(checkpoint.path))
    except RuntimeError as error:  # torch's writer says no more of a full disk
        raise OSError("it could not be written whole; the disk may be full") from error


def _own_values(state: dict[str, Any], name: str) -> "Tensor":
    """The named tensor, with a place in memory for each value: an expanded one has its own from here on.

    So has each name that stands for the same values.
    """
    tensor = state[name]
    if 0 not in tensor.stride():
        return tensor
    own, here = tensor.contiguous(), (tensor.data_ptr(), tensor.shape)
    same = [other for other, value in tensors_of(state).items() if (value.data_ptr(), value.shape) == here]
    dict.update(state, dict.fromkeys(same, own))
    return own


def _check_size(name: str, mask: np.ndarray, n: int) -> None:
    if mask.shape != (n,):
        raise InputError(f"{name}: the mask has shape {mask.shape}, and the tensor {n} values")
