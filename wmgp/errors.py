"""`InputError`, and how programs report it: one line on stderr, exit status 2."""

import functools
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class InputError(ValueError):
    """Invalid input. The message is one line: the file, tensor or parameter at fault, and the expected value."""

    def __init__(self, message: str):
        super().__init__(printable(message))


def printable(text: str) -> str:
    """The text on one line. Control characters are escaped, because names come from files."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def require_extra(extra: str, prefix: str = "") -> Generator[None, None, None]:
    """Turn a failed import into an `InputError`: `prefix`, the missing package, and the extra of wmgp to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"{prefix}{error.name} is missing: pip install 'wmgp[{extra}]'") from error


def exit_on_input_error(main: Callable[P, R]) -> Callable[P, R]:
    """Decorate a program's `main`: print an `InputError` on stderr and exit with status 2."""

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return main(*args, **kwargs)
        except InputError as error:
            print(error, file=sys.stderr)
            raise SystemExit(2) from None

    return run
