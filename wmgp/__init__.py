"""How much of a network can be pruned, from its weights alone.

Based on G. Mason-Williams and F. Dahlqvist, *What Makes a Good Prune? Maximal Unstructured Pruning for Maximal Cosine
Similarity*, ICLR 2024. The public names below are imported on first use, which keeps ``import wmgp`` fast.
"""

# pyright: reportUnusedImport=false
# Type checkers read the imports under TYPE_CHECKING; at run time __getattr__ imports a name on first use.

from importlib import import_module
from typing import TYPE_CHECKING

from ._histogram.numba_cache import ensure_cache_dir

__version__ = "0.1.0"

_MODULES = {
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
    "unseen": "unseen_weights",
    "InputError": "errors",
}

__all__ = ["__version__", *_MODULES]

if TYPE_CHECKING:
    from .analysis import Analysis, analyze, kurtosis_of_kurtoses
    from .errors import InputError
    from .moments import kurtosis
    from .pareto import Front, Point, optimal_amount, pareto_front, safe_amount
    from .pruning import apply_masks, global_masks, prune
    from .similarity import cosine_similarity
    from .unseen_weights import unseen


ensure_cache_dir()


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
