"""Files that torch.save wrote: loaded without running code, and the state dict found in them."""

import pickle
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .safetensors_files import CHANGED, file_identity
from .torch_archive import DAMAGED, check_archive, refuse_protocol
from .unsupported import HEAD

if TYPE_CHECKING:
    from torch import Tensor

# What optimizers call the tensors they keep for each parameter: a mapping of these is no state dict.
OPTIMIZER_STATE = {"exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg"}
WHOLE = 1 << 30  # bytes of a file that is read into memory at once
LISTED = 20  # keys that are named where a file has too many state dicts
MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")  # what torch.save wrote first before 1.6
DEEPEST = 32  # mappings within mappings that are looked into


def load_torch(path: Path, whole: int = WHOLE) -> Any:
    """The object a torch file holds, on the CPU; never runs the file's code.

    Files of up to `whole` bytes are read into memory, and checked by their checksums, so that whoever writes over them
    afterwards does no harm. Larger ones are mapped, where the format allows it.
    """
    before = file_identity(path)
    small, zipped = path.stat().st_size <= whole, is_zip(path)
    if zipped:
        check_archive(path, checksums=small)
    else:
        _refuse_later_protocol(path)
    import torch

    mapped = zipped and not small and path.suffix.lower() != ".safetensors"  # torch would believe the ending
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # torch's advice to the file's author, not to its reader
            loaded = torch.load(path if mapped else file, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: {_refusal(error)}") from error
    except OSError:
        raise
    except MemoryError as error:
        raise InputError(f"{path}: reading it takes more memory than there is, or it is damaged") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"{path}: {DAMAGED}") from error
    if file_identity(path) != before:
        raise InputError(f"{path}: {CHANGED}")
    return loaded


def _refuse_later_protocol(path: Path) -> None:
    """As `check_archive` does, for a file in torch's old form."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if MAGIC in head:
        refuse_protocol(path, head)


def is_zip(path: Path) -> bool:
    """Whether the file begins as a zip archive, which torch.save has written since 1.6; pickles before."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _refusal(error: pickle.UnpicklingError) -> str:
    """Why torch would not unpickle a file, in one line."""
    wanted = re.search(r"GLOBAL (\S+)", str(error))
    if wanted:
        return (
            f"refused: reading it would run code ({wanted[1]}); where you trust it, save its tensors alone: "
            'saved = torch.load(PATH, weights_only=False), then torch.save(saved["state_dict"], NEW), '
            "or of a whole module torch.save(saved.state_dict(), NEW)"
        )
    return "refused: reading it would run code; it is no state_dict saved by torch.save's defaults, or it is damaged"


def find_state_dict(path: Path, saved: Any, key: str | None) -> tuple[dict[str, Any], str | None]:
    """The state dict in a loaded object and its key (None at the top level).

    ``key`` joins nested names by dots. Without it the object itself is taken if it is a state dict, or else the only
    one nested in it; InputError lists the keys where there are several.
    """
    found = dict(_state_dicts(saved))
    if key is not None:
        if key not in found:
            raise InputError(f"{path}: no state dict under the key {key!r}; {_listed(found)}")
        return found[key], key
    if "" in found:
        return found[""], None
    if len(found) != 1:
        raise InputError(f"{path}: {_listed(found)}")
    return next((state, key) for key, state in found.items())


def _listed(found: Mapping[str, Any]) -> str:
    keys = [key for key in found if key]
    if not keys:
        return "it holds no state dict: no mapping of names to floating tensors of a dimension or more"
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return f"choose one of its state dicts with --key: {', '.join(keys[:LISTED])}{more}"


def _state_dicts(saved: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state dict inside ``saved`` with its key ("" for ``saved`` itself); optimizers are not entered.

    What several mappings share, or a mapping that holds itself, is entered once.
    """
    entered, waiting = set(), [("", 0, saved)]
    while waiting:
        key, depth, mapping = waiting.pop()
        if not isinstance(mapping, dict) or {"state", "param_groups"} <= dict.keys(mapping):
            continue
        if _is_state_dict(mapping):
            yield key, mapping
        if id(mapping) in entered or depth == DEEPEST:
            continue
        entered.add(id(mapping))
        inside = [(name, value) for name, value in dict.items(mapping) if isinstance(name, str)]
        waiting += [(f"{key}.{name}" if key else name, depth + 1, value) for name, value in reversed(inside)]


def _is_state_dict(mapping: dict[Any, Any]) -> bool:
    """Names to floating tensors, and neither metrics (scalars) nor a record with a stray vector among other things."""
    tensors, names = floating_tensors(mapping), dict.keys(mapping)
    if not tensors or not all(isinstance(name, str) for name in names) or OPTIMIZER_STATE & names:
        return False
    pure = len(tensors_of(mapping)) == len(names)
    return max(tensor.dim() for tensor in tensors.values()) >= (1 if pure else 2)


def tensors_of(mapping: dict[Any, Any]) -> "dict[Any, Tensor]":
    """The mapping's own tensors, by name, in its order; a dict's own methods, for a file may have put others there."""
    import torch

    return {name: value for name, value in dict.items(mapping) if isinstance(value, torch.Tensor)}


def floating_tensors(mapping: dict[Any, Any]) -> "dict[Any, Tensor]":
    """The mapping's own floating tensors, by name, in its order."""
    return {name: value for name, value in tensors_of(mapping).items() if value.is_floating_point()}
