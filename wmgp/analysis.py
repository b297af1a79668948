"""`analyze`: measure how much of a network can be pruned, from its weights alone, and report it."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ._histogram.magnitudes import Magnitudes
from ._histogram.measurement import Measurement, measure
from .diagnostics import warnings_for
from .errors import InputError
from .moments import kurtosis_of_tensor_kurtoses
from .parameters import Pool, collect, collect_with_warnings, source_name
from .pareto import (
    CAREFUL_COSINE,
    Front,
    Point,
    amount_grid,
    careful_amount,
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
    """The result of `analyze`. Counts are numbers of values; kurtoses are Pearson's (normal = 3), nan if undefined.

    `careful` is the point to begin with: the smaller of the safe amount and the amount of cosine 0.99, both by the
    cosine over the pool alone (cosine 0.99 if the safe amount is undefined). `safe` is None if undefined.
    `outside` is the share of the energy (sum of squares) outside the pool, in [0, 1]. It raises `Point.cosine`, but
    says nothing about the pruned weights.
    """

    source: str
    pool: str
    n_parameters: int
    n_prunable: int
    kurtosis: float
    kurtosis_of_kurtoses: float
    front: Front
    optimal: Point
    safe: Point | None
    careful: Point
    outside: float
    warnings: list[str]
    _rows: dict[str, list[Any]] = field(repr=False)
    magnitudes: Magnitudes = field(repr=False)  # this and the next are internal, and not in the report
    unprunable_energy: float = field(repr=False)

    def at_amount(self, amount: float) -> Point:
        """The point of this amount in [0, 1]. Between grid points, the cosine is exact to 1e-6.

        Raises `InputError` for an amount outside [0, 1].

        Example:
            >>> import numpy as np, wmgp
            >>> wmgp.analyze({"a.weight": np.array([3.0, -4.0])}).at_amount(0.5)
            Point(amount=0.5, cosine=0.8, pool_cosine=0.8, threshold=3.0, n_pruned=1, distance=0.5385164807134504)
        """
        amounts = np.array([check_amount(amount)])
        return compute_front(self.magnitudes, amounts, self.unprunable_energy).point(0)

    def at_cosine(self, cosine: float) -> Point:
        """The point of the largest amount whose cosine to the parent is at least `cosine`, in [0, 1].

        Between grid points, the amount is exact to 1e-6. Raises `InputError` for a cosine outside [0, 1].

        Example:
            >>> import numpy as np, wmgp
            >>> wmgp.analyze({"a.weight": np.array([3.0, -4.0])}).at_cosine(0.75).amount
            0.5
        """
        return self.at_amount(largest_amount(self.magnitudes, cosine, self.unprunable_energy))

    @cached_property
    def tensors(self) -> "DataFrame":
        """One row per tensor: name, shape, dtype, n, zeros, kurtosis, energy (sum of squares), and the numbers of
        values pruned at the careful, safe and optimal amounts.
        """
        from pandas import DataFrame

        return DataFrame(self._rows)

    def to_dict(self) -> dict[str, Any]:
        """The report as lists, dicts, numbers and strings, ready for JSON; undefined values are None.

        Example:
            >>> import numpy as np, wmgp
            >>> report = wmgp.analyze({"a.weight": np.array([3.0, -4.0])}).to_dict()
            >>> report["n_prunable"], report["safe"]
            (2, None)
        """
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
            "careful": _nan_to_none(asdict(self.careful)),
            "safe": _nan_to_none(asdict(self.safe)) if self.safe else None,
            f"at_cosine_{CAREFUL_COSINE}": _nan_to_none(asdict(self.at_cosine(CAREFUL_COSINE))),
            "optimal": _nan_to_none(asdict(self.optimal)),
            "outside": self.outside,
            "tensors": _nan_to_none(rows),
            "warnings": self.warnings,
        }

    def to_json(self, indent: int | None = None) -> str:
        """The result of `to_dict` as one JSON object."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    def plot(self) -> "Figure":
        """A figure of the front with utopia and the optimal, safe and cosine 0.99 points."""
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
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    key: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Analysis:
    """Measure how much of a network can be pruned, and the cosine similarity to its parent, from its weights alone.

    `source`: an `nn.Module`, a mapping from names to tensors (torch or numpy), or a path: `.safetensors`, `.pt`,
    `.pth`, `.bin`, a `*.index.json` or a folder of shards. Reading a file never runs its code.
    `amounts`: a number of grid points on [0, 1], or the amounts themselves.
    `pool`: the prunable tensors: "weight_bias" (every tensor named weight or bias, as in the paper), "weights" (tensors
    with 2 or more dimensions), "all", or a function of (name, tensor) that returns a bool.
    `include`, `exclude`: globs of names, such as "encoder.*". `include` adds tensors to the pool, also those that look
    like buffers; `exclude` takes tensors out of it. If both match, `exclude` decides.
    `key`: the key of the state dict in a torch file that holds several.
    `progress`: called during the first pass with (number of values done, number of values).

    Grid points are exact to 1e-9. Raises `InputError`: one line that names the file, tensor or argument at fault.

    Example:
        >>> import numpy as np, wmgp
        >>> weights = np.linspace(-1, 1, 1001)  # close to the uniform distribution
        >>> analysis = wmgp.analyze({"a.weight": weights})
        >>> round(analysis.optimal.amount, 2), round(analysis.optimal.cosine, 2), round(analysis.kurtosis, 2)
        (0.75, 0.76, 1.8)
    """
    amounts = amount_grid(amounts)
    collection = collect_with_warnings(source, pool, key, include, exclude)
    n = sum(p.n for p in collection.parameters if p.prunable)
    if n == 0:
        raise InputError(f"{source_name(source)}: no prunable tensor in pool {_pool_name(pool)!r}")
    measurement = measure(collection.parameters, progress)
    k2 = kurtosis_of_tensor_kurtoses(measurement.tensor_moments.take(measurement.pool))
    modifier = safe_amount(1.0, k2)
    magnitudes = measurement.levels(_exact_boundaries(measurement.coarse, amounts, modifier))
    _require_nonzero(magnitudes, measurement, source_name(source))
    front = compute_front(magnitudes, amounts, measurement.unprunable_energy)
    optimal = front.optimal
    named = [careful_amount(magnitudes, front, modifier), optimal.amount * (modifier or 0.0)]
    points = compute_front(magnitudes, np.array(named), measurement.unprunable_energy)
    careful, safe = points.point(0), points.point(1) if modifier is not None else None
    rows = _tensor_columns(measurement, magnitudes, {"careful": careful, "safe": safe, "optimal": optimal})
    warnings = warnings_for(measurement, magnitudes, _pool_name(pool), k2, rows, safe, optimal)
    return Analysis(
        source=source_name(source),
        pool=_pool_name(pool),
        n_parameters=sum(p.n for p in measurement.parameters),
        n_prunable=n,
        kurtosis=float(measurement.pool_moments.kurtosis[0]),
        kurtosis_of_kurtoses=k2,
        front=front,
        optimal=optimal,
        safe=safe,
        careful=careful,
        outside=measurement.outside,
        warnings=[*collection.warnings, *warnings],
        _rows=rows,
        magnitudes=magnitudes,
        unprunable_energy=measurement.unprunable_energy,
    )


def _exact_boundaries(coarse: Magnitudes, amounts: np.ndarray, modifier: float | None) -> np.ndarray:
    """The numbers of pruned values that the second pass makes exact.

    The optimal amount is known only after that pass, which therefore includes every possible safe amount.
    """
    at_cosine = coarse.max_pruned(CAREFUL_COSINE**2 * float(coarse.energy_above[0]))
    grids = [n_to_prune(amounts, coarse.n), n_to_prune(amounts * (modifier or 0.0), coarse.n)]
    return np.concatenate([*grids, [at_cosine, at_cosine + 1]])


def _tensor_columns(
    measurement: Measurement, magnitudes: Magnitudes, points: dict[str, Point | None]
) -> dict[str, list[Any]]:
    """The tensor table by columns."""
    parameters = measurement.parameters
    n_pruned = np.array([point.n_pruned for point in points.values() if point])
    pruned, zeros = measurement.count_pruned(magnitudes, n_pruned)
    counts = iter(pruned.tolist())
    return {
        "name": [p.name for p in parameters],
        "shape": [list(p.shape) for p in parameters],
        "dtype": [p.dtype for p in parameters],
        "n": [p.n for p in parameters],
        "zeros": zeros.tolist(),
        "kurtosis": measurement.tensor_moments.kurtosis.tolist(),
        "energy": measurement.tensor_moments.energy.tolist(),
        **{f"pruned_at_{name}": next(counts) if point else [None] * len(parameters) for name, point in points.items()},
    }


def _require_nonzero(magnitudes: Magnitudes, measurement: Measurement, name: str) -> None:
    if magnitudes.energy_above[0] + measurement.unprunable_energy == 0:
        raise InputError(f"{name}: all weights are zero, and a zero vector has no cosine similarity")


def _pool_name(pool: Pool) -> str:
    return pool if isinstance(pool, str) else getattr(pool, "__name__", "custom")


def _nan_to_none(x: Any) -> Any:
    """Replace nan by None in nested dicts and lists."""
    if isinstance(x, dict):
        return {key: _nan_to_none(value) for key, value in x.items()}
    if isinstance(x, list):
        return [_nan_to_none(value) for value in x]
    return None if isinstance(x, float) and math.isnan(x) else x


def kurtosis_of_kurtoses(
    source: Any, pool: Pool = "weight_bias", include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> float:
    """Pearson kurtosis of the list of the pool's tensors' Pearson kurtoses.

    The arguments are those of `wmgp.analyze`. Constant and single-element tensors are left out; the result is nan
    if fewer than 3 tensors remain. Raises `InputError` like `wmgp.analyze`.

    Example:
        >>> import numpy as np, wmgp
        >>> weights = {f"{i}.weight": np.arange(-5.0, 6.0) ** i for i in (1, 3, 5)}
        >>> round(wmgp.kurtosis_of_kurtoses(weights), 6)
        1.5
    """
    parameters = [p for p in collect(source, pool, None, include, exclude) if p.prunable]
    return kurtosis_of_tensor_kurtoses(measure(parameters).tensor_moments)
