"""A tiny experiment repeats the numbers recorded for `EXPERIMENT_VERSION`, or the version must be raised.

`python tests/test_experiment_version.py` records the numbers anew, after the version was raised.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wmgp.experiments.data import load
from wmgp.experiments.models import build
from wmgp.experiments.results.provenance import EXPERIMENT_VERSION
from wmgp.experiments.sweep.job import prune_and_finetune
from wmgp.experiments.sweep.worker import use_one_thread
from wmgp.experiments.training.loop import evaluate, train
from wmgp.experiments.training.recipes import DIGITS_CONFIG

GOLDEN = Path(__file__).parent / "golden" / "experiment.json"
IMAGES = 200
TOLERANCES = {"accuracy": 3 / IMAGES, "loss": 5e-4, "cosine": 5e-5}  # of float32 sums on other processors
COLUMNS = ("accuracy_parent", "accuracy_pruned", "accuracy", "loss_pruned", "loss", "cosine_pruned", "cosine")


def run_experiment(seed: int = 3, rate: float | None = None) -> list[dict[str, float]]:
    """Train a LeNet-5 on few digits, prune it by L1 and at random, fine-tune, and return the rows' numbers."""
    training, test = (load("digits", split).first(IMAGES) for split in (True, False))
    recipe, tuning = (replace(each, batch_size=16) for each in (DIGITS_CONFIG.recipe, DIGITS_CONFIG.tuning))
    if rate is not None:
        recipe = replace(recipe, learning_rate=rate)
    with use_one_thread():
        model = build("lenet5", seed)
        train(model, training, 8, seed, recipe)
        parent = evaluate(model, test)
        rows = [
            prune_and_finetune(model, parent, method, amount, training, test, 7, tuning, 1)
            for method, amount in (("l1", 0.6), ("random", 0.1))
        ]
    return [{name: float(row[name]) for name in COLUMNS} for row in rows]


def differences(rows: list[dict[str, float]], recorded: list[dict[str, float]]) -> list[str]:
    """Return the columns whose numbers differ by more than their tolerance."""
    return [
        name
        for row, expected in zip(rows, recorded, strict=True)
        for name in COLUMNS
        if abs(row[name] - expected[name]) > TOLERANCES[name.partition("_")[0]]
    ]


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_numbers_are_those_of_the_experiment_version(golden):
    assert golden["experiment_version"] == EXPERIMENT_VERSION, "record tests/golden/experiment.json anew"
    moved = differences(run_experiment(), golden["rows"])
    assert not moved, (
        f"{', '.join(moved)} changed: if that is intended, raise EXPERIMENT_VERSION in "
        "wmgp/experiments/results/provenance.py and run python tests/test_experiment_version.py"
    )


@pytest.mark.parametrize("change", [{"seed": 4}, {"rate": 1.1 * DIGITS_CONFIG.recipe.learning_rate}])
def test_another_seed_or_rate_is_noticed(golden, change):
    assert differences(run_experiment(**change), golden["rows"])


if __name__ == "__main__":
    record = {"experiment_version": EXPERIMENT_VERSION, "rows": run_experiment()}
    GOLDEN.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
