"""Records of a parent's training, kept because the weights of larger networks are too large to publish.

NETWORK-DATA-seedN.json has the accuracy, and the fronts, moments and kurtoses of the weights before and after training.
NETWORK-DATA-seedN.npz has the outputs after each epoch; it is absent if the parent was read from a file.
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

N_RECORDED_IMAGES = 500  # the first test images: 10 kB per epoch


class ParentHistory:
    """Record of a parent: create it before training, call `record_outputs` after each epoch and `write` at the end."""

    def __init__(self, model: nn.Module, test: ImageData):
        self.model, self.test = model, test
        self.initial = weight_statistics(model)
        self.outputs: list[np.ndarray] = []

    def record_outputs(self) -> None:
        """Append the current logits on the first test images, float16 [N_RECORDED_IMAGES, classes]."""
        self.outputs.append(
            evaluate(self.model, self.test.first(N_RECORDED_IMAGES)).logits.cpu().numpy().astype(np.float16)
        )

    def write(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Write the files beside the parent's `path`; `settings`: its data, seed and recipe."""
        evaluation = evaluate(self.model, self.test)
        record = {
            **settings,
            **surroundings(),
            "test_sha256": self.test.sha256,
            "parent_sha256": weights_hash(self.model.state_dict()),
            "accuracy": evaluation.accuracy,
            "loss": evaluation.loss,
            "initial": self.initial,
            "trained": weight_statistics(self.model),
        }
        if len(self.outputs) > 1:
            labels, parent = self.test.first(N_RECORDED_IMAGES).labels.cpu().numpy(), np.array(record["parent_sha256"])
            arrays = {"logits": np.stack(self.outputs), "labels": labels, "parent_sha256": parent}
            write_arrays(path.with_suffix(".npz"), arrays, record)
        else:
            write_atomic(path.with_suffix(".json"), json.dumps(record, indent=1, allow_nan=False).encode() + b"\n")


def read_parent_records(folder: str | Path) -> list[dict[str, Any]]:
    """Return the records of all parents in a folder and its subfolders, sorted by network, data, start and seed.

    Raises InputError, naming the file, if one is not JSON.
    """
    records = []
    for path in Path(folder).rglob("*-seed*.json"):
        used_files.record(path)
        try:
            records.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: expected the JSON record of a parent ({error})") from error
    return sorted(records, key=lambda record: (record["network"], record["data"], record["start"], record["seed"]))


def weight_statistics(model: nn.Module) -> dict[str, Any]:
    """Return the analysis of the paper's pool and of tensors of 2 or more dimensions, kurtoses and rules' amounts.

    Undefined values are None.
    """
    analysis = analyze(model)
    weights_pool = analyze(model, pool="weights").to_dict()
    kurtoses, rules = (
        {name: value if np.isfinite(value) else None for name, value in values.items()}
        for values in (kurtosis_definitions(model), recommendations(analysis))
    )
    return {
        "analysis": analysis.to_dict(),
        "weights": {name: weights_pool[name] for name in ("n_prunable", "kurtosis", "front", "optimal", "safe")},
        "definitions": kurtoses,
        "rules": rules,
    }
