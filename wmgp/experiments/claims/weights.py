"""What weights alone say: the reference run's figures, kurtoses, fronts before and after training, loss surfaces."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..names import SCRATCH, called
from ..studies import landscape
from .coverage import ranges
from .recorded import Recorded
from .verdicts import Row, mean

REFERENCE = {  # path below reference_run in published.json -> rule, column, what it is, format
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
STEEP = 0.8  # the amount at which fronts before and after training are compared
DISTANCE = "Largest change of the loss surface at cosine 0.99 (nats)"


def reference_run(of: Recorded) -> Iterator[Row]:
    """The nine figures that the authors' notebook prints."""
    for path, (rule, column, claim, form) in REFERENCE.items():
        rows = of.reference[of.reference["rule"] == rule]
        yield of.row(
            "R", f"reference_run.{path}", claim, ("lenet5", "mnist"), mean(rows[column].tolist()), len(rows), form,
            "04_reference_run", "python -m wmgp.experiments.studies.reference", ("reference_run.csv",),
        )  # fmt: skip


def surfaces(of: Recorded) -> Iterator[Row]:
    """C4: what L1 removes to a cosine of 0.99, and how far either prune moves the loss surface."""
    for name, arrays, facts in of.surfaces:
        far = {i: [landscape.distance(each[0], each[i]) for each in arrays["plane"]] for i in (1, 2)}
        measured: list[tuple[str, str, Any, str]] = [
            ("landscape.l1.amount", "Amount at which L1 reaches cosine 0.99", arrays["amount"][:, 1], ".2f"),
            ("landscape.random.amount", "Amount at which random reaches cosine 0.99", arrays["amount"][:, 2], ".3f"),
            ("landscape.l1.l_infinity_distance", f"{DISTANCE}, L1", far[1], ".2f"),
            ("landscape.random.l_infinity_distance", f"{DISTANCE}, random", far[2], ".2f"),
            ("C4.ratio", "The same, random over L1", np.divide(far[2], far[1]), ".2f"),
        ]
        for key, claim, values, form in measured:
            yield of.row(
                "C4", key, claim, (facts["network"], facts["data"]), mean(values), len(values), form,
                "07_loss_landscape", landscape.command(arrays, facts), (name,),
            )  # fmt: skip


def families(of: Recorded) -> dict[str, list[dict[str, Any]]]:
    """The records of parents that were trained from scratch, by what they are called."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in of.parents:
        if record["start"] == SCRATCH:
            found.setdefault(called(record["network"], record["data"]), []).append(record)
    return found


def parent_row(
    of: Recorded, alike: list[dict[str, Any]], id: str, key: str, claim: str, values: Sequence[float], form: str,
    notebook: str, note: str = "",
) -> Row:  # fmt: skip
    """A row about parents of one network, a value each."""
    first = alike[0]
    data = first["data"].removesuffix("-jpeg")
    command = f"wmgp sweep --network {first['network']} --data {data} --seeds {ranges(r['seed'] for r in alike)}"
    return of.row(
        id, key, claim, (first["network"], first["data"]), mean(values), len(values), form, notebook,
        f"{command} --amounts 0 --out results/parents.csv", (f"parents/{first['network']}-{first['data']}-seed*.json",),
        commits={record["commit"] for record in alike}, note=note,
    )  # fmt: skip


def nearest_reading(alike: list[dict[str, Any]], published: float) -> str:
    """Which of the things that "the kurtosis of a network" may mean comes closest to a published figure."""
    found = {
        name: np.mean([record["trained"]["definitions"][name] for record in alike])
        for name, first in alike[0]["trained"]["definitions"].items()
        if first is not None
    }
    name = min(found, key=lambda name: abs(found[name] - published))
    said = name.replace("the same", "weights and biases")  # which stands before it in the table of definitions
    return f"The paper does not say over what it is taken; closest here: {said}, {found[name]:.2f}."


def kurtoses(of: Recorded) -> Iterator[Row]:
    """C5's published kurtoses, and what C6 says of networks before training."""
    for alike in families(of).values():
        trained, initial = ([record[stage]["analysis"] for record in alike] for stage in ("trained", "initial"))
        if (key := f"kurtosis.{alike[0]['network']}") in of.published:
            values = [each["kurtosis"] for each in trained]
            claim, note = "Kurtosis of the pooled parameters", nearest_reading(alike, of.published[key])
            yield parent_row(of, alike, "C5", key, claim, values, ".2f", "03_kurtosis", note)
        pairs = list(zip(trained, initial, strict=True))
        rise = [after["kurtosis"] - before["kurtosis"] for after, before in pairs]
        fall = [_cosine(before) - _cosine(after) for after, before in pairs]
        fresh = [before["optimal"]["amount"] for before in initial]
        for key, claim, values, form in (
            ("C6.kurtosis", "Kurtosis after training less that before it", rise, "+.2f"),
            ("C6.cosine", f"Cosine at {STEEP:.0%} pruned before training less that after it", fall, "+.3f"),
            ("C6.amount", "Optimal amount before training", fresh, ".2f"),
        ):
            yield parent_row(of, alike, "C6", key, claim, values, form, "08_optimal_amount")


def _cosine(analysis: dict[str, Any]) -> float:
    """The front's cosine at the amount `STEEP`."""
    return float(np.interp(STEEP, analysis["front"]["amount"], analysis["front"]["cosine"]))


def kurtoses_of_kurtoses(of: Recorded) -> Iterator[Row]:
    """C8's published figures: MobileNetV2's, and the range of networks that behave well."""
    analysis, notebook = of.mobilenet["analysis"], "09_when_it_fails"
    yield of.row(
        "C8", "kurtosis_of_kurtoses.mobilenet_v2", "Kurtosis of kurtoses", ("mobilenet_v2", "ImageNet"),
        (analysis["kurtosis_of_kurtoses"], np.nan, np.nan), 0, ".2f", notebook,
        "python -m wmgp.experiments.studies.pretrained", ("mobilenet_v2.json",), exact=True,
    )  # fmt: skip
    for alike in families(of).values():
        if alike[0]["network"] != "mobilenet_v2":
            k2 = [record["trained"]["analysis"]["kurtosis_of_kurtoses"] for record in alike]
            key = "kurtosis_of_kurtoses.well_behaved"
            yield parent_row(of, alike, "C8", key, "Kurtosis of kurtoses", k2, ".2f", notebook)
