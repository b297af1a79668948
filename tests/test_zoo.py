"""The zoo: rows of small networks, statistics by hand, and the recorded table."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

import wmgp
from studies.zoo import measure
from studies.zoo.networks import NETWORKS, Network
from studies.zoo.packages import PackagedFile
from wmgp import InputError
from wmgp.experiments.results.provenance import provenance
from wmgp.rules import recommendations

ROOT = Path(__file__).parent.parent
RECORDED = ROOT / "results" / "zoo.csv"


def by_pool(weights):
    return pd.DataFrame(measure.measure_network("a", "b", "c", weights)).set_index("pool")


def test_the_papers_pool_excludes_lstm_parameters():
    torch.manual_seed(0)
    net = nn.ModuleDict({"lstm": nn.LSTM(8, 8), "linear": nn.Linear(8, 4)})
    rows = by_pool(net)
    assert list(rows.index) == ["paper", "weights", "all", "weights alone"]
    # LSTM: 4 * 8 * 8 twice, 4 * 8 twice; linear: 8 * 4 and 4.
    assert rows["n_prunable"].tolist() == [36, 544, 612, 544] and rows["n_parameters"].tolist() == [612, 612, 612, 544]
    assert rows["n_tensors"].tolist() == [2, 3, 6, 3]
    analysis = wmgp.analyze(net)
    assert rows.loc["paper", "optimal"] == analysis.optimal.amount > rows.loc["all", "optimal"]
    assert np.isnan(rows.loc["paper", "safe"]) and np.isnan(rows.loc["paper", "modifier"])
    said = recommendations(analysis)
    assert all(rows.loc["paper", column] == said[rule] for column, rule in measure.RULE_COLUMNS.items())


def test_a_heavy_bias_by_hand():
    """The bias has energy 9 + 16, the matrices 4 and 1."""
    weights = {"a.weight": torch.ones(2, 2), "b.weight": torch.ones(2, 2) / 2, "b.bias": torch.tensor([3.0, 4])}
    rows = by_pool(weights)
    paper = rows.loc["paper"]
    assert (paper["heaviest"], paper["heaviest_size"]) == ("b.bias", 2)
    assert paper["heaviest_share"] == pytest.approx(25 / 30)
    # The eight smallest of ten values are pruned: both matrices, not the bias.
    assert paper["optimal"] == pytest.approx(0.8, abs=0.06) and (paper["emptied"], paper["emptied_weights"]) == (2, 2)
    alone = rows.loc["weights alone"]
    assert alone["heaviest"] == "a.weight" and alone["heaviest_share"] == pytest.approx(4 / 5)


@pytest.fixture
def folder(tmp_path):
    """A cache with one file: a state dict with a constant, stored under a key."""
    state = {"x.weight": torch.arange(1.0, 13).reshape(3, 4), "x.bias": torch.ones(3), "table": torch.full((5,), 1e4)}
    path = tmp_path / "cache" / "maker==1.0" / "maker" / "net.pt"
    path.parent.mkdir(parents=True)
    torch.save({"model": state, "epoch": 3}, path)
    return tmp_path / "cache", hashlib.sha256(path.read_bytes()).hexdigest()


def network(sha256, **more):
    return Network("Net", "graph", "Nets", "MIT", "", PackagedFile("maker", "1.0", "maker/net.pt", sha256), **more)


def test_constants_are_excluded_and_rows_name_their_file(folder):
    cache, sha256 = folder
    table = measure.measure([network(sha256, key="model", constants=("table",))], cache)
    assert list(table.columns) == list(measure.COLUMNS) and len(table) == 4
    first = table.iloc[0]
    assert first["n_parameters"] == 15 and first["file_sha256"] == sha256
    assert (first["package"], first["version"], first["licence"]) == ("maker", "1.0", "MIT")
    assert measure.measure([network(sha256)], cache)["n_parameters"].iloc[0] == 20
    with pytest.raises(InputError, match=r"maker/net.pt: expected a tensor 'tables', a constant"):
        network(sha256, constants=("tables",)).weights(cache)


def test_the_command_writes_rows_with_their_provenance(folder, tmp_path, monkeypatch):
    cache, sha256 = folder
    monkeypatch.setattr(measure, "NETWORKS", (network(sha256, key="model"),))
    out = tmp_path / "zoo.csv"
    measure.main(["--out", str(out), "--folder", str(cache)])
    rows, runs = pd.read_csv(out), provenance(out)
    assert list(rows.columns) == list(measure.COLUMNS) and set(rows["run"]) == set(runs)
    [facts] = runs.values()
    assert facts["data_sha256"] == {"Net": sha256} and facts["network"] == "1 networks" and "wall_seconds" in facts


def test_a_missing_file_is_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "NETWORKS", (network("0"),))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SystemExit):
        measure.main(["--out", str(tmp_path / "zoo.csv"), "--folder", str(tmp_path)])
    assert capsys.readouterr().err.startswith("maker==1.0: pip cannot download it")
    assert list(tmp_path.iterdir()) == []


def rows_of(families, x, y):
    return pd.DataFrame({"family": families, "x": x, "y": y})


@pytest.mark.slow
def test_rank_correlation_counts_a_family_once():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=9), rng.integers(0, 4, 9).astype(float)  # with ties
    families = list("abcdefghi")
    value, low, high = measure.rank_correlation(rows_of(families, x, y), "x", "y")
    theirs: Any = spearmanr(x, y)
    assert value == pytest.approx(theirs.statistic) and low <= value <= high
    many = rows_of([*families, *"aaaaaa"], [*x, *[x[0]] * 6], [*y, *[y[0]] * 6])
    assert measure.rank_correlation(many, "x", "y") == (value, low, high)
    assert measure.rank_correlation(rows_of(families, x, 2 * x), "x", "y")[0] == pytest.approx(1)


def test_rank_correlation_is_undefined_for_constant_or_few_values():
    for rows in (rows_of(list("abc"), [1, 2, 3], [1.0, 1, 1]), rows_of(list("ab"), [1, 2], [1.0, 2])):
        assert all(np.isnan(each) for each in measure.rank_correlation(rows, "x", "y"))
    with_gap = rows_of(list("abcd"), [1, 2, 3, 9], [3, 2, 1, np.nan])
    assert measure.rank_correlation(with_gap, "x", "y")[0] == pytest.approx(-1)


def test_the_nearest_measured_amount_is_selected():
    sweep = pd.DataFrame(
        {"method": ["random", "l1", "l1", "l1"], "amount": [0.86, 0.8, 0.9, 0.2], "accuracy": range(4)}
    )
    found = measure.nearest_rows(sweep, {"optimal": 0.86, "safe": np.nan, "other": 0.1})
    assert found["accuracy"].to_dict() == {"optimal": 2, "other": 3}


def test_networks_are_distinct_cited_and_hashed():
    assert len({network.name for network in NETWORKS}) == len(NETWORKS) >= 12
    assert all(re.fullmatch("[0-9a-f]{64}", network.shipped.sha256) and network.licence for network in NETWORKS)
    assert len({network.shipped.sha256 for network in NETWORKS}) == len(NETWORKS)
    references = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    page = (ROOT / "notebooks" / "15_zoo.py").read_text(encoding="utf-8")
    for network in NETWORKS:
        assert f"{{{network.cite},\n" in references and f"`{network.cite}`" in page
    kinds = [network.kind for network in NETWORKS]
    assert sorted(kinds, key=kinds.index) == kinds, "the networks of a kind stand together"


@pytest.mark.skipif(not RECORDED.exists(), reason="not recorded")
def test_the_recorded_table_is_complete():
    rows: Any = pd.read_csv(RECORDED)
    runs = provenance(RECORDED)
    assert list(rows.columns) == list(measure.COLUMNS) and set(rows["run"]) == set(runs)
    [facts] = runs.values()
    assert {"commit", "source_sha256", "date", "cpu", "versions", "device"} <= set(facts)
    assert not facts["commit"].endswith("-dirty")
    assert facts["data_sha256"] == {network.name: network.shipped.sha256 for network in NETWORKS}
    assert list(dict.fromkeys(rows["name"])) == [network.name for network in NETWORKS]
    assert (rows.groupby("name").size() == len(measure.POOLS) + 1).all()
    assert rows["optimal"].between(0.65, 1).all() and rows["n_prunable"].le(rows["n_parameters"]).all()
    known = rows[rows["safe"].notna()]
    limited = known["optimal"] * known["modifier"].clip(upper=1)
    assert known["safe"].to_numpy() == pytest.approx(limited.to_numpy())


@pytest.mark.skipif(not RECORDED.exists(), reason="not recorded")
def test_mobilenet_v2_agrees_with_its_own_record():
    rows = pd.read_csv(RECORDED).set_index(["name", "pool"])
    known = json.loads((ROOT / "results" / "mobilenet_v2.json").read_text(encoding="utf-8"))
    mine, analysis = rows.loc[("MobileNetV2", "paper")], known["analysis"]
    for name, column in (("n_parameters", "n_parameters"), ("kurtosis", "kurtosis"), ("kurtosis_of_kurtoses", "k2")):
        assert mine[column] == pytest.approx(analysis[name], rel=1e-9)
    assert mine["safe"] == pytest.approx(analysis["safe"]["amount"])
