"""Errors of the rules against measured sweeps, on small examples computed by hand."""

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


def test_amounts_are_read_from_the_record(tmp_path):
    told = dict.fromkeys(RULES, 0.3) | {"utopia": 0.7, "safe": None, "a rule of old": 0.1}
    found = rule_errors.recommended_amounts(record(rules=told), tmp_path)
    assert found.keys() == RULES.keys() and (found["utopia"], found["knee"]) == (0.7, 0.3) and np.isnan(found["safe"])


def test_rules_missing_from_the_record_are_computed_from_the_front(tmp_path):
    """The knee follows from the front; Otsu needs the weights. Recorded amounts stay unchanged."""
    found = rule_errors.recommended_amounts(record(rules={"utopia": 0.7, "safe": None}), tmp_path)
    assert (found["utopia"], found["knee"]) == (0.7, 0.5) and np.isnan(found["safe"]) and np.isnan(found["Otsu"])


def test_amounts_from_the_front_by_hand(tmp_path):
    """Cosine 0.99 lies one tenth of the way from 1 to 0.9. The knee has the largest sum, 0.5 + 0.9."""
    found = rule_errors.recommended_amounts(record(), tmp_path)
    assert (found["utopia"], found["knee"], found["constant"]) == (0.5, 0.5, 0.8)
    assert found["cosine 0.99"] == pytest.approx(0.05) and np.isnan(found["Otsu"]) and np.isnan(found["safe"])


def test_amounts_from_weights_need_the_weights_of_the_record(tmp_path):
    path = tmp_path / "deeper" / "lenet5-mnist-seed4.safetensors"
    path.parent.mkdir()
    weights = {f"{i}.weight": torch.randn(40, generator=torch.Generator().manual_seed(i)) for i in range(3)}
    save_file(weights, path)
    analysis = wmgp.analyze(weights)
    mine = record()
    mine["trained"]["analysis"] = analysis.to_dict()
    assert rule_errors.recommended_amounts(mine, tmp_path) == recommendations(analysis)
    mine["trained"]["analysis"]["kurtosis"] += 1e-3  # other weights under the same name
    assert np.isnan(rule_errors.recommended_amounts(mine, tmp_path)["Otsu"])


def sweep(sha="a", network="lenet5", loss=0.02):
    """An L1 sweep: fine-tuned networks lose `loss` from amount 0.8 on, pruned networks 0.5 from 0.4 on."""
    amounts = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    return pd.DataFrame(
        {
            "network": network, "data": "mnist", "start": "scratch", "epochs": 1, "seed": 4, "run": sha,
            "parent_sha256": sha, "method": "l1", "amount": amounts, "accuracy_parent": 0.9,
            "accuracy": 0.9 - loss * (amounts >= 0.8), "accuracy_pruned": 0.9 - 0.5 * (amounts >= 0.4),
        }
    )  # fmt: skip


def test_rows_by_hand(tmp_path):
    found = rule_errors.compare_rules([sweep()], [record()], tmp_path).set_index("rule")
    assert set(found.columns) | {"rule"} == set(rule_errors.COLUMNS) and len(found) == len(RULES)
    assert set(found["network"]) == {"LeNet-5 on MNIST"}
    # A loss of 1 point is at 1/2 of the way from 0.6 to 0.8, and at 1/50 of the way from 0.2 to 0.4.
    assert found["most"].tolist() == pytest.approx([0.7] * len(found))
    assert found["most_untuned"].tolist() == pytest.approx([0.204] * len(found))
    assert found.loc["utopia", ["amount", "lost", "lost_untuned"]].tolist() == pytest.approx([0.5, 0, 0.5])
    assert found.loc["constant", "lost"] == pytest.approx(0.02) and np.isnan(found.loc["Otsu", "lost"])


def test_against_the_constant_by_hand(tmp_path):
    """First network, largest amount 0.7: utopia (0.5) errs by 0.2, the constant (0.8) by 0.1.

    Second network, largest amount 0.8: utopia errs by 0.3, the constant by 0.
    """
    sweeps = [sweep(), sweep("b", "lenet_small", loss=0.001).query("amount < 0.9")]
    rows = rule_errors.compare_rules(sweeps, [record(), record("b")], tmp_path)
    found = rule_errors.against_constant(rows)
    assert found["utopia"] == pytest.approx([0.1, 0.3])
    assert not found["Otsu"].size and "constant" not in found
    assert rule_errors.against_constant(rows, "most_untuned")["utopia"] == pytest.approx([-0.3, -0.3])


def test_parents_of_a_network_are_averaged(tmp_path):
    """Utopia errs by 0.2 and 0.1, the constant by 0.1 and 0.4: the mean difference is -0.1."""
    sweeps = [sweep("a"), sweep("b").query("amount < 0.5")]  # b's largest amount is 0.4
    rows = pd.concat([rule_errors.compare_rules([each], [record("a"), record("b")], tmp_path) for each in sweeps])
    assert rule_errors.against_constant(rows)["utopia"] == pytest.approx([-0.1])
