"""The small sweeps that notebooks run on the spot, on scikit-learn's digits."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..results.provenance import provenance
from ..results.tables import with_facts
from ..training.history import records
from .presets import PRESETS
from .runner import run


@dataclass(frozen=True)
class TemporarySweep:
    """What a sweep measured: `rows` as `results.with_facts` gives them, its `runs`, and `parents` as recorded."""

    rows: pd.DataFrame
    runs: Mapping[str, Mapping[str, Any]]
    parents: list[dict[str, Any]]


def small_sweep(preset: str, device: str, seeds: tuple[int, ...], **changes: Any) -> TemporarySweep:
    """Run the preset `tiny` (seconds) or `quick` (two minutes on two cores), in a folder that is gone afterwards.

    `seeds` are those of a tiny sweep. `changes` replace other fields of the preset's `presets.Sweep`.
    """
    [chosen] = PRESETS[preset]
    if preset == "tiny":
        changes["seeds"] = seeds
    jobs = 1 if preset == "tiny" or device != "cpu" else os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sweep.csv")
        run([replace(chosen, **changes)], path, jobs, device)
        return TemporarySweep(with_facts(path), provenance(path), records(folder))
