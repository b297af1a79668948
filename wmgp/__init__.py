"""How much of a network can be pruned, from its weights alone.

After G. Mason-Williams and F. Dahlqvist, *What Makes a Good Prune? Maximal Unstructured Pruning for Maximal Cosine
Similarity*, ICLR 2024. The public names below are imported when they are first used, so that ``import wmgp`` is quick.
"""

# pyright: reportUnusedImport=false
# The imports below are for type checkers alone: at run time a name is imported when it is first used.

from importlib import import_module
from typing import TYPE_CHECKING

from ._histogram.numba_cache import ensure_cache_dir

__version__ = "0.1.0"

_HOMES = {
    "analyze": "analysis",
    "Analysis": "analysis",
    "pareto_front": "pareto",
    "optimal_amount": "pareto",
    "safe_amount": "pareto",
    "Front": "pareto",
    "Point": "pareto",
    "kurtosis": "moments",
    "kurtosis_of_kurtoses": "analysis",
    "cosine_similarity": "similarity",
    "global_masks": "pruning",
    "apply_masks": "pruning",
    "prune": "pruning",
    "InputError": "errors",
}

__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from .analysis import Analysis, analyze, kurtosis_of_kurtoses
    from .errors import InputError
    from .moments import kurtosis
    from .pareto import Front, Point, optimal_amount, pareto_front, safe_amount
    from .pruning import apply_masks, global_masks, prune
    from .similarity import cosine_similarity


ensure_cache_dir()


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
