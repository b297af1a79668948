"""Tell the buffers in a file from its parameters: by name, as copies of the weights, and by content.

A module knows its buffers. A file or a state dict lists them among the parameters: masks, position tables, windows,
noise schedules, moving averages.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from .arrays import to_float64

if TYPE_CHECKING:
    from .parameters import Parameter

# Common names of buffers, by the last part of the name.
STATE = frozenset(  # always state: no warning is needed
    "running_mean running_var num_batches_tracked inv_freq freqs_cis cos_cached sin_cached masked_bias "
    "attn_mask relative_position_index position_ids".split()
)
NAMES = frozenset(
    "mask attention_mask causal_mask tril triu bias_mask relative_coords_table relative_position_bucket "
    "window stft_window hann_window fb mel_fb mel_filters mel_filterbank mel_basis filterbank filter_bank dct_mat "
    "anchors anchor_grid anchor_points stride strides freqs pixel_mean pixel_std image_mean image_std img_mean img_std "
    "class_weight class_weights pos_weight queue w_avg latent_avg noise_const resample_filter "
    "cluster_size ema_cluster_size embed_avg ema_w".split()
)
NAME_PATTERNS = (
    r"(^|\.)(betas|alphas|sigmas|timesteps|alphas_cumprod(_prev)?|log_one_minus_\w+|posterior_\w+|"
    r"sqrt_(recipm?1?_)?(one_minus_)?alphas?\w*)$",  # the schedules of diffusion models
    r"(^|\.)(mean|std)$",  # of images; see MAX_STATISTICS
    r"(^|[._])(criterion|loss|loss_fn|loss_func|loss_function)(\.\d+)?\.weight$",  # class weights; vectors only
)
MAX_STATISTICS = 4  # values of a mean or a standard deviation: one per colour channel
COPY = re.compile(r"(^|_)(ema|averaged|shadow)(_|$)")  # in a part of the name: a moving average of the weights

LISTED = re.compile(r"(^|_)(weight|bias|kernel|embedding|embeddings|embed|gamma|beta|alpha|scale|token|tokens|query)")
MIN_VALUES = 16  # fewer values say too little
MIN_STEPS = 8  # of a position table
PREFIX = 1 << 16  # values read before the whole tensor is
TOLERANCES = {"float16": 0.02, "bfloat16": 0.02}  # of a recurrence, relative to the values; see _follows_recurrence
DEFAULT_TOLERANCE = 0.002
MIN_VARIATION = 0.1  # standard deviation of a column, relative to its values
MIN_VARYING = 0.1  # share of columns


def find_buffers(parameters: "Sequence[Parameter]") -> dict[str, str]:
    """Map the names of the tensors that are buffers to the reason, in words. Weights and biases are rarely buffers.

    Example:
        >>> import numpy as np
        >>> from wmgp.buffers import find_buffers
        >>> from wmgp.parameters import Parameter
        >>> rows = {"a.weight": np.ones((20, 20)), "a.causal": np.tril(np.ones((20, 20)))}
        >>> find_buffers([Parameter(name, values) for name, values in rows.items()])
        {'a.causal': 'two values'}
    """
    copies = _find_copies(parameters)
    reasons = {}
    for p in parameters:
        reason = copies.get(p.name) or _by_name(p) or _by_content(p)
        if reason:
            reasons[p.name] = reason
    return reasons


def is_state(name: str, values: Any, tensors: Mapping[str, Any]) -> bool:
    """Return True for the state of common layers, for a pruning mask, and for a spectral norm's vector."""
    shape = tuple(values.shape)
    causal = name.endswith("attn.bias") and len(shape) == 4 and shape[:2] == (1, 1) and shape[2] == shape[3]
    vector = name.endswith(("_u", "_v")) and (f"{name[:-2]}_orig" in tensors or "parametrizations." in name)
    mask = name.endswith("_mask") and f"{name.removesuffix('_mask')}_orig" in tensors
    return name.rpartition(".")[2] in STATE or causal or vector or mask


def may_be_buffer(name: str) -> bool:
    """Return True unless the last part of the name is that of a parameter, such as in_proj_weight or cls_token."""
    return LISTED.search(name.rpartition(".")[2].lower()) is None


def _by_name(p: "Parameter") -> str | None:
    if p.name.rpartition(".")[2] in NAMES:
        return "name"
    if max(p.shape, default=1) != p.n:  # no vector
        return None
    schedule, statistics, loss = (re.search(pattern, p.name) for pattern in NAME_PATTERNS)
    return "name" if schedule or loss or (statistics and p.n <= MAX_STATISTICS) else None


def _find_copies(parameters: "Sequence[Parameter]") -> dict[str, str]:
    """The moving averages of weights that the source holds too; the names may have lost their dots."""
    marked = [p for p in parameters if any(COPY.search(part) for part in p.name.split(".")[:-1])]
    if not marked:
        return {}
    names = {p.name for p in marked}
    originals = {
        (suffix, p.shape) for p in parameters if p.name not in names for suffix in _suffixes(p.name.split("."))
    }
    copies = {}
    for p in marked:
        parts = p.name.split(".")
        after = parts[next(i for i, part in enumerate(parts) if COPY.search(part)) + 1 :]
        if any((suffix, p.shape) in originals for suffix in _suffixes(after)):
            copies[p.name] = "moving average"
    return copies


def _suffixes(parts: Sequence[str]) -> Iterator[str]:
    """The name without dots, and without its first one or two parts."""
    for skipped in range(min(3, len(parts))):
        yield "".join(parts[skipped:])


def _by_content(p: "Parameter") -> str | None:
    """The kind of a buffer's values; None for values that training could leave."""
    is_weight = p.name.rpartition(".")[2] in ("weight", "bias")
    shape = tuple(n for n in p.shape if n != 1)
    if p.n < MIN_VALUES or p.mask is not None or (is_weight and len(shape) < 2):
        return None
    if is_weight and (shape[-1] != shape[-2] or shape[-1] < MIN_STEPS or _has_three_values(p)):
        return None  # no causal mask
    size = min(p.n, max(PREFIX, MIN_STEPS * shape[-1]))
    kind = _kind(_read(p, size, shape), shape, p.dtype, is_weight)
    return _kind(_read(p, p.n, shape), shape, p.dtype, is_weight) if kind and size < p.n else kind


def _has_three_values(p: "Parameter") -> bool:
    """Return True if the first values already rule a mask out; this is fast for tens of thousands of tensors."""
    return len(set(p.block(0, MIN_VALUES).tolist())) > 2


def _read(p: "Parameter", size: int, shape: tuple[int, ...]) -> Float[np.ndarray, "rows columns"]:
    """The first values, in whole rows of the last axis."""
    size -= size % shape[-1]
    block = p.block(0, size)
    values = to_float64(block) if isinstance(block, np.ndarray) else block.double().cpu().numpy()
    p.release()
    return values.reshape(-1, shape[-1])


def _kind(rows: Float[np.ndarray, "rows columns"], shape: tuple[int, ...], dtype: str, is_weight: bool) -> str | None:
    """The kind of the values; a weight can only be a causal mask.

    A tensor pruned to its last few values must not look like a buffer: all kinds need values other than zero.
    """
    if np.isnan(rows).any() or not rows.any():
        return None
    n_smallest, n_largest = (int((rows == end).sum()) for end in (rows.min(), rows.max()))
    two_valued = min(n_smallest, n_largest) > 1 and n_smallest + n_largest == rows.size
    if is_weight:
        return "causal mask" if two_valued and _is_triangular(rows, shape) else None
    if two_valued:
        return "two values"
    with np.errstate(invalid="ignore", over="ignore"):
        if len(shape) == 1:
            return _kind_of_vector(rows[0], dtype)
        return _kind_of_matrix(rows, shape, dtype)


def _kind_of_vector(values: Float[np.ndarray, " n"], dtype: str) -> str | None:
    steps = np.diff(values)
    if (steps.min() >= 0 or steps.max() <= 0) and 2 * np.count_nonzero(steps) > steps.size:
        return "sorted values"
    return "sinusoid" if _follows_recurrence(steps[:, None], dtype) else None


def _kind_of_matrix(rows: Float[np.ndarray, "rows columns"], shape: tuple[int, ...], dtype: str) -> str | None:
    if (rows == rows[:, :1]).all() or (rows == rows[:1]).all():
        return "constant rows"
    if _is_triangular(rows, shape):
        return "triangular"
    if _is_toeplitz(rows, shape):
        return "constant diagonals"
    sequence = rows[: shape[-2]]
    return "sinusoids" if _follows_recurrence(sequence, dtype) or _follows_recurrence(rows.T, dtype) else None


def _row_of(rows: np.ndarray, shape: tuple[int, ...]) -> Int[np.ndarray, " rows"]:
    """The index of each row within its matrix, the last two axes."""
    return np.arange(len(rows)) % shape[-2]


def _is_triangular(rows: Float[np.ndarray, "rows columns"], shape: tuple[int, ...]) -> bool:
    """Return True if the values strictly above or below the diagonal equal the corner, and most others do not."""
    if shape[-1] != shape[-2] or shape[-1] < MIN_STEPS:
        return False
    row, column = _row_of(rows, shape)[:, None], np.arange(shape[-1])
    for side, corner in ((column > row, rows[0, -1]), (column < row, rows[1, 0])):
        if (rows[side] == corner).all() and 2 * int((rows[~side] == corner).sum()) < np.count_nonzero(~side):
            return True
    return False


def _is_toeplitz(rows: Float[np.ndarray, "rows columns"], shape: tuple[int, ...]) -> bool:
    """Return True if each diagonal is constant, as in relative position biases and banded masks."""
    if min(shape[-2:]) < MIN_STEPS or 2 * np.count_nonzero(rows) < rows.size:
        return False
    inside = _row_of(rows, shape)[1:] > 0
    return bool((rows[1:, 1:] == rows[:-1, :-1])[inside].all())


def _follows_recurrence(columns: Float[np.ndarray, "steps columns"], dtype: str) -> bool:
    """Return True if every column satisfies x[t-1] + x[t+1] = c x[t]: sinusoids, ramps and geometric sequences.

    sin(w (t-1)) + sin(w (t+1)) = 2 cos(w) sin(w t), for any phase; a ramp has c = 2, and ratios r have c = r + 1/r.
    """
    if len(columns) < MIN_STEPS or not np.isfinite(columns).all():
        return False
    middle, neighbours = columns[1:-1], columns[:-2] + columns[2:]
    energy = (middle**2).sum(axis=0)
    used = energy > 0
    if not used.any() or neighbours[:, ~used].any():
        return False
    # A column that hardly varies satisfies it nearly, whatever its values are.
    varies = columns[:, used].std(axis=0) ** 2 * len(columns) > MIN_VARIATION**2 * energy[used]
    if varies.mean() < MIN_VARYING:
        return False
    factor = (middle * neighbours).sum(axis=0)[used] / energy[used]
    error = ((neighbours[:, used] - factor * middle[:, used]) ** 2).sum(axis=0)
    return bool((error <= TOLERANCES.get(dtype, DEFAULT_TOLERANCE) ** 2 * energy[used]).all())
