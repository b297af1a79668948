"""What is kept of a parent beside its weights, which for larger networks are too large to keep.

NETWORK-DATA-seedN.json holds its accuracy, and fronts, moments and kurtoses of its weights before and after training;
NETWORK-DATA-seedN.npz, where it was trained here, its outputs on the way from one to the other.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ...analysis import analyze
from ...errors import InputError
from ...io.atomic import write_atomic
from ...rules import recommendations
from ..data import ImageData
from ..results import used_files
from ..results.array_files import write_arrays
from ..results.provenance import surroundings, weights_hash
from ..statistics.kurtosis_definitions import kurtosis_definitions
from .loop import evaluate

WATCHED = 500  # test images, the first ones: 10 kB an epoch


class History:
    """Made of an untrained network; `look` after every epoch of its training, and `write` at the end."""

    def __init__(self, model: nn.Module, test: ImageData):
        self.model, self.test = model, test
        self.initial = described(model)
        self.outputs: list[np.ndarray] = []

    def look(self) -> None:
        """Keep the outputs of now, float16 [watched, classes]."""
        self.outputs.append(evaluate(self.model, self.test.first(WATCHED)).logits.cpu().numpy().astype(np.float16))

    def write(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Both files beside the parent's `path`; `settings` are what it was trained with."""
        outcome = evaluate(self.model, self.test)
        record = {
            **settings,
            **surroundings(),
            "test_sha256": self.test.sha256,
            "parent_sha256": weights_hash(self.model.state_dict()),
            "accuracy": outcome.accuracy,
            "loss": outcome.loss,
            "initial": self.initial,
            "trained": described(self.model),
        }
        if len(self.outputs) > 1:
            labels, parent = self.test.first(WATCHED).labels.cpu().numpy(), np.array(record["parent_sha256"])
            arrays = {"logits": np.stack(self.outputs), "labels": labels, "parent_sha256": parent}
            write_arrays(path.with_suffix(".npz"), arrays, record)
        else:
            write_atomic(path.with_suffix(".json"), json.dumps(record, indent=1, allow_nan=False).encode() + b"\n")


def records(folder: str | Path) -> list[dict[str, Any]]:
    """What is recorded of the parents in a folder and below it, by network, data and seed."""
    found = []
    for path in Path(folder).rglob("*-seed*.json"):
        used_files.record(path)
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: expected the JSON record of a parent ({error})") from error
    return sorted(found, key=lambda record: (record["network"], record["data"], record["start"], record["seed"]))


def described(model: nn.Module) -> dict[str, Any]:
    """The weights' analysis in the paper's pool, and over tensors of 2 or more dimensions; kurtosis by definition.

    And what every rule would prune of the paper's pool.
    """
    whole = analyze(model)
    many = analyze(model, pool="weights").to_dict()
    kurtoses, rules = (
        {name: value if np.isfinite(value) else None for name, value in found.items()}
        for found in (kurtosis_definitions(model), recommendations(whole))
    )
    return {
        "analysis": whole.to_dict(),
        "weights": {name: many[name] for name in ("n_prunable", "kurtosis", "front", "optimal", "safe")},
        "definitions": kurtoses,
        "rules": rules,
    }
