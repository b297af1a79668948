"""`analyze`: one report on how much of a network can be pruned, from its weights alone."""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ._histogram.magnitudes import Magnitudes
from ._histogram.measurement import Measurement, measure
from .diagnostics import warnings_for
from .errors import InputError
from .moments import kurtosis_of_tensor_kurtoses
from .parameters import Pool, collect, source_name
from .pareto import (
    CAREFUL_COSINE,
    Front,
    Point,
    amount_grid,
    check_amount,
    compute_front,
    largest_amount,
    n_to_prune,
    safe_amount,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


@dataclass(frozen=True)
class Analysis:
    """What `analyze` found. Counts are of values; kurtoses are Pearson's (normal = 3), nan where undefined."""

    source: str
    pool: str
    n_parameters: int
    n_prunable: int
    kurtosis: float
    kurtosis_of_kurtoses: float
    front: Front
    optimal: Point
    safe: Point | None
    warnings: list[str]
    _rows: dict[str, list[Any]] = field(repr=False)
    magnitudes: Magnitudes = field(repr=False)  # these two are for the rest of the package, and no part of the report
    unprunable_energy: float = field(repr=False)

    def at_amount(self, amount: float) -> Point:
        """The prune of this amount in [0, 1]; between grid points its cosine is exact to 1e-6."""
        amounts = np.array([check_amount(amount)])
        return compute_front(self.magnitudes, amounts, self.unprunable_energy).point(0)

    def at_cosine(self, cosine: float) -> Point:
        """The largest prune whose cosine to the parent is at least this one, in [0, 1]."""
        return self.at_amount(largest_amount(self.magnitudes, cosine, self.unprunable_energy))

    @property
    def careful(self) -> Point:
        """Where to begin: the smaller of the safe prune and that of cosine 0.99; the latter where none is safe."""
        known = self.at_cosine(CAREFUL_COSINE)
        return self.safe if self.safe and self.safe.amount < known.amount else known

    @cached_property
    def tensors(self) -> "DataFrame":
        """One row a tensor: name, shape, dtype, n, kurtosis, energy (sum of squares), pruned at optimal and safe."""
        from pandas import DataFrame

        return DataFrame(self._rows)

    def to_dict(self) -> dict[str, Any]:
        """The report in plain lists, dicts, numbers and strings; what is undefined is None."""
        rows = [dict(zip(self._rows, row, strict=True)) for row in zip(*self._rows.values(), strict=True)]
        return {
            "source": self.source,
            "pool": self.pool,
            "n_parameters": self.n_parameters,
            "n_prunable": self.n_prunable,
            "kurtosis": _nan_to_none(self.kurtosis),
            "kurtosis_of_kurtoses": _nan_to_none(self.kurtosis_of_kurtoses),
            "front": {
                "amount": _nan_to_none(self.front.amount.tolist()),
                "cosine": _nan_to_none(self.front.cosine.tolist()),
            },
            "optimal": _nan_to_none(asdict(self.optimal)),
            "safe": _nan_to_none(asdict(self.safe)) if self.safe else None,
            f"at_cosine_{CAREFUL_COSINE}": _nan_to_none(asdict(self.at_cosine(CAREFUL_COSINE))),
            "tensors": _nan_to_none(rows),
            "warnings": self.warnings,
        }

    def to_json(self, indent: int | None = None) -> str:
        """`to_dict` as one JSON object."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def plot(self) -> "Figure":
        """The front with utopia, the optimum and the safe prune."""
        from .plotting import front_figure

        return front_figure(self)

    def __str__(self) -> str:
        from .report import text

        return text(self)

    def _repr_html_(self) -> str:
        from .report import html

        return html(self)


def analyze(
    source: Any,
    amounts: int | Iterable[float] = 101,
    pool: Pool = "weight_bias",
    key: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Analysis:
    """How much of a network can be pruned, and at which cosine similarity to its parent, from its weights alone.

    `source`: an `nn.Module`, a mapping from names to tensors (torch or numpy), or a path: `.safetensors`, `.pt`,
    `.pth`, `.bin`, a `*.index.json` or a folder of shards; files are read as weights only and never run code.
    `amounts`: a number of grid points on [0, 1], or the amounts themselves.
    `pool`: what may be pruned: "weight_bias" (every tensor called weight or bias, the paper's), "weights" (2 dimensions
    or more), "all", or a function of (name, tensor) that says so.
    `key`: where a torch file nests its state dict, if it has several; for files only.
    `progress`: called with (values done, values in all) as the first pass goes on.

    Grid points are exact to 1e-9. Raises `InputError`, in one line, naming the file, tensor or argument at fault.
    """
    amounts = amount_grid(amounts)
    parameters = collect(source, pool, key)
    n = sum(p.n for p in parameters if p.prunable)
    if n == 0:
        raise InputError(f"{source_name(source)}: no prunable tensor in pool {_pool_name(pool)!r}")
    measurement = measure(parameters, progress)
    k2 = kurtosis_of_tensor_kurtoses(measurement.tensors.take(measurement.pool))
    # Every safe amount the rule could answer is made exact too, so that two passes do for both.
    factor = safe_amount(1.0, k2)
    levels = measurement.levels(np.concatenate([n_to_prune(amounts, n), n_to_prune(amounts * (factor or 0.0), n)]))
    _require_nonzero(levels, measurement, source_name(source))
    whole = compute_front(levels, amounts, measurement.unprunable_energy)
    optimal = whole.optimal
    safe = None
    if factor is not None:
        safe = compute_front(levels, np.array([optimal.amount * factor]), measurement.unprunable_energy).point(0)
    rows = _tensor_columns(measurement, levels, optimal, safe)
    return Analysis(
        source=source_name(source),
        pool=_pool_name(pool),
        n_parameters=sum(p.n for p in parameters),
        n_prunable=n,
        kurtosis=float(measurement.pooled.kurtosis[0]),
        kurtosis_of_kurtoses=k2,
        front=whole,
        optimal=optimal,
        safe=safe,
        warnings=warnings_for(measurement, levels, _pool_name(pool), k2, rows, safe),
        _rows=rows,
        magnitudes=levels,
        unprunable_energy=measurement.unprunable_energy,
    )


def _tensor_columns(
    measurement: Measurement, levels: Magnitudes, optimal: Point, safe: Point | None
) -> dict[str, list[Any]]:
    """The per-tensor table by columns."""
    parameters = measurement.parameters
    ranks = np.array([point.n_pruned for point in (optimal, safe) if point])
    pruned = measurement.pruned(levels, ranks).tolist()
    return {
        "name": [p.name for p in parameters],
        "shape": [list(p.shape) for p in parameters],
        "dtype": [p.dtype for p in parameters],
        "n": [p.n for p in parameters],
        "kurtosis": measurement.tensors.kurtosis.tolist(),
        "energy": measurement.tensors.energy.tolist(),
        "pruned_at_optimal": pruned[0],
        "pruned_at_safe": pruned[1] if safe else [None] * len(parameters),
    }


def _require_nonzero(levels: Magnitudes, measurement: Measurement, name: str) -> None:
    if levels.above[0] + measurement.unprunable_energy == 0:
        raise InputError(f"{name}: all weights are zero, and a zero vector has no cosine similarity")


def _pool_name(pool: Pool) -> str:
    return pool if isinstance(pool, str) else getattr(pool, "__name__", "custom")


def _nan_to_none(x: Any) -> Any:
    """The same with None for nan, all the way down."""
    if isinstance(x, dict):
        return {key: _nan_to_none(value) for key, value in x.items()}
    if isinstance(x, list):
        return [_nan_to_none(value) for value in x]
    return None if isinstance(x, float) and math.isnan(x) else x


def kurtosis_of_kurtoses(source: Any, pool: Pool = "weight_bias") -> float:
    """Pearson kurtosis of the list of the pool's tensors' Pearson kurtoses (see `wmgp.analyze` for source and pool).

    nan where it is undefined: fewer than 3 tensors that are neither constant nor of a single element.
    """
    parameters = [p for p in collect(source, pool) if p.prunable]
    return kurtosis_of_tensor_kurtoses(measure(parameters).tensors)
