"""The accuracy cost of the recommended amounts, on hand-made rows."""

import numpy as np
import pandas as pd
import pytest

from studies.when_it_fails import cost_of_rules
from wmgp.pareto import CAREFUL_COSINE


@pytest.fixture
def rows():
    """Two methods on parent "a", whose accuracy is 0.9, and one row of another parent."""
    cells = [
        ("a", "l1", 0.9, 0.4, 0.5, 0.0), ("a", "l1", 0.5, 0.9, 0.9, 0.0), ("a", "l1", 0.1, 0.8, 0.91, 0.2),
        ("a", "lamp", 0.1, 0.9, 0.9, 0.9), ("a", "lamp", 0.5, 0.89, 0.9, 0.5), ("a", "lamp", 0.9, 0.7, 0.88, 0.1),
        ("b", "l1", 0.1, 0.0, 0.0, 0.0),
    ]  # fmt: skip
    columns = pd.Index(["parent_sha256", "method", "amount", "accuracy_pruned", "accuracy", "min_survival"])
    return pd.DataFrame(cells, columns=columns).assign(accuracy_parent=0.9, run="one")


def test_the_largest_amount_is_where_the_cost_is_first_reached(rows):
    """L1 loses 40 points from 0.5 to 0.9, LAMP 2. Before fine-tuning, L1 exceeds the cost at once, LAMP at 0.5."""
    assert cost_of_rules.largest_amounts(rows, 0.01, "accuracy") == pytest.approx({"l1": 0.51, "lamp": 0.7})
    assert cost_of_rules.largest_amounts(rows, 0.01, "accuracy_pruned") == pytest.approx({"l1": 0.0, "lamp": 0.5})
    assert cost_of_rules.largest_amounts(rows, 1.0, "accuracy") == {"l1": 0.9, "lamp": 0.9}


def test_the_accuracy_lost_is_interpolated(rows):
    found = cost_of_rules.accuracy_lost(rows, {"optimal": 0.7, "safe": 0.05}, "accuracy")
    assert found["l1"]["optimal"] == pytest.approx(0.2) and found["lamp"]["optimal"] == pytest.approx(0.01)
    assert np.isnan(found["l1"]["safe"])
    assert cost_of_rules.accuracy_at(rows, "l1", 0.7, "accuracy") == pytest.approx(0.7)
    assert cost_of_rules.accuracy_at(rows, "lamp", 0.1, "accuracy") == pytest.approx(0.9)


def test_the_first_emptied_tensor_has_the_smallest_amount(rows):
    found = cost_of_rules.first_emptied_tensor(rows)
    assert found["l1"] is not None and found["l1"]["amount"] == 0.5 and found["l1"]["accuracy"] == 0.9
    assert found["lamp"] is None


def test_recommended_amounts_use_the_front_of_the_trained_weights():
    analysis = {
        "optimal": {"amount": 0.8},
        "safe": {"amount": 0.3},
        "front": {"amount": [0.0, 0.5, 1.0], "cosine": [1.0, 0.98, 0.0]},
    }
    found = cost_of_rules.recommended_amounts({"trained": {"analysis": analysis}})
    assert found == {"optimal": 0.8, "safe": 0.3, cost_of_rules.COSINE_RULE: pytest.approx(0.25)}
    assert cost_of_rules.COSINE_RULE == f"cosine {CAREFUL_COSINE}"
