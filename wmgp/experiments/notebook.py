"""Checks of a notebook's parameters: a wrong value raises an InputError before anything runs."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    import torch

PRESETS = ("default", "tiny")
PRESETS_WITH_QUICK = ("default", "quick", "tiny")  # for notebooks that can run their own sweep


def setup(preset: Any, seed: Any, device: str, presets: Iterable[str] = PRESETS_WITH_QUICK) -> "torch.device":
    """Check the parameters that all notebooks share, use the book's plot style, and return the device."""
    from ..plotting import use_style
    from .training.loop import choose_device

    check_choice("preset", preset, presets)
    check_integer("seed", seed, 0, 2**31)
    use_style()
    return choose_device(device)


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Return the value. Raises InputError, naming the parameter, if it is not one of the choices."""
    if value not in (choices := list(choices)):
        raise InputError(f"{name} {value!r}: expected one of {', '.join(choices)}")
    return value


def check_integer(name: str, value: Any, low: int, high: int) -> int:
    """Return the value. Raises InputError, naming the parameter, if it is not an int in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} {value!r}: expected a whole number from {low:,} to {high:,}")
    return value


def check_bool(name: str, value: Any) -> bool:
    """Return the value. Raises InputError unless it is True or False; papermill's `-p NAME false` passes a string."""
    if not isinstance(value, bool):
        raise InputError(f"{name} {value!r}: expected true or false, which papermill passes as booleans with -y")
    return value


def check_between(name: str, value: Any, low: float, high: float) -> float:
    """Return the value as a float. Raises InputError if it is not a number in (low, high), ends excluded."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not low < number < high:
        raise InputError(f"{name} {value!r}: expected a number between {low:g} and {high:g}")
    return float(number)
