"""Similarity of two networks: the cosine of their parameters, and metrics of their outputs."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ._histogram.blocks import CHUNK
from .arrays import is_torch, to_float64
from .errors import InputError
from .parameters import Parameter, collect_with_warnings, source_name


def cosine_similarity(a: Any, b: Any) -> float:
    """Cosine similarity in [-1, 1] of all parameters of two sources (see `wmgp.analyze`), matched by name.

    Sums run in float64. The result is nan if a source is all zeros or has a NaN. Raises `InputError` naming the
    tensor if the sources differ in names or shapes.

    Example:
        >>> import numpy as np, wmgp
        >>> parent, pruned = {"a.weight": np.array([3.0, -4.0])}, {"a.weight": np.array([0.0, -4.0])}
        >>> wmgp.cosine_similarity(parent, pruned)
        0.8
    """
    left, right = _comparable(a, b)
    for name in left.keys() ^ right.keys():
        source = source_name(b) if name in left else source_name(a)
        raise InputError(f"{name}: {source} has no such parameter, expected the same names in both")
    dots = np.zeros(3)
    for name, p in left.items():
        if p.shape != right[name].shape:
            raise InputError(f"{name}: expected the same shape in both, found {p.shape} and {right[name].shape}")
        dots += _dot_products(p, right[name])
    with np.errstate(invalid="ignore"):
        return float(np.clip(dots[0] / np.sqrt(dots[1]) / np.sqrt(dots[2]), -1, 1))


def _comparable(a: Any, b: Any) -> tuple[dict[str, Parameter], dict[str, Parameter]]:
    """The parameters of two sources by name, without buffers: tensors that neither source holds as a parameter.

    Pruning can leave values that look like a buffer's, and a module lists no buffers, so one source alone cannot tell.
    """
    both = [collect_with_warnings(source, "all") for source in (a, b)]
    names = {p.name for collection in both for p in collection.parameters}
    left, right = ({p.name: p for p in [*c.parameters, *c.buffers] if p.name in names} for c in both)
    return left, right


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
    """Blocks in float64: as tensors on the first block's CUDA device if all are on CUDA, else as arrays."""
    if all(is_torch(block) for block in blocks):
        return [block.to(blocks[0].device).double() for block in blocks]
    return [to_float64(block.cpu().numpy() if is_torch(block) else block) for block in blocks]


def agreement(a: Float[np.ndarray, "n classes"], b: Float[np.ndarray, "n classes"]) -> float:
    """Share in [0, 1] of the inputs for which two networks predict the same class.

    `a`, `b`: the networks' outputs, of shape (n, classes). Raises `InputError` for unequal or empty shapes.

    Example:
        >>> import numpy as np
        >>> from wmgp.similarity import agreement
        >>> agreement(np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([[3.0, 1.0], [1.0, 0.0]]))
        0.5
    """
    _check_outputs(a, b)
    return float(np.mean(np.argmax(a, axis=1) == np.argmax(b, axis=1)))


def js_divergence(a: Float[np.ndarray, "n classes"], b: Float[np.ndarray, "n classes"]) -> float:
    """Mean Jensen-Shannon divergence of two networks' predicted distributions, in [0, ln 2] nats.

    `a`, `b`: the networks' logits, of shape (n, classes). Per input, the mean of the KL divergences of both softmax
    distributions from their average (Lin 1991, doi:10.1109/18.61115). Raises `InputError` for unequal or empty shapes.

    Example:
        >>> import numpy as np
        >>> from wmgp.similarity import js_divergence
        >>> round(js_divergence(np.array([[99.0, 0.0]]), np.array([[0.0, 99.0]])), 4)  # ln 2
        0.6931
    """
    from scipy.special import log_softmax

    _check_outputs(a, b)
    p, q = (log_softmax(np.asarray(x, dtype=np.float64), axis=1) for x in (a, b))  # [n, classes], log probabilities
    average = np.logaddexp(p, q) - np.log(2)
    divergence = np.exp(p) * (p - average) + np.exp(q) * (q - average)
    return float(np.clip(divergence.sum(axis=1).mean() / 2, 0, np.log(2)))


def linear_cka(a: Float[np.ndarray, "n p"], b: Float[np.ndarray, "n q"]) -> float:
    """Linear centred kernel alignment (CKA) of two networks' outputs, in [0, 1]; nan if outputs do not vary.

    `a`, `b`: outputs for the same n inputs, of shapes (n, p) and (n, q). |A'B|^2 / (|A'A| |B'B|) with Frobenius norms
    of the centred outputs (Kornblith et al. 2019, arXiv:1905.00414). Raises `InputError` if n differs or is 0.

    Example:
        >>> import numpy as np
        >>> from wmgp.similarity import linear_cka
        >>> outputs = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
        >>> round(linear_cka(outputs, 3 * outputs + 1), 6)
        1.0
    """
    if len(a) != len(b) or len(a) == 0:
        raise InputError(f"outputs: expected the same inputs for both, found {len(a)} and {len(b)}")
    a, b = (np.asarray(x, dtype=np.float64) - np.mean(x, axis=0, dtype=np.float64) for x in (a, b))
    with np.errstate(invalid="ignore"):
        cka = np.linalg.norm(a.T @ b) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    return float(np.clip(cka, 0, 1))


def _check_outputs(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape or a.ndim != 2 or a.size == 0:
        raise InputError(
            f"outputs: expected two arrays of the same shape (inputs, classes), found {a.shape} and {b.shape}"
        )
