"""Load files that torch.save wrote, without running code, and find the state dict in them."""

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .safetensors_files import CHANGED_WHILE_READ, file_identity
from .torch_archive import DAMAGED, check_archive, check_protocol
from .unsupported import HEAD_BYTES

if TYPE_CHECKING:
    from torch import Tensor

# An optimizer's names for the tensors of one parameter: a mapping with these names is not a state dict.
OPTIMIZER_NAMES = {"exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg"}
MAX_IN_MEMORY = 1 << 30  # bytes; larger files are mapped
MAX_LISTED_KEYS = 20  # in the error about several state dicts
LEGACY_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")  # torch.save wrote this first, before version 1.6
MAX_DEPTH = 32  # of nested mappings


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
        raise InputError(f"{path}: {_explain_unpickling_error(error)}") from error
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
    if LEGACY_MAGIC in head:
        check_protocol(path, head)


def is_zip(path: Path) -> bool:
    """Return True if the file is a zip archive, as torch.save writes since version 1.6 (before: a pickle)."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _explain_unpickling_error(error: pickle.UnpicklingError) -> str:
    """The reason why torch did not unpickle a file, in one line."""
    needed = re.search(r"GLOBAL (\S+)", str(error))
    if needed:
        return (
            f"refused: reading it would run code ({needed[1]}); if you trust it, save only its tensors: "
            'saved = torch.load(PATH, weights_only=False), then torch.save(saved["state_dict"], NEW), '
            "or for a complete module torch.save(saved.state_dict(), NEW)"
        )
    return (
        "refused: reading it would run code; expected a state_dict saved with torch.save's defaults (or it is damaged)"
    )


def find_state_dict(path: Path, saved: Any, key: str | None) -> tuple[dict[str, Any], str | None]:
    """The state dict in a loaded object, and its key (None at the top level).

    ``key`` joins nested names by dots. Without a key, the object itself is returned if it is a state dict, else the
    only state dict nested in it. Raises InputError that lists the keys if there are several.
    """
    state_dicts = dict(_state_dicts(saved))
    if key is not None:
        if key not in state_dicts:
            raise InputError(f"{path}: no state dict under the key {key!r}; {_list_keys(state_dicts)}")
        return state_dicts[key], key
    if "" in state_dicts:
        return state_dicts[""], None
    if len(state_dicts) != 1:
        raise InputError(f"{path}: {_list_keys(state_dicts)}")
    return next((state, key) for key, state in state_dicts.items())


def _list_keys(state_dicts: Mapping[str, Any]) -> str:
    keys = [key for key in state_dicts if key]
    if not keys:
        return "it holds no state dict: expected a mapping of names to floating-point tensors with a dimension or more"
    more = f" and {len(keys) - MAX_LISTED_KEYS} more" if len(keys) > MAX_LISTED_KEYS else ""
    return f"choose one of its state dicts with --key: {', '.join(keys[:MAX_LISTED_KEYS])}{more}"


def _state_dicts(saved: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state dict in ``saved`` with its key ("" for ``saved`` itself), except inside optimizers.

    Each mapping is searched once, also if several mappings share it or if it contains itself.
    """
    searched, to_search = set(), [("", 0, saved)]
    while to_search:
        key, depth, mapping = to_search.pop()
        if not isinstance(mapping, dict) or {"state", "param_groups"} <= dict.keys(mapping):
            continue
        if _is_state_dict(mapping):
            yield key, mapping
        if id(mapping) in searched or depth == MAX_DEPTH:
            continue
        searched.add(id(mapping))
        inside = [(name, value) for name, value in dict.items(mapping) if isinstance(name, str)]
        to_search += [(f"{key}.{name}" if key else name, depth + 1, value) for name, value in reversed(inside)]


def _is_state_dict(mapping: dict[Any, Any]) -> bool:
    """Return True for names with floating-point tensors; False for scalar metrics and records with a stray vector."""
    tensors, names = get_floating_tensors(mapping), dict.keys(mapping)
    if not tensors or not all(isinstance(name, str) for name in names) or OPTIMIZER_NAMES & names:
        return False
    only_tensors = len(get_tensors(mapping)) == len(names)
    return max(tensor.dim() for tensor in tensors.values()) >= (1 if only_tensors else 2)


def get_tensors(mapping: dict[Any, Any]) -> "dict[Any, Tensor]":
    """The mapping's tensors by name, in its order; nested ones excluded."""
    import torch

    # dict.items: a file can replace the mapping's own methods.
    return {name: value for name, value in dict.items(mapping) if isinstance(value, torch.Tensor)}


def get_floating_tensors(mapping: dict[Any, Any]) -> "dict[Any, Tensor]":
    """The mapping's floating-point tensors by name, in its order; nested ones excluded."""
    return {name: value for name, value in get_tensors(mapping).items() if value.is_floating_point()}
