"""The one error a caller is meant to read."""


class InputError(ValueError):
    """Input that cannot be answered: one line that names the file, tensor or parameter and what was expected."""
