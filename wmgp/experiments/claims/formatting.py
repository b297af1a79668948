"""The rows as JSON or as text."""

import json
import math
from collections.abc import Sequence
from textwrap import fill
from typing import Any

from .collection import CLAIMS, overall
from .verdicts import VERDICTS, Row

WIDTH = 100  # characters per line of text


def as_dict(row: Row) -> dict[str, Any]:
    """Return a row as a JSON object; undefined numbers are None."""
    numbers = {"published": row.published, "measured": row.found.value, "low": row.found.low, "high": row.found.high}
    return {
        "id": row.id,
        "claim": row.claim,
        "subject": row.subject,
        **{name: value if value is not None and math.isfinite(value) else None for name, value in numbers.items()},
        "n_seeds": row.found.n,
        "tolerance": row.limits.words(row.form),
        "reason": row.limits.reason,
        "verdict": row.verdict,
        "sentence": row.sentence,
        "data": row.data,
        "notebook": f"notebooks/{row.notebook}.ipynb",
        "command": row.command,
        "sources": list(row.sources),
        "commits": list(row.commits),
    }


def as_json(rows: Sequence[Row]) -> str:
    """Return the rows as a JSON array, one object per row."""
    return json.dumps([as_dict(row) for row in rows], indent=1, allow_nan=False)


def format_verdict_counts(rows: Sequence[Row]) -> str:
    """Return the number of rows with each verdict, such as "3 reproduced, 1 not reproduced"."""
    found = [row.verdict for row in rows]
    return ", ".join(f"{found.count(name)} {name}" for name in VERDICTS if name in found)


def as_text(rows: Sequence[Row]) -> str:
    """Return a paragraph per claim: its verdict, then a line or two for each row."""
    verdicts, parts = overall(rows), []
    for id, claim in CLAIMS.items():
        mine = [row for row in rows if row.id == id]
        parts.append(fill(f"{id}  {claim} {verdicts[id].capitalize()} (rows: {format_verdict_counts(mine)}).", WIDTH))
        for row in mine:
            published = "" if row.published is None else f" (published: {row.published:{row.form}})"
            line = f"- {row.subject}. {row.claim}{published}: {row.sentence}"
            parts.append(fill(line, WIDTH, initial_indent="    ", subsequent_indent="      "))
        parts.append("")
    return "\n".join(parts).rstrip()
