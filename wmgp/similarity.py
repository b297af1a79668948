"""How alike two networks are: cosine of their parameters, and agreement of what they compute."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ._histogram.measurement import CHUNK
from .arrays import is_torch, to_float64
from .errors import InputError
from .parameters import Parameter, collect, source_name


def cosine_similarity(a: Any, b: Any) -> float:
    """Cosine similarity in [-1, 1] of all the parameters of two sources (see `wmgp.analyze`), matched by name.

    Sums run in float64, tensor by tensor; nan where either is all zeros or has a NaN. Raises `InputError` naming the
    tensor where the two do not have the same names and shapes.
    """
    left = {p.name: p for p in collect(a, "all")}
    right = {p.name: p for p in collect(b, "all")}
    for name in left.keys() ^ right.keys():
        missing = source_name(b) if name in left else source_name(a)
        raise InputError(f"{name}: {missing} has no such parameter, expected the same names in both")
    dots = np.zeros(3)
    for name, p in left.items():
        if p.shape != right[name].shape:
            raise InputError(f"{name}: expected one shape in both, found {p.shape} and {right[name].shape}")
        dots += _dot_products(p, right[name])
    with np.errstate(invalid="ignore"):
        return float(np.clip(dots[0] / np.sqrt(dots[1]) / np.sqrt(dots[2]), -1, 1))


def _dot_products(a: Parameter, b: Parameter) -> np.ndarray:
    """The dot products a.b, a.a and b.b."""
    dots = np.zeros(3)
    for start in range(0, a.n, CHUNK):
        x, y = _to_float64(*(p.block(start, min(start + CHUNK, a.n)) for p in (a, b)))
        dots += [float(u @ v) for u, v in ((x, y), (x, x), (y, y))]
        a.release()
        b.release()
    return dots


def _to_float64(*blocks: Any) -> list[Any]:
    """Blocks in float64: on the CUDA device where all lie on one, else as arrays."""
    if all(is_torch(block) for block in blocks):
        return [block.to(blocks[0].device).double() for block in blocks]
    return [to_float64(block.cpu().numpy() if is_torch(block) else block) for block in blocks]


def agreement(a: Float[np.ndarray, "n classes"], b: Float[np.ndarray, "n classes"]) -> float:
    """Share in [0, 1] of the inputs for which two networks' outputs have their largest value in the same class."""
    _check_outputs(a, b)
    return float(np.mean(np.argmax(a, axis=1) == np.argmax(b, axis=1)))


def js_divergence(a: Float[np.ndarray, "n classes"], b: Float[np.ndarray, "n classes"]) -> float:
    """Mean over the inputs of the Jensen-Shannon divergence of the softmax of two networks' logits, in [0, ln 2] nats.

    The mean of the two divergences from the halfway distribution (Lin 1991, doi:10.1109/18.61115).
    """
    from scipy.special import log_softmax

    _check_outputs(a, b)
    p, q = (log_softmax(np.asarray(x, dtype=np.float64), axis=1) for x in (a, b))  # [n, classes], logarithms
    halfway = np.logaddexp(p, q) - np.log(2)
    divergence = np.exp(p) * (p - halfway) + np.exp(q) * (q - halfway)
    return float(np.clip(divergence.sum(axis=1).mean() / 2, 0, np.log(2)))


def linear_cka(a: Float[np.ndarray, "n p"], b: Float[np.ndarray, "n q"]) -> float:
    """Linear centred kernel alignment of two networks' outputs, in [0, 1]; nan where either is the same for all inputs.

    |A'B|^2 / (|A'A| |B'B|), Frobenius norms, of the outputs less their means (Kornblith et al. 2019, arXiv:1905.00414).
    """
    if len(a) != len(b) or len(a) == 0:
        raise InputError(f"outputs: expected the same inputs for both, found {len(a)} and {len(b)}")
    a, b = (np.asarray(x, dtype=np.float64) - np.mean(x, axis=0, dtype=np.float64) for x in (a, b))
    with np.errstate(invalid="ignore"):
        cka = np.linalg.norm(a.T @ b) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    return float(np.clip(cka, 0, 1))


def _check_outputs(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or a.ndim != 2 or a.size == 0:
        raise InputError(f"outputs: expected two tables of inputs by classes, found {a.shape} and {b.shape}")
