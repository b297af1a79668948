"""Checks of a notebook's parameters: a wrong value is one clear line before anything runs."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    import torch

PRESETS = ("default", "tiny")
WITH_QUICK = ("default", "quick", "tiny")  # of notebooks that can run a sweep of their own


def setup(preset: Any, seed: Any, device: str, presets: Iterable[str] = WITH_QUICK) -> "torch.device":
    """What every notebook begins with: three parameters checked, the book's style in use; the device to compute on."""
    from ..plotting import use_style
    from .training.loop import choose_device

    check_choice("preset", preset, presets)
    check_whole("seed", seed, 0, 2**31)
    use_style()
    return choose_device(device)


def check_choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """The value, or an `InputError` that names the parameter and its choices."""
    if value not in (choices := list(choices)):
        raise InputError(f"{name} {value!r}: expected one of {', '.join(choices)}")
    return value


def check_whole(name: str, value: Any, low: int, high: int) -> int:
    """The value, or an `InputError` where it is no whole number in [low, high]."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} {value!r}: expected a whole number from {low:,} to {high:,}")
    return value


def check_flag(name: str, value: Any) -> bool:
    """The value, or an `InputError` where it is neither True nor False, as papermill's `-p NAME false` is not."""
    if not isinstance(value, bool):
        raise InputError(f"{name} {value!r}: expected true or false, which papermill's -y passes as such")
    return value


def check_between(name: str, value: Any, low: float, high: float) -> float:
    """The value as a float, or an `InputError` where it is no number in (low, high), ends excluded."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not low < number < high:
        raise InputError(f"{name} {value!r}: expected a number between {low:g} and {high:g}")
    return float(number)
