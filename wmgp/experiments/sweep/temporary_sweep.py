"""Small sweeps on scikit-learn's digits that notebooks run themselves."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..results.provenance import provenance
from ..results.tables import with_facts
from ..training.history import read_parent_records
from .presets import PRESETS
from .runner import run


@dataclass(frozen=True)
class TemporarySweep:
    """Results of a sweep: rows (`tables.with_facts`), provenance by run, and records of the parents."""

    rows: pd.DataFrame
    runs: Mapping[str, Mapping[str, Any]]
    parents: list[dict[str, Any]]


def run_temporary_sweep(preset: str, device: str, seeds: tuple[int, ...], **changes: Any) -> TemporarySweep:
    """Run the preset `tiny` (seconds) or `quick` (two minutes on two cores) in a temporary folder.

    `seeds` replace those of a tiny sweep. `changes` replace other fields of the preset's `presets.Sweep`.
    """
    [sweep] = PRESETS[preset]
    if preset == "tiny":
        changes["seeds"] = seeds
    jobs = 1 if preset == "tiny" or device != "cpu" else os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sweep.csv")
        run([replace(sweep, **changes)], path, jobs, device)
        return TemporarySweep(with_facts(path), provenance(path), read_parent_records(folder))
