"""The reference run, C4's loss surfaces and fronts, and rows about our trained parents."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..display_names import SCRATCH, display_name
from ..results.formatting import format_integer_ranges, format_mean_range
from ..statistics.intervals import prediction_interval
from ..statistics.rule_errors import amounts_from_front
from ..statistics.surfaces import surface_distance
from .records import Recorded
from .verdicts import Estimate, Row, geometric, mean

REFERENCE = {  # path below reference_run in published.json -> rule, column, claim, format
    "accuracy_parent": ("optimal", "accuracy_parent", "Test accuracy of the parent", ".2%"),
    "loss_parent": ("optimal", "loss_parent", "Test loss of the parent (nats)", ".3f"),
    "kurtosis_of_kurtoses": ("optimal", "k2", "Kurtosis of kurtoses", ".2f"),
    "optimal.amount": ("optimal", "amount", "Optimal amount", ".3f"),
    "optimal.accuracy_pruned": ("optimal", "accuracy_pruned", "Accuracy just after the optimal prune", ".1%"),
    "optimal.accuracy": ("optimal", "accuracy", "Accuracy an epoch after the optimal prune", ".2%"),
    "safe.amount": ("safe", "amount", "Safe amount", ".3f"),
    "safe.accuracy_pruned": ("safe", "accuracy_pruned", "Accuracy just after the safe prune", ".1%"),
    "safe.accuracy": ("safe", "accuracy", "Accuracy an epoch after the safe prune", ".2%"),
}
SURFACE_DISTANCE = "Largest change of the loss surface at cosine 0.99 (nats)"


def reference_run(of: Recorded) -> Iterator[Row]:
    """Yield the rows of the nine values that the authors' notebook prints."""
    for path, (rule, column, claim, form) in REFERENCE.items():
        key, values = f"reference_run.{path}", of.reference.loc[of.reference["rule"] == rule, column].tolist()
        yield of.row(
            "R", key, claim, ("lenet5", "mnist"), mean(values), form, "04_reference_run",
            of.commands("reference_run.csv"), ("reference_run.csv",),
            note=prediction_note(values, of.published[key], form),
        )  # fmt: skip


def prediction_note(values: Sequence[float], published: float, form: str) -> str:
    """Return a note: whether the published run lies in the interval of one more run (`prediction_interval`)."""
    _, low, high = prediction_interval(values)
    lies = "inside" if low <= published <= high else "outside"
    return f"The published run lies {lies} the interval of one run more, {low:{form}} to {high:{form}}."


def surfaces(of: Recorded) -> Iterator[Row]:
    """Yield C4's rows: the random prune's amount at cosine 0.99, and how far each prune moves the loss surface."""
    for name, arrays, facts in of.surfaces:
        l1, random = ([surface_distance(each[0], each[i]) for each in arrays["plane"]] for i in (1, 2))
        ratios = np.divide(random, l1)
        above = f"Above one in {(ratios > 1).sum()} of {len(ratios)} parents."
        measured: list[tuple[str, str, Estimate, str, str]] = [
            ("landscape.random.amount", "Amount at which random reaches cosine 0.99", mean(arrays["amount"][:, 2]),
             ".3f", ""),
            ("landscape.l1.l_infinity_distance", f"{SURFACE_DISTANCE}, L1", mean(l1), ".2f", ""),
            ("landscape.random.l_infinity_distance", f"{SURFACE_DISTANCE}, random", mean(random), ".2f", ""),
            ("C4.ratio", "The same, random over L1, geometric mean of the parents", geometric(ratios), ".2f", above),
        ]  # fmt: skip
        for key, claim, found, form, note in measured:
            yield of.row(
                "C4", key, claim, (facts["network"], facts["data"]), found, form, "07_loss_landscape",
                facts["command"], (name,), note=note,
            )  # fmt: skip


def amounts_at_cosine(of: Recorded) -> Iterator[Row]:
    """Yield C4's amount for every network, because the paper does not name the network of its value."""
    key, claim = "landscape.l1.amount", "Amount at which L1 reaches cosine 0.99"
    found = {
        name: [amounts_from_front(record["trained"]["analysis"])["cosine 0.99"] for record in alike]
        for name, alike in parents_by_network(of).items()
    }
    note = f"Over the networks here, mean and range: {format_mean_range(map(np.mean, found.values()), '.2f')}."
    for name, alike in parents_by_network(of).items():
        yield parent_row(of, alike, "C4", key, claim, found[name], ".2f", "08_optimal_amount", note)


def parents_by_network(of: Recorded) -> dict[str, list[dict[str, Any]]]:
    """Return the records of the parents trained from scratch, by display name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in of.parents:
        if record["start"] == SCRATCH:
            found.setdefault(display_name(record["network"], record["data"]), []).append(record)
    return found


def parent_row(
    of: Recorded, alike: list[dict[str, Any]], id: str, key: str, claim: str, values: Sequence[float], form: str,
    notebook: str, note: str = "",
) -> Row:  # fmt: skip
    """Return a row about parents of one network; `values` has one value per parent."""
    first = alike[0]
    data = first["data"].removesuffix("-jpeg")
    seeds = format_integer_ranges(record["seed"] for record in alike)
    command = f"wmgp sweep --network {first['network']} --data {data} --seeds {seeds}"
    return of.row(
        id, key, claim, (first["network"], first["data"]), mean(values), form, notebook,
        f"{command} --amounts 0 --out results/parents.csv", (f"parents/{first['network']}-{first['data']}-seed*.json",),
        commits={record["commit"] for record in alike}, note=note,
    )  # fmt: skip


MEASURES = (reference_run, surfaces, amounts_at_cosine)
