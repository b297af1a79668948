"""Rules held against what could be pruned, on parents and rows worked out by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

import wmgp
from wmgp.experiments.statistics import rule_errors
from wmgp.rules import RULES, recommendations

FRONT = {"amount": [0.0, 0.5, 1.0], "cosine": [1.0, 0.9, 0.0]}


def record(sha="a", **trained) -> dict[str, Any]:
    analysis = {"n_parameters": 3, "kurtosis": 2.0, "front": FRONT, "optimal": {"amount": 0.5}, "safe": None}
    return {"network": "lenet5", "data": "mnist", "seed": 4, "parent_sha256": sha,
            "trained": {"analysis": analysis, **trained}}  # fmt: skip


def test_what_a_record_says_itself(tmp_path):
    told = dict.fromkeys(RULES, 0.3) | {"utopia": 0.7, "safe": None, "a rule of old": 0.1}
    found = rule_errors.recommended(record(rules=told), tmp_path)
    assert found.keys() == RULES.keys() and (found["utopia"], found["knee"]) == (0.7, 0.3) and np.isnan(found["safe"])


def test_a_rule_that_a_record_does_not_know(tmp_path):
    """The front tells the knee, nothing here tells Otsu's; what the record tells is left as it is."""
    found = rule_errors.recommended(record(rules={"utopia": 0.7, "safe": None}), tmp_path)
    assert (found["utopia"], found["knee"]) == (0.7, 0.5) and np.isnan(found["safe"]) and np.isnan(found["Otsu"])


def test_what_a_front_says(tmp_path):
    """Cosine 0.99 lies a tenth of the way from 1 to 0.9, and 0.5 + 0.9 is the largest sum."""
    found = rule_errors.recommended(record(), tmp_path)
    assert (found["utopia"], found["knee"], found["constant"]) == (0.5, 0.5, 0.8)
    assert found["cosine 0.99"] == pytest.approx(0.05) and np.isnan(found["Otsu"]) and np.isnan(found["safe"])


def test_what_the_weights_say(tmp_path):
    path = tmp_path / "deeper" / "lenet5-mnist-seed4.safetensors"
    path.parent.mkdir()
    weights = {f"{i}.weight": torch.randn(40, generator=torch.Generator().manual_seed(i)) for i in range(3)}
    save_file(weights, path)
    analysis = wmgp.analyze(weights)
    mine = record()
    mine["trained"]["analysis"] = analysis.to_dict()
    assert rule_errors.recommended(mine, tmp_path) == recommendations(analysis)
    mine["trained"]["analysis"]["kurtosis"] += 1e-3  # other weights under the same name
    assert np.isnan(rule_errors.recommended(mine, tmp_path)["Otsu"])


def sweep(sha="a", network="lenet5", loss=0.02):
    """An L1 sweep of a parent at 0.9: after tuning it loses `loss` from 0.8 on, just after pruning from 0.4 on."""
    amounts = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    return pd.DataFrame(
        {
            "network": network, "data": "mnist", "start": "scratch", "epochs": 1, "seed": 4, "run": sha,
            "parent_sha256": sha, "method": "l1", "amount": amounts, "accuracy_parent": 0.9,
            "accuracy": 0.9 - loss * (amounts >= 0.8), "accuracy_pruned": 0.9 - 0.5 * (amounts >= 0.4),
        }
    )  # fmt: skip


def test_rows_by_hand(tmp_path):
    found = rule_errors.compared([sweep()], [record()], tmp_path).set_index("rule")
    assert set(found.columns) | {"rule"} == set(rule_errors.COLUMNS) and len(found) == len(RULES)
    assert set(found["network"]) == {"LeNet-5 on MNIST"}
    # Half of two points on the way from 0.6 to 0.8, a fiftieth of fifty on that from 0.2 to 0.4.
    assert found["most"].tolist() == pytest.approx([0.7] * len(found))
    assert found["most_untuned"].tolist() == pytest.approx([0.204] * len(found))
    assert found.loc["utopia", ["amount", "lost", "lost_untuned"]].tolist() == pytest.approx([0.5, 0, 0.5])
    assert found.loc["constant", "lost"] == pytest.approx(0.02) and np.isnan(found.loc["Otsu", "lost"])


def test_against_the_constant_by_hand(tmp_path):
    """Utopia says 0.5 where 0.7 is right, so it is off by 0.2, and the constant by 0.1; in the other network 0.8 is.

    There the constant is right, and utopia off by 0.3.
    """
    sweeps = [sweep(), sweep("b", "lenet_small", loss=0.001).query("amount < 0.9")]
    rows = rule_errors.compared(sweeps, [record(), record("b")], tmp_path)
    found = rule_errors.against_constant(rows)
    assert found["utopia"] == pytest.approx([0.1, 0.3])
    assert not found["Otsu"].size and "constant" not in found
    assert rule_errors.against_constant(rows, "most_untuned")["utopia"] == pytest.approx([-0.3, -0.3])


def test_a_network_counts_once(tmp_path):
    """Off by 0.2 and 0.1 where the constant is by 0.1 and 0.4: 0.1 and -0.3, so -0.1 on the mean of both parents."""
    sweeps = [sweep("a"), sweep("b").query("amount < 0.5")]  # of the second 0.4 is known to be right
    rows = pd.concat([rule_errors.compared([each], [record("a"), record("b")], tmp_path) for each in sweeps])
    assert rule_errors.against_constant(rows)["utopia"] == pytest.approx([-0.1])
