"""C8: kurtoses of kurtoses, and MobileNetV2, whose layers break according to the paper."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..statistics import accuracy_cost
from .parent_weights import parent_row, parents_by_network
from .records import Recorded
from .sweeps import EXPECTED_FAILURE, accuracy_lost_at, by_parent, sweep_row
from .verdicts import Row, mean, single

NOTEBOOK = "09_when_it_fails"
SMALLEST_KEPT_SHARE = "Smallest share that a tensor of two or more dimensions keeps, global L1 at the optimal amount"


def kurtoses_of_kurtoses(of: Recorded) -> Iterator[Row]:
    """Yield the rows of published values: MobileNetV2's, and the range of well-behaved networks."""
    key = "kurtosis_of_kurtoses.mobilenet_v2"
    yield imagenet_row(of, key, "Kurtosis of kurtoses", of.mobilenet["analysis"]["kurtosis_of_kurtoses"], ".2f")
    for alike in parents_by_network(of).values():
        if alike[0]["network"] != EXPECTED_FAILURE:
            k2 = [record["trained"]["analysis"]["kurtosis_of_kurtoses"] for record in alike]
            key = "kurtosis_of_kurtoses.well_behaved"
            yield parent_row(of, alike, "C8", key, "Kurtosis of kurtoses", k2, ".2f", NOTEBOOK)


def when_it_fails(of: Recorded) -> Iterator[Row]:
    """Yield the rows of MobileNetV2 at the optimal and the safe amount, and pruned tensor by tensor."""
    for name, rows in of.sweeps:
        if rows["network"].iloc[0] != EXPECTED_FAILURE or rows["epochs"].iloc[0] != 1:
            continue
        parents, most = by_parent(of, rows), {}
        for method, part in rows.groupby("method"):
            most[method] = np.array([accuracy_cost.largest_amount(each) for _, each in part.groupby("parent_sha256")])
        local = (most["l1_local"] - most["l1"]).tolist() if "l1_local" in most else []
        kept, worst = zip(*(smallest_kept_share(analysis) for analysis, _ in parents), strict=True)
        for key, claim, values, form, note in (
            ("C8.cut", SMALLEST_KEPT_SHARE, kept, ".2%", worst[int(np.argmin(kept))]),
            ("C8.optimal", "Accuracy lost at the optimal amount, after an epoch (percentage points)",
             accuracy_lost_at(parents, "optimal"), "+.2f", ""),
            ("C8.safe", "Accuracy lost at the safe amount, after an epoch (percentage points)",
             accuracy_lost_at(parents, "safe"), "+.2f", ""),
            ("C8.local", "Largest amount at a cost of one point, L1 per tensor minus global", local, "+.2f", ""),
        ):  # fmt: skip
            yield sweep_row(of, name, rows, "C8", key, claim, mean(values), form, NOTEBOOK, note)


def smallest_kept_share(analysis: dict[str, Any]) -> tuple[float, str]:
    """Return the smallest share in [0, 1] that a tensor keeps at the optimal amount, and a note that names the tensor.

    Only tensors of 2 or more dimensions count. A layer stays connected even if its batch-norm bias is zero.
    """
    layers = [tensor for tensor in analysis["tensors"] if len(tensor["shape"]) >= 2]
    worst = min(layers, key=lambda tensor: 1 - tensor["pruned_at_optimal"] / tensor["n"])
    kept = worst["n"] - worst["pruned_at_optimal"]
    return kept / worst["n"], f"That is {worst['name']}, which keeps {kept:,} of {worst['n']:,} values."


def torchvision_weights(of: Recorded) -> Iterator[Row]:
    """Yield the same row for the weights that the paper names, torchvision's."""
    kept, worst = smallest_kept_share(of.mobilenet["analysis"])
    yield imagenet_row(of, "C8.cut", SMALLEST_KEPT_SHARE, kept, ".2%", note=worst)


def imagenet_row(of: Recorded, key: str, claim: str, value: float, form: str, note: str = "") -> Row:
    """Return a row about torchvision's MobileNetV2; it is exact because we do not train this network."""
    return of.row(
        "C8", key, claim, (EXPECTED_FAILURE, "ImageNet"), single(value), form, NOTEBOOK,
        of.commands("mobilenet_v2.json"), ("mobilenet_v2.json",), note=note, exact=True,
    )  # fmt: skip


MEASURES = (kurtoses_of_kurtoses, torchvision_weights, when_it_fails)
