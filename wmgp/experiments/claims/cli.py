"""The command `wmgp claims`."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from ...errors import require_extra

Json = Annotated[bool, typer.Option("--json", help="A JSON array, an object a row.")]
Folder = Annotated[Path | None, typer.Option(help="The folder of results; default: results, here or above.")]


def claims(json: Json = False, results: Folder = None) -> None:
    """Compare the paper's claims with our measurements: values, intervals, limits and verdicts."""
    with require_extra("experiments"):
        import_module("sklearn")  # reports a missing extra before a missing folder
        from ..results.tables import locate
        from .collection import collect
        from .formatting import as_json, as_text

        rows = collect(results or locate("published.json").parent)
    print(as_json(rows) if json else as_text(rows))
