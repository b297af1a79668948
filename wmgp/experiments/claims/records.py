"""The recorded results in `results/`, read once, from which the rows of the claims are made."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...errors import InputError
from ..display_names import DATA_NAMES, display_name
from ..results import tables
from ..results.array_files import read_arrays
from ..results.provenance import measured_by
from ..training import history
from .verdicts import Estimate, Limits, Row


@dataclass(frozen=True)
class Recorded:
    """The tables, records and arrays of a folder of results."""

    folder: Path
    published: dict[str, float]  # by the dotted path in published.json
    limits: dict[str, Limits]
    reference: pd.DataFrame
    sweeps: list[tuple[str, pd.DataFrame]]
    parents: list[dict[str, Any]]
    surfaces: list[tuple[str, dict[str, np.ndarray], dict[str, Any]]]
    mobilenet: dict[str, Any]

    def commits(self, source: str) -> set[str]:
        """Return the commits that measured a file. Raises InputError if a run has no commit."""
        return {measured_by(run) for run in self._runs(source)}

    def commands(self, source: str, rows: pd.DataFrame | None = None) -> str:
        """Return the commands that measure a file, or only these of its rows, again: one per line."""
        runs = self._runs(source)
        if rows is not None:
            recorded = _json((self.folder / source).with_suffix(".json"))
            runs = [recorded[run] for run in dict.fromkeys(rows["run"])]
        return "\n".join(dict.fromkeys(run["command"] for run in runs))

    def _runs(self, source: str) -> list[dict[str, Any]]:
        """Return the recorded facts of every run of a file. Raises InputError if a run has no commit."""
        path = self.folder / source
        recorded = _json(path.with_suffix(".json"))
        single = recorded if "commit" in recorded else recorded.get("provenance")
        runs = [single] if single else list(recorded.values())
        if not runs or not all(isinstance(run, dict) and run.get("commit") for run in runs):
            raise InputError(f"{path}: no provenance beside it: expected a commit for every run")
        return runs

    def parents_of(self, rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
        """Return the records of the parents of these rows, by the hash of their weights."""
        wanted = set(rows["parent_sha256"])
        return {each["parent_sha256"]: each for each in self.parents if each["parent_sha256"] in wanted}

    def row(
        self, id: str, key: str, claim: str, about: tuple[str, ...], found: Estimate, form: str, notebook: str,
        command: str, sources: tuple[str, ...], commits: set[str] | None = None, **more: Any,
    ) -> Row:  # fmt: skip
        """Return a row with the limits and published value of `key`.

        `about`: network, data and optionally start. `commits`: by default those of the sources. `more`: further fields
        of `Row`. Raises InputError if the key has no limits.
        """
        if key not in self.limits:
            raise InputError(f"tolerances.json: no limits for {key!r}")
        known = commits if commits is not None else set().union(*map(self.commits, sources))
        return Row(
            id, key, claim, display_name(*about), self.published.get(key), found, form, self.limits[key],
            DATA_NAMES.get(about[1], about[1]), notebook, command, sources, tuple(sorted(known)), **more,
        )  # fmt: skip


def read(folder: str | Path) -> Recorded:
    """Return the recorded results of a folder. Raises InputError, naming the file, if one is missing or broken."""
    folder = Path(folder)
    published = _flat({name: part for name, part in _json(folder / "published.json").items() if name != "source"})
    return Recorded(
        folder,
        published,
        {key: _limits(each, published.get(key)) for key, each in _json(folder / "tolerances.json")["limits"].items()},
        tables.read(folder / "reference_run.csv"),
        tables.sweeps(folder),
        history.read_parent_records(folder / "parents"),
        [(path.name, *read_arrays(path)) for path in sorted(folder.glob("landscape_*.npz"))],
        _json(folder / "mobilenet_v2.json"),
    )


def _limits(said: dict[str, Any], published: float | None) -> Limits:
    """Return the limits `from` to `to`, or the published value plus and minus `within`."""
    if "within" in said:
        if published is None:
            raise InputError(f"tolerances.json: 'within' needs a published value: {said['reason']}")
        return Limits(published - said["within"], published + said["within"], said["reason"])
    return Limits(said.get("from", -np.inf), said.get("to", np.inf), said["reason"])


def _flat(nested: dict[str, Any], before: str = "") -> dict[str, float]:
    """Return the numbers of a nested object by their dotted paths."""
    found = {}
    for name, value in nested.items():
        found |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a JSON object ({error})") from error
