"""Accuracy costs in the report: ranges by hand, and the packaged file against the recorded results."""

import json
from pathlib import Path

import pandas as pd
import pytest

from studies.rules_compared import cost_ranges
from wmgp import report

NAN = float("nan")
RESULTS = Path(__file__).parent.parent / "results"


def test_ranges_by_hand():
    """Parents of a network are averaged: 1 and 3 points give 2. Network b was not fine-tuned."""
    cells = [("a", "1", 0.01, 0.2), ("a", "2", 0.03, 0.4), ("b", "3", NAN, -0.0002), ("c", "4", -0.0002, 0.9)]
    rows = pd.DataFrame(
        [
            {"network": network, "parent_sha256": sha, "rule": rule, "amount": amount, "lost": lost,
             "lost_untuned": untuned}
            for network, sha, lost, untuned in cells
            for rule, amount in (("utopia", 0.8), ("safe", 0.5), ("cosine 0.99", 0.4), ("knee", 0.9))
        ]
    )  # fmt: skip
    rows.loc[(rows["rule"] == "safe") & (rows["network"] == "c"), ["lost", "lost_untuned"]] = NAN
    rows.loc[(rows["rule"] == "safe") & (rows["parent_sha256"] == "1"), ["amount", "lost"]] = [0.3, 0.05]
    rows["architecture"] = rows["network"].replace("b", "a")  # the same architecture on other data
    found = cost_ranges.cost_ranges(rows)
    assert found["networks"] == {"tuned": 2, "untuned": 3, "architectures": 2}
    assert found["lost"]["optimal"] == {"tuned": [0.0, 2.0], "untuned": [0.0, 90.0]}
    assert str(found["lost"]["optimal"]["tuned"][0]) == "0.0"  # not -0.0
    assert found["lost"]["safe"]["tuned"] == [4.0, 4.0]
    assert found["lost"]["the smaller of these two"]["tuned"] == [0.0, 4.0]  # safe for the first, cosine for all others


def test_an_undefined_amount_is_never_the_smallest():
    rows = pd.DataFrame({"parent_sha256": ["1", "1"], "rule": ["safe", "cosine 0.99"], "amount": [NAN, 0.4]})
    assert cost_ranges.smallest_amounts(rows, ["safe", "cosine 0.99"])["rule"].tolist() == ["cosine 0.99"]


def test_the_packaged_file_agrees_with_the_recorded_results(tmp_path):
    """If this fails, run `python -m studies.rules_compared.cost_ranges` and record the README's output again."""
    out = tmp_path / "outcomes.json"
    cost_ranges.main(["--results", str(RESULTS), "--out", str(out)])
    assert out.read_text(encoding="utf-8") == report.OUTCOMES.read_text(encoding="utf-8")
    said = json.loads(out.read_text(encoding="utf-8"))
    for low, high in (ends for line in said["lost"].values() for ends in line.values()):
        assert low <= high


def test_a_folder_without_sweeps_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cost_ranges.main(["--results", str(tmp_path), "--out", str(tmp_path / "x.json")])
    assert "expected a table of a sweep" in capsys.readouterr().err and not (tmp_path / "x.json").exists()
