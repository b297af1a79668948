"""Find the network in an object that torch.save wrote: the largest mapping of names to tensors.

A key is a path of names and list indices, joined by dots; ``TOP`` is the object itself.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .quantized import reject_packed_params
from .unsupported import ZERO_TO_FP32

if TYPE_CHECKING:
    from torch import Tensor

TOP = "."  # the key of the top level
MAX_DEPTH = 32  # of nested mappings and lists
MAX_LISTED_KEYS = 20  # in the error about several state dicts
MAX_LISTED = 5  # in a warning
# An optimizer's names for the tensors of one parameter, and for its state: such a mapping is not a state dict.
OPTIMIZER_NAMES = {"exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg"}
OPTIMIZER_KEY = re.compile(r"(^|_)optim(izer)?s?(_|$)", re.IGNORECASE)
WEIGHT_NAME = re.compile(r"\.|weight|bias|kernel|embed", re.IGNORECASE)
NO_STATE_DICT = "it holds no state dict: expected a mapping of names to floating-point tensors with a dimension or more"
NAME_THEM = 'name its tensors, as torch.save({"NAME.weight": tensor}, NEW) does'


@dataclass(frozen=True)
class Network:
    """The mapping in a torch file that is the network. ``key`` is None at the top level, unless the user named it."""

    mapping: dict[Any, Any]
    key: str | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Part:
    """A mapping or a list in the loaded object; a list's names are its indices."""

    key: str
    items: list[tuple[Any, Any]]
    mapping: dict[Any, Any] | None
    is_optimizer: bool = False

    @cached_property
    def floats(self) -> "dict[str, Tensor]":
        """The floating-point tensors with a dimension or more, by their keys in the object."""
        import torch

        return {
            _join(self.key, str(name)): value
            for name, value in self.items
            if isinstance(value, torch.Tensor) and value.is_floating_point() and value.dim()
        }

    @cached_property
    def n(self) -> int:
        """Number of floating-point values."""
        return sum(tensor.numel() for tensor in self.floats.values())

    @cached_property
    def is_state_dict(self) -> bool:
        """True for names with floating-point tensors; False for scalar metrics and records with a stray vector."""
        import torch

        if self.mapping is None or self.is_optimizer or not self.floats or not self.has_names:
            return False
        only_tensors = all(isinstance(value, torch.Tensor) for _, value in self.items)
        return only_tensors or self._has_matrix

    @property
    def has_names(self) -> bool:
        return all(isinstance(name, str) for name, _ in self.items)

    @property
    def _has_matrix(self) -> bool:
        return any(tensor.dim() >= 2 for tensor in self.floats.values())

    @cached_property
    def rank(self) -> tuple[bool, int]:
        """The order of state dicts: those with names and shapes of a network's weights, then by number of values."""
        return self._has_matrix and any(WEIGHT_NAME.search(name) for name, _ in self.items), self.n

    def __str__(self) -> str:
        return f"{self.key} ({self.n:,} values, --key {self.key})"


def find_network(path: Path, saved: Any, key: str | None) -> Network:
    """The network in a loaded object: the mapping of this key, or else the largest one.

    The warnings name what else the object holds. Raises InputError that lists the keys for a key without tensors, and
    if there is no largest state dict; and for the packed weights of torch's quantised modules.
    """
    parts = list(_parts(saved))
    found = [part for part in parts if part.is_state_dict]
    if key is not None:
        return _with_key(path, saved, key, found)
    if not found:
        raise InputError(f"{path}: {_explain_absence(saved, parts)}")
    best = max(found, key=lambda part: part.rank)
    if sum(part.rank == best.rank for part in found) > 1:
        raise InputError(f"{path}: {_list_keys(found)}")
    assert best.mapping is not None
    warnings = [*_reject_other_entries(path, best.mapping), *_ignored(best, parts)]
    return Network(best.mapping, None if best.key == TOP else best.key, tuple(warnings))


def mapping_at(saved: Any, key: str | None) -> dict[Any, Any] | None:
    """The mapping of this key, None for the top level; None if there is none."""
    found = saved if key in (None, TOP) else next(_resolve(saved, key), None)
    return found if isinstance(found, dict) else None


def get_tensors(mapping: dict[Any, Any]) -> "dict[Any, Tensor]":
    """The mapping's tensors by name, in its order; nested ones excluded."""
    import torch

    # dict.items: a file can replace the mapping's own methods.
    return {name: value for name, value in dict.items(mapping) if isinstance(value, torch.Tensor)}


def all_tensors(saved: Any) -> "Iterator[tuple[dict[Any, Any] | None, Tensor]]":
    """Every tensor in a loaded object, with the mapping that holds it (None for a list)."""
    import torch

    for part in _parts(saved, into_optimizers=True):
        yield from ((part.mapping, value) for _, value in part.items if isinstance(value, torch.Tensor))


def _join(key: str, name: str) -> str:
    return name if key == TOP else f"{key}.{name}"


def _parts(saved: Any, into_optimizers: bool = False) -> Iterator[Part]:
    """Every mapping and list in the object, each once, also if several share it or if it contains itself."""
    searched, to_search = set(), [(TOP, 0, saved)]
    while to_search:
        key, depth, value = to_search.pop()
        if not isinstance(value, dict | list | tuple) or id(value) in searched or depth > MAX_DEPTH:
            continue
        searched.add(id(value))
        # dict.items: a file can replace the mapping's own methods.
        items = list(dict.items(value)) if isinstance(value, dict) else list(enumerate(value))
        part = Part(key, items, value if isinstance(value, dict) else None, is_optimizer(key, value))
        yield part
        if part.is_optimizer and not into_optimizers:
            continue
        inside = [(_join(key, str(name)), depth + 1, x) for name, x in items if isinstance(x, dict | list | tuple)]
        to_search += reversed(inside)


def is_optimizer(key: str, value: Any) -> bool:
    """Return True for the state of an optimizer, by its key or by the names in it."""
    if OPTIMIZER_KEY.search(key.rpartition(".")[2]):
        return True
    return isinstance(value, dict) and bool(
        {"state", "param_groups"} <= dict.keys(value) or OPTIMIZER_NAMES & dict.keys(value)
    )


def _resolve(value: Any, key: str) -> Iterator[Any]:
    """What a key leads to; several things if names contain dots."""
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return
    for name, inner in dict.items(value):
        if not isinstance(name, str | int):
            continue
        if key == str(name):
            yield inner
        elif key.startswith(f"{name}."):
            yield from _resolve(inner, key[len(str(name)) + 1 :])


def _with_key(path: Path, saved: Any, key: str, found: Sequence[Part]) -> Network:
    """The mapping of a key that the user chose: any mapping of names that holds floating-point tensors."""
    mapping = mapping_at(saved, key)
    part = Part(key, list(dict.items(mapping)), mapping) if mapping is not None else None
    if mapping is None or part is None or not part.floats or not part.has_names:
        raise InputError(f"{path}: no state dict under the key {key!r}; {_list_keys(found)}")
    return Network(mapping, key, tuple(_reject_other_entries(path, mapping)))


def _list_keys(found: Sequence[Part]) -> str:
    keys = [part.key for part in found]
    if not keys:
        return NO_STATE_DICT
    more = f" and {len(keys) - MAX_LISTED_KEYS} more" if len(keys) > MAX_LISTED_KEYS else ""
    return f"choose one of its state dicts with --key: {', '.join(keys[:MAX_LISTED_KEYS])}{more}"


def _explain_absence(saved: Any, parts: Sequence[Part]) -> str:
    """The reason why no mapping is a network, and what to do."""
    import torch

    if isinstance(saved, dict) and any(name in saved for name in ("ds_version", "ds_config")):
        return f"it holds no state dict: it is {ZERO_TO_FP32}"
    unnamed = isinstance(saved, torch.Tensor) or any(part.floats and not part.is_optimizer for part in parts)
    return f"{NO_STATE_DICT}; {NAME_THEM}" if unnamed else NO_STATE_DICT


def _reject_other_entries(path: Path, mapping: dict[Any, Any]) -> Iterator[str]:
    """Raise InputError for packed parameters among the tensors; warn about the entries that may hold others."""
    import torch

    others = {str(name): value for name, value in dict.items(mapping) if not isinstance(value, torch.Tensor)}
    reject_packed_params(path, others)
    plain = (str, int, float, dict, type(None))
    names = [
        f"{name} ({type(value).__name__})"
        for name, value in others.items()
        if not isinstance(value, plain) and not name.endswith("_extra_state")
    ]
    if names:
        yield f"entries that are no tensors are ignored: {_listed(names)}"


def _ignored(network: Part, parts: Sequence[Part]) -> Iterator[str]:
    """A warning for each kind of tensors in the object that are not the network's."""
    others = [part for part in parts if part is not network]
    if networks := [str(part) for part in others if part.is_state_dict and part.rank[0]]:
        yield f"other networks in the file are ignored: {_listed(networks)}"
    loose = [
        f"{name} {list(tensor.shape)}"
        for part in others
        if not part.is_optimizer and not (part.is_state_dict and part.rank[0])
        for name, tensor in part.floats.items()
    ]
    if loose:
        yield f"tensors beside the network are ignored: {_listed(loose)}"
    if optimizers := [part.key for part in others if part.is_optimizer and _has_tensors(part)]:
        yield f"optimizer state in the file is ignored: {_listed(optimizers)}"


def _has_tensors(part: Part) -> bool:
    return next(all_tensors(dict(part.items)), None) is not None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_LISTED:,} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more
