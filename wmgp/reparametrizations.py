"""Weights that a file stores in parts: weight norm (g and v) and spectral norm (a weight and two vectors).

The network computes with the effective weight, so that is what is analysed and pruned. Its values are computed block by
block from the stored tensors. `reparametrized_modules` does the same for modules, which know their parametrizations.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt

from .arrays import from_bits, to_bits, to_float64
from .errors import InputError

if TYPE_CHECKING:
    from .parameters import Parameter

CHUNK = 1 << 20  # values per block
# The stored norm of a row must not underflow when torch squares it; a pruned row below this is stored as g = 0.
MIN_NORM = {"float64": 1e-150}
DEFAULT_MIN_NORM = 1e-18
PARAMETRIZED = re.compile(r"(?P<prefix>(?:.*\.)?)parametrizations\.(?P<name>[^.]+)\.(?P<part>original\d*|\d+\..+)")
WEIGHT_NORM, SPECTRAL_NORM = {"original0", "original1"}, {"original", "0._u", "0._v"}
REMOVE = "remove_parametrizations(module, {!r})"


@dataclass(frozen=True)
class Stored:
    """The names of the tensors that make one effective weight: g and v, or a weight and the vectors u and v."""

    kind: str  # "weight norm" or "spectral norm"
    main: str  # of the weight's shape
    others: tuple[str, ...]


def find_stored(tensors: Mapping[str, Any]) -> dict[str, Stored]:
    """Map the names of the effective weights to the tensors that store them; only names and shapes are read.

    Raises `InputError` for the parts of another parametrization, and for a weight norm of unknown shapes.

    Example:
        >>> import numpy as np
        >>> from wmgp.reparametrizations import find_stored
        >>> find_stored({"a.weight_g": np.ones((3, 1)), "a.weight_v": np.ones((3, 4))})
        {'a.weight': Stored(kind='weight norm', main='a.weight_v', others=('a.weight_g',))}
    """
    found = {}
    parts: dict[tuple[str, str], set[str]] = {}
    for name in tensors:
        if match := PARAMETRIZED.fullmatch(name):
            parts.setdefault((match["prefix"], match["name"]), set()).add(match["part"])
        elif stored := _old_weight_norm(name, tensors) or _old_spectral_norm(name, tensors):
            found[name.rpartition("_")[0]] = stored
    for (prefix, name), names in parts.items():
        found[prefix + name] = _parametrization(prefix, name, names, tensors)
    return found


def _old_weight_norm(name: str, tensors: Mapping[str, Any]) -> Stored | None:
    """The parts of torch.nn.utils.weight_norm, if `name` is its v."""
    stem = name.removesuffix("_v")
    g = f"{stem}_g"
    if stem == name or g not in tensors or stem in tensors:
        return None
    last = stem.rpartition(".")[2]
    is_weight, shape = any(word in last for word in ("weight", "bias", "kernel")), _shape(tensors[name])
    fits = kept_axis(_shape(tensors[g]), shape) is not None
    if fits and (is_weight or len(_shape(tensors[g])) == len(shape) > 1):
        return Stored("weight norm", name, (g,))
    if not is_weight:
        return None
    raise InputError(
        f"{g}: expected the norms of {name}, of shape {shape}, along one axis; found the shape {_shape(tensors[g])}"
    )


def _old_spectral_norm(name: str, tensors: Mapping[str, Any]) -> Stored | None:
    """The parts of torch.nn.utils.spectral_norm, if `name` is its weight; one without its v is refused."""
    stem = name.removesuffix("_orig")
    u, v = f"{stem}_u", f"{stem}_v"
    if stem == name or u not in tensors:
        return None
    if v in tensors and _spectral_axes(*(_shape(tensors[each]) for each in (name, u, v))):
        return Stored("spectral norm", name, (u, v))
    advice = "torch.nn.utils.remove_spectral_norm before saving"
    raise InputError(f"{name}: expected a spectral norm with the vectors {u} and {v} of its shape; use {advice}")


def _parametrization(prefix: str, name: str, parts: set[str], tensors: Mapping[str, Any]) -> Stored:
    stem = f"{prefix}parametrizations.{name}"
    if parts == WEIGHT_NORM:
        g, v = f"{stem}.original0", f"{stem}.original1"
        if kept_axis(_shape(tensors[g]), _shape(tensors[v])) is not None:
            return Stored("weight norm", v, (g,))
    if parts == SPECTRAL_NORM:
        weight, u, v = f"{stem}.original", f"{stem}.0._u", f"{stem}.0._v"
        if _spectral_axes(*(_shape(tensors[each]) for each in (weight, u, v))):
            return Stored("spectral norm", weight, (u, v))
    kind = "an orthogonal parametrization" if parts == {"original", "0.base"} else "a parametrization"
    raise InputError(
        f"{stem}: {kind} whose effective weight the file does not tell; "
        f"use torch.nn.utils.parametrize.{REMOVE.format(name)} before saving"
    )


def _shape(values: Any) -> tuple[int, ...]:
    return tuple(getattr(values, "shape", ()))


def kept_axis(g: tuple[int, ...], v: tuple[int, ...]) -> tuple[int, int] | None:
    """The length of the axis that a weight norm's g keeps, and the number of values that lie below it in v.

    A g of one value keeps no axis: (1, n). None for shapes that do not fit.

    Example:
        >>> from wmgp.reparametrizations import kept_axis
        >>> kept_axis((1, 4, 1), (3, 4, 5)), kept_axis((), (3, 4)), kept_axis((3,), (3, 4))
        ((4, 5), (1, 12), None)
    """
    if g not in ((), (1,) * len(v)) and len(g) != len(v):
        return None
    if prod(g) == 1:
        return 1, prod(v)
    kept = [i for i, n in enumerate(g) if n != 1]
    return (g[kept[0]], prod(v[kept[0] + 1 :])) if len(kept) == 1 and g[kept[0]] == v[kept[0]] else None


def _spectral_axes(weight: tuple[int, ...], u: tuple[int, ...], v: tuple[int, ...]) -> list[int]:
    """The axes of the weight along which u can lie: v then has the length of the others together."""
    return [i for i, n in enumerate(weight) if u == (n,) and v == (prod(weight) // max(n, 1),)]


def effective_parameters(parameters: "Iterable[Parameter]", tensors: Mapping[str, Any]) -> "Iterator[Parameter]":
    """The parameters, with the effective weight in the place of the tensors that store it."""
    stored = find_stored({_without_orig(name, tensors): values for name, values in tensors.items()})
    if not stored:
        yield from parameters
        return
    by_name = {p.name: p for p in parameters}
    weight_of = {s.main: name for name, s in stored.items()}
    others = {other for s in stored.values() for other in s.others}
    for name, p in by_name.items():
        if name in weight_of:
            yield _effective(weight_of[name], p, stored[weight_of[name]], by_name, tensors)
        elif name not in others:
            yield p


def _without_orig(name: str, tensors: Mapping[str, Any]) -> str:
    """The name of a tensor that torch.nn.utils.prune masks, as `Parameter` has it."""
    stem = name.removesuffix("_orig")
    return stem if stem != name and f"{stem}_mask" in tensors else name


def _effective(
    name: str, main: "Parameter", stored: Stored, by_name: "Mapping[str, Parameter]", tensors: Mapping[str, Any]
) -> "Parameter":
    # A module's vectors u and v are no parameters, but they are among the tensors.
    others = [
        by_name.get(other) or replace(main, name=other, values=tensors[other], mask=None) for other in stored.others
    ]
    if any(p.mask is not None for p in (main, *others)):
        raise InputError(f"{main.name}: torch.nn.utils.prune masks a part of {name}; use its remove before saving")
    return replace(main, name=name, values=EffectiveTensor(stored.kind, main, tuple(others)))


class EffectiveTensor:
    """An effective weight: the rows of the stored tensor times a factor each. It reads as a `MappedTensor` does."""

    def __init__(self, kind: str, main: "Parameter", others: "tuple[Parameter, ...]"):
        self.kind, self.main, self.others = kind, main, others
        self.shape, self.dtype = main.shape, main.dtype

    @property
    def parts(self) -> "tuple[Parameter, ...]":
        """The tensors that store it."""
        return self.main, *self.others

    @cached_property
    def axis(self) -> tuple[int, int]:
        """The number of factors, and of consecutive values that share one (see `kept_axis`)."""
        axis = kept_axis(self.others[0].shape, self.shape) if self.kind == "weight norm" else None
        return axis or (1, self.main.n)

    @cached_property
    def factors(self) -> Float[np.ndarray, " factors"]:
        """g / |v|, or 1 / sigma; nan or infinite if a norm is zero, as in torch."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.kind == "weight norm":
                return _read(self.others[0]) / np.sqrt(squared_norms(self.main, *self.axis))
            return np.array([1 / spectral_norm(self.main, *map(_read, self.others))])

    def bits(self, start: int, stop: int) -> UInt[np.ndarray, " n"]:
        """Values start to stop, rounded to the dtype, as unsigned integers of their width."""
        values = _block(self.main, start, stop)
        rows, lengths = _rows(start, stop, self.axis[1])
        factors = np.repeat(self.factors[rows % self.axis[0]].astype(values.dtype), lengths)
        with np.errstate(over="ignore", invalid="ignore"):
            return to_bits(values * factors, self.dtype)

    def release(self) -> None:
        """Free the memory of the values read so far."""
        self.main.release()

    def tensor(self) -> Any:
        """A torch tensor of the same shape and dtype."""
        return from_bits(self.bits(0, self.main.n), self.dtype).reshape(self.shape)


def stored_masks(
    parameters: "Sequence[Parameter]", masks: "Iterable[tuple[str, np.ndarray]]"
) -> Iterator[tuple[str, np.ndarray]]:
    """Replace the mask of an effective weight by what a file stores: the mask of v, and g's values (float64, flat).

    The effective weight is then the masked one, to the rounding of g. A row that vanishes keeps its v and gets g = 0,
    because a zero v has no direction. Raises `InputError` for a spectral norm, whose sigma changes with the weight.
    """
    by_name = {p.name: p for p in parameters}
    for name, kept in masks:
        effective = by_name[name].values
        if not isinstance(effective, EffectiveTensor):
            yield name, kept
            continue
        if effective.kind != "weight norm":
            advice = "use torch.nn.utils.remove_spectral_norm (or remove_parametrizations) before saving, then prune"
            raise InputError(f"{name}: a spectral norm rescales the pruned weight; {advice}")
        g, kept_v = pruned_weight_norm(effective, kept)
        yield effective.main.name, kept_v
        yield effective.others[0].name, g


def pruned_weight_norm(
    effective: EffectiveTensor, kept: Bool[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " factors"], Bool[np.ndarray, " n"]]:
    """The new g, and the mask of v, that make the effective weight the masked one."""
    v, axis = effective.main, effective.axis
    norms = np.sqrt(squared_norms(v, *axis, kept))
    vanishes = ~(norms >= MIN_NORM.get(v.dtype, DEFAULT_MIN_NORM))
    with np.errstate(invalid="ignore"):
        g = np.where(vanishes, 0.0, effective.factors * norms)
    kept_v = kept.copy()
    for start in range(0, v.n, CHUNK):
        stop = min(start + CHUNK, v.n)
        rows, lengths = _rows(start, stop, axis[1])
        kept_v[start:stop] |= np.repeat(vanishes[rows % axis[0]], lengths)
    return g, kept_v


def squared_norms(
    v: "Parameter", n_factors: int, length: int, kept: Bool[np.ndarray, " n"] | None = None
) -> Float[np.ndarray, " factors"]:
    """The sums of squares, in float64, of the values (those kept) that share a factor."""
    sums = np.zeros(n_factors)
    for start in range(0, v.n, CHUNK):
        stop = min(start + CHUNK, v.n)
        values = to_float64(_block(v, start, stop))
        if kept is not None:
            values[~kept[start:stop]] = 0
        rows, lengths = _rows(start, stop, length)
        with np.errstate(over="ignore", invalid="ignore"):
            row_sums = np.add.reduceat(values**2, np.cumsum(lengths) - lengths)
        sums += np.bincount(rows % n_factors, row_sums, n_factors)
        v.release()
    return sums


def spectral_norm(weight: "Parameter", u: Float[np.ndarray, " rows"], v: Float[np.ndarray, " columns"]) -> float:
    """u' W v, the estimate of the largest singular value that the network divides by (Miyato et al. 2018, eq. 19).

    If u fits several axes, it lies along the one of the largest estimate: the vectors were iterated for that matrix.
    """
    axes = _spectral_axes(weight.shape, u.shape, v.shape)
    estimates = [_bilinear(weight, u, v, prod(weight.shape[axis + 1 :])) for axis in axes]
    return max(estimates, key=abs)


def _bilinear(weight: "Parameter", u: np.ndarray, v: np.ndarray, length: int) -> float:
    total = 0.0
    for start in range(0, weight.n, CHUNK):
        stop = min(start + CHUNK, weight.n)
        rows, lengths = _rows(start, stop, length)
        offset = np.arange(start, stop) - np.repeat(rows * length, lengths)
        column = np.repeat(rows // u.size * length, lengths) + offset
        total += float((to_float64(_block(weight, start, stop)) * np.repeat(u[rows % u.size], lengths)) @ v[column])
        weight.release()
    return total


def _rows(start: int, stop: int, length: int) -> tuple[Int[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
    """The rows of this length that values start to stop lie in, and the number of these values in each row."""
    rows = np.arange(start // length, (stop - 1) // length + 1)
    edges = np.append(np.maximum(rows * length, start), stop)
    return rows, np.diff(edges)


def _read(p: "Parameter") -> Float[np.ndarray, " n"]:
    return to_float64(_block(p, 0, p.n))


def _block(p: "Parameter", start: int, stop: int) -> Float[np.ndarray, " n"]:
    block = p.block(start, stop)
    return block if isinstance(block, np.ndarray) else block.cpu().numpy()
