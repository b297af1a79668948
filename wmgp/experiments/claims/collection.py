"""The claims, their rows, and checks that the rows are complete."""

from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from . import kurtosis, layer_collapse, parent_weights, sweeps
from .records import read
from .verdicts import Row, combined_verdict

CLAIMS = {
    "R": "The reference run: LeNet-5 on MNIST, as the authors' notebook prints it.",
    "C1": "L1 pruning keeps the highest cosine similarity to the parent among all prunes of the same amount.",
    "C2": "After one epoch of fine-tuning, accuracy follows the cosine for every method, but not the amount.",
    "C3": "Cosine similarity stands for functional similarity; one epoch leads back to the parent's region.",
    "C4": "Networks are brittle in their large weights.",
    "C5": "The higher the kurtosis of the parameters, the more can be pruned.",
    "C6": "Networks cannot be pruned at initialisation: kurtosis is low there, and the cosine falls early.",
    "C7": "The point of the front nearest to utopia is the most to prune.",
    "C8": "A high kurtosis of kurtoses warns of broken layers: prune less, or tensor by tensor.",
    "C9": "After a small prune ten epochs bring a network closer to its parent than one; after a big one farther away.",
}
MEASURES = (*parent_weights.MEASURES, *kurtosis.MEASURES, *sweeps.MEASURES, *layer_collapse.MEASURES)
# Published values without a row: cosines at which other values were measured, and the ends of a range used as a limit.
NO_ROW = {
    *("landscape.l1.cosine", "landscape.random.cosine"),
    *("kurtosis_of_kurtoses.well_behaved_low", "kurtosis_of_kurtoses.well_behaved_high"),
}


def collect(folder: str | Path) -> list[Row]:
    """Return all rows in the order of the claims; they depend on nothing but the files in the folder.

    Raises InputError if a record lacks a value, or if `check` fails.
    """
    recorded = read(folder)
    try:
        rows = [row for measure in MEASURES for row in measure(recorded)]
    except KeyError as error:
        raise InputError(f"{folder}: a record lacks {error}") from error
    check(rows, set(recorded.published))
    order = list(CLAIMS)
    return sorted(rows, key=lambda row: order.index(row.id))


def check(rows: Sequence[Row], published: set[str]) -> None:
    """Raise InputError for a claim or published value without a row, and for a row without provenance."""
    if missing := set(CLAIMS) - {row.id for row in rows}:
        raise InputError(f"claim {min(missing)}: no row is measured for it")
    if missing := published - {row.key for row in rows} - NO_ROW:
        raise InputError(f"published value {min(missing)}: no row is measured for it")
    if bare := [row for row in rows if not row.sources or not row.commits]:
        raise InputError(f"claim {bare[0].id}, {bare[0].claim}: a number without provenance")


def overall(rows: Sequence[Row]) -> dict[str, str]:
    """Return the verdict of each claim, combined from its rows."""
    return {id: combined_verdict([row.verdict for row in rows if row.id == id]) for id in CLAIMS}
