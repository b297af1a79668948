"""The one error a caller is meant to read."""


class InputError(ValueError):
    """Input that cannot be answered: one line that names the file, tensor or parameter and what was expected."""

    def __init__(self, message: str):
        super().__init__(printable(message))


def printable(text: str) -> str:
    """The text on one line, with control characters (names come from files) as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
