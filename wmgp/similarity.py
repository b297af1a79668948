"""How alike two networks are: cosine of their parameters, and agreement of what they compute."""

import numpy as np

from .errors import InputError
from .magnitudes import CHUNK
from .parameters import Parameter, collect, label


def cosine_similarity(a, b) -> float:
    """Cosine similarity in [-1, 1] of all the parameters of two sources (see `wmgp.analyze`), matched by name.

    Sums run in float64, tensor by tensor; nan where either is all zeros. Raises `InputError` naming the tensor where
    the two do not have the same names and shapes.
    """
    left = {p.name: p for p in collect(a, "all")}
    right = {p.name: p for p in collect(b, "all")}
    for name in left.keys() ^ right.keys():
        missing = label(b) if name in left else label(a)
        raise InputError(f"{name}: {missing} has no such parameter, expected the same names in both")
    dots = np.zeros(3)
    for name, p in left.items():
        if p.shape != right[name].shape:
            raise InputError(f"{name}: expected one shape in both, found {p.shape} and {right[name].shape}")
        dots += _dots(p, right[name])
    with np.errstate(invalid="ignore"):
        return float(np.clip(dots[0] / np.sqrt(dots[1]) / np.sqrt(dots[2]), -1, 1))


def _dots(a: Parameter, b: Parameter) -> np.ndarray:
    """The dot products a.b, a.a and b.b."""
    dots = np.zeros(3)
    for start in range(0, a.n, CHUNK):
        x, y = (_float64(p, start, min(start + CHUNK, a.n)) for p in (a, b))
        dots += np.dot(x, y), np.dot(x, x), np.dot(y, y)
        a.release()
        b.release()
    return dots


def _float64(p: Parameter, start: int, stop: int) -> np.ndarray:
    block = p.block(start, stop)
    return (block if isinstance(block, np.ndarray) else block.cpu().numpy()).astype(np.float64)
