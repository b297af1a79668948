"""The one error a caller is meant to read."""

import functools
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class InputError(ValueError):
    """Input that cannot be answered: one line that names the file, tensor or parameter and what was expected."""

    def __init__(self, message: str):
        super().__init__(printable(message))


def printable(text: str) -> str:
    """The text on one line, with control characters (names come from files) as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def require_extra(extra: str, what: str = "") -> Generator[None, None, None]:
    """Where a package is not installed, say in one line, after `what`, which of wmgp's extras brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"{what}{error.name} is missing: pip install 'wmgp[{extra}]'") from error


def exit_on_input_error(main: Callable[P, R]) -> Callable[P, R]:
    """The `main` of a program that an `InputError` ends: its line on stderr, and exit status 2."""

    @functools.wraps(main)
    def run(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return main(*arguments, **named)
        except InputError as error:
            print(error, file=sys.stderr)
            raise SystemExit(2) from None

    return run
