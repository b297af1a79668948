"""Files that torch.save wrote: loaded without running code, and the state dict found in them."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import InputError
from .formats import foreign_archive

if TYPE_CHECKING:
    from torch import Tensor

# What optimizers call the tensors they keep for each parameter: a mapping of these is no state dict.
OPTIMIZER_STATE = {"exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg"}


def load_torch(path: Path) -> Any:
    """The object a torch file holds, on the CPU, mapped where the format allows it; never runs the file's code."""
    zipped = _is_torch_zip(path)
    import torch

    mapped = zipped and path.suffix.lower() != ".safetensors"  # torch would believe the ending
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # torch's advice to the file's author, not to its reader
            return torch.load(path if mapped else file, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise InputError(f"{path}: {_refusal(error)}") from error
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise InputError(f"{path}: not a whole file of torch.save; it may be truncated or damaged") from error


def is_zip(path: Path) -> bool:
    """Whether the file begins as a zip archive, which torch.save has written since 1.6; pickles before."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _is_torch_zip(path: Path) -> bool:
    """True for torch.save's archive, False for a pickle; other archives are refused by what is in them."""
    if not is_zip(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise InputError(f"{path}: not a whole zip archive; it may be truncated or damaged") from error
    if any(name.endswith("/constants.pkl") for name in names):
        raise InputError(f"{path}: refused: a TorchScript archive is a program; save the module's state_dict instead")
    if not any(name.endswith("/data.pkl") for name in names):
        raise InputError(f"{path}: not a file of torch.save: it looks like {foreign_archive(names)}")
    return True


def _refusal(error: pickle.UnpicklingError) -> str:
    """Why torch would not unpickle a file, in one line."""
    wanted = re.search(r"GLOBAL (\S+)", str(error))
    if wanted:
        return f"refused: reading it would run code ({wanted[1]}); save the state_dict, which holds tensors only"
    return "refused: reading it would run code; it is no state_dict saved by torch.save's defaults, or it is damaged"


def find_state_dict(path: Path, saved: Any, key: str | None) -> tuple[Mapping[str, Any], str | None]:
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
    return f"choose one of its state dicts with --key: {', '.join(keys)}"


def _state_dicts(saved: Any, prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every state dict inside ``saved`` with its key ("" for ``saved`` itself); optimizers are not entered."""
    if not isinstance(saved, Mapping) or {"state", "param_groups"} <= saved.keys():
        return
    if _is_state_dict(saved):
        yield prefix, saved
    for name, value in saved.items():
        if isinstance(name, str):
            yield from _state_dicts(value, f"{prefix}.{name}" if prefix else name)


def _is_state_dict(mapping: Mapping[Any, Any]) -> bool:
    """Names to floating tensors, and neither metrics (scalars) nor a record with a stray vector among other things."""
    tensors = floating_tensors(mapping)
    if not tensors or not all(isinstance(name, str) for name in mapping) or OPTIMIZER_STATE & mapping.keys():
        return False
    pure = len(tensors_of(mapping)) == len(mapping)
    return max(tensor.ndim for tensor in tensors.values()) >= (1 if pure else 2)


def tensors_of(mapping: Mapping[Any, Any]) -> "dict[Any, Tensor]":
    """The mapping's own tensors, by name, in its order."""
    import torch

    return {name: value for name, value in mapping.items() if isinstance(value, torch.Tensor)}


def floating_tensors(mapping: Mapping[Any, Any]) -> "dict[Any, Tensor]":
    """The mapping's own floating tensors, by name, in its order."""
    return {name: value for name, value in tensors_of(mapping).items() if value.is_floating_point()}
