"""Kurtosis changed on purpose: a run on a few digits, the recorded table, and statistics worked out by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import nn

from studies.kurtosis_on_purpose import correlations as order
from studies.kurtosis_on_purpose import measure
from studies.kurtosis_on_purpose.variants import BASE, VARIANTS
from wmgp.experiments import data
from wmgp.experiments.results import tables
from wmgp.experiments.results.provenance import provenance
from wmgp.experiments.training import recipes

TABLE = Path(__file__).parent.parent / "results" / "kurtosis_on_purpose.csv"
TWO = VARIANTS[:2]


@pytest.fixture
def few(monkeypatch):
    """The command on 96 digits, two variants and three prunes."""
    whole = data.load("digits", False)
    monkeypatch.setattr(measure, "load", lambda name, train: whole.first(96))
    monkeypatch.setattr(measure, "base_config", lambda name: replace(recipes.DIGITS_CONFIG, epochs=1))
    monkeypatch.setattr(measure, "VARIANTS", TWO)
    monkeypatch.setattr(measure, "make_jobs", lambda base: ((0.0, 1), (0.2, 0), (0.9, 1)))


@pytest.mark.slow
def test_the_command_writes_each_row_once_with_its_provenance(few, tmp_path, capsys):
    out = tmp_path / "kurtosis_on_purpose.csv"
    command = ["--out", str(out), "--data", "digits", "--seeds", "0", "3"]
    measure.main(command)
    rows: Any = tables.read(out)
    runs = provenance(out)
    assert tuple(rows.columns) == measure.ROW and len(rows) == 2 * 2 * 3 and not rows["kurtosis"].isna().any()
    assert set(rows["run"]) == set(runs) and len(runs) == 4
    assert all(facts["variant"]["name"] in rows["variant"].tolist() for facts in runs.values())
    assert {facts["command"] for facts in runs.values()} == {measure.COMMAND} and rows["seconds"].gt(0).all()
    assert rows.loc[rows["amount"] == 0.2, "epochs"].tolist() == [0] * 4
    bare = rows[rows["epochs"] == 0]
    assert bare["accuracy"].equals(bare["accuracy_pruned"])
    assert tables.sweeps(tmp_path) == []  # the table is not a sweep
    assert capsys.readouterr().err.splitlines() == ["parents: 4 done", "jobs: 12 done"]
    text = out.read_text()
    measure.main(command)
    assert capsys.readouterr().err.splitlines()[-1] == "jobs: 0 done" and out.read_text() == text
    out.write_text("".join(text.splitlines(keepends=True)[:-1]))  # the lost row is measured again
    measure.main(command)
    assert tables.read(out).drop(columns="seconds").equals(rows.drop(columns="seconds"))


def test_an_unknown_data_set_is_a_one_line_error(tmp_path, capsys):
    with pytest.raises(SystemExit):
        measure.main(["--out", str(tmp_path / "x.csv"), "--data", "nothing"])
    assert "expected" in capsys.readouterr().err.splitlines()[-1]


def test_weight_statistics_by_hand():
    """Four weights of magnitude 1, seven of 3 and one of 0.001: the sum of squares is 67."""
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        for i, (size, layer) in enumerate(zip((1, 3, 3), model.parameters(), strict=True)):
            layer.copy_(torch.tensor([[size, -size], [size, -size if i < 2 else 0.001]]))
    said = measure.weight_statistics(model)
    pool = torch.cat([p.detach().flatten() for p in model.parameters()]).double()
    assert said["kurtosis_about_zero"] == pytest.approx((pool**4).mean() / (pool**2).mean() ** 2)
    assert said["norm"] == pytest.approx((4 + 36 + 27) ** 0.5, rel=1e-6) and said["near_zero"] == pytest.approx(1 / 12)
    # The effective number of the 12 weights is (sum |w|)^2 / sum w^2 = 25^2 / 67.
    assert said["effective"] == pytest.approx(1 - 25.001**2 / 67 / 12, rel=1e-5)
    assert set(said) == set(measure.PARENT_COLUMNS) - {"variant", "moved", "parent_epochs"}


@pytest.mark.skipif(not TABLE.exists(), reason="not recorded")
def test_the_recorded_table_is_complete():
    rows, runs = tables.read(TABLE), provenance(TABLE)
    assert tuple(rows.columns) == measure.ROW and set(rows["run"]) == set(runs)
    assert not [run for run, facts in runs.items() if facts["commit"].endswith("-dirty")]
    jobs = [sorted(zip(part["amount"], part["epochs"], strict=True)) for _, part in rows.groupby("run")]
    assert all(each == jobs[0] and len(set(each)) == len(each) for each in jobs)
    parents: Any = order.parent_table(rows)
    assert (
        len(parents) == len(parents[["variant", "seed"]].drop_duplicates()) == len(VARIANTS) * parents["seed"].nunique()
    )
    assert parents["accuracy_parent"].min() > 0.8 and parents[list(order.TARGETS)].stack().between(0, 1).all()
    assert len(json.dumps(runs)) < 500_000


# Statistics


def prunes(run, kurtosis, lost, variant="a", moved="initialisation", seed=0, gain=0.0):
    """Rows of a parent of accuracy 0.9 that loses `lost` after one epoch of fine-tuning, and twice that before it."""
    parent = dict.fromkeys((*order.PREDICTORS, *order.CONFOUNDERS), 1.0)
    amounts = np.array([0.0, 0.5, 0.7, 0.9])
    lost = np.array([0.0, *lost])
    tuned = pd.DataFrame(
        {**parent, "amount": amounts, "accuracy": 0.9 - lost + gain, "accuracy_pruned": 0.9 - 2 * lost}
    )
    bare = tuned.iloc[:1].assign(amount=0.25, accuracy_pruned=0.9, accuracy=0.9)
    both = pd.concat([tuned.assign(epochs=1), bare.assign(epochs=0)])
    return both.assign(
        run=run, kurtosis=kurtosis, variant=variant, moved=moved, seed=seed, method="l1", accuracy_parent=0.9
    )


def test_the_largest_amount_of_a_parent_by_hand():
    """0.01 is lost a quarter of the way from 0.7 (0.005) to 0.9 (0.025), and before fine-tuning at 0.7 (0.010)."""
    found = order.parent_table(prunes("r", 5.0, [0.0, 0.005, 0.025])).iloc[0]
    assert found["most"] == found["most_held"] == pytest.approx(0.75) and found["most_untuned"] == pytest.approx(0.7)
    assert (found["variant"], found["kurtosis"], found["accuracy_parent"]) == ("a", 5.0, 0.9)


def test_parents_are_sorted_by_variant_and_seed():
    jobs = [("c", "normal", 1), ("b", "as usual", 1), ("d", "of no list", 0), ("a", "normal", 0)]
    rows = pd.concat([prunes(run, 5.0, [0.0, 0.0, 0.0], variant, seed=seed) for run, variant, seed in jobs])
    found = order.parent_table(rows)[["variant", "seed"]].to_numpy().tolist()
    assert found == [["as usual", 1], ["normal", 0], ["normal", 1], ["of no list", 0]]


def test_most_held_is_relative_to_the_fine_tuned_parent():
    found = order.parent_table(prunes("r", 5.0, [0.0, 0.005, 0.025], gain=0.05)).iloc[0]
    assert found["most"] == 0.9 and found["most_held"] == pytest.approx(0.75)


floats = st.lists(st.integers(-50, 50), min_size=4, max_size=20)


@given(st.data())
@settings(max_examples=40)
def test_correlation_equals_scipy(draws):
    x = np.array(draws.draw(floats), dtype=float)
    y = np.array(draws.draw(st.lists(st.integers(-50, 50), min_size=len(x), max_size=len(x))), dtype=float)
    found = order.correlation(x, y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(np.asarray(spearmanr(x, y))[0], abs=1e-12)


def test_partial_correlation_equals_the_textbook_formula(rng):
    """(r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2)), of ranks."""
    z = rng.normal(size=30)
    x, y = z + rng.normal(size=30), z - rng.normal(size=30)
    xy, xz, yz = order.correlation(x, y), order.correlation(x, z), order.correlation(y, z)
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert order.correlation(x, y, [z]) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(order.correlation(x, y, [x])) and np.isnan(order.correlation(x, np.ones(30)))
    assert order.correlation(x, y, [np.ones(30)]) == pytest.approx(xy)
    assert np.isnan(order.correlation(x[:4], y[:4], [z[:4]])) and not np.isnan(order.correlation(x[:5], y[:5], [z[:5]]))


def parents(pairs, seeds=1):
    """A parent per variant and seed with these pairs of kurtosis and largest amount; the first variant is the base."""
    constant = dict.fromkeys((*order.PREDICTORS, *order.CONFOUNDERS, *order.TARGETS), 1.0)
    rows = [
        {
            **constant,
            "variant": f"v{i}",
            "moved": "x" if i else BASE,
            "seed": seed,
            "kurtosis": k * (1 + seed),
            "most": most,
        }
        for seed in range(seeds)
        for i, (k, most) in enumerate(pairs)
    ]
    return pd.DataFrame(rows)


def test_correlations_and_gains_over_kurtosis_by_hand():
    frame = parents([(3, 0.5), (4, 0.7), (5, 0.6)]).assign(optimal=[1, 3, 2])
    found = order.predictor_correlations(frame, "most")
    assert found["kurtosis"] == pytest.approx(0.5) and found["optimal"] == pytest.approx(1) and np.isnan(found["k2"])
    assert order.gains_over_kurtosis(frame, "most")["optimal"] == pytest.approx(
        0.5
    ) and "kurtosis" not in order.gains_over_kurtosis(frame, "most")


def test_partial_correlations_control_for_each_confounder():
    frame = parents([(3, 0.5), (4, 0.7), (5, 0.6), (6, 0.9), (7, 1.0)]).assign(norm=[1, 2, 3, 4, 5])
    found = order.partial_correlations(frame, "most")
    assert found["nothing"] == pytest.approx(found["accuracy_parent"]) == pytest.approx(0.9)
    assert np.isnan(found["norm"]) and np.isnan(found["all"])


def test_within_seed_correlation_does_not_mix_seeds():
    frame = parents([(3, 0.5), (4, 0.6), (5, 0.7)], seeds=2)
    frame.loc[frame["seed"] == 1, "most"] -= 0.4  # this seed has twice the kurtosis but smaller amounts
    assert order.within_seed_correlation(frame, "most") == {"kurtosis": pytest.approx(1)}
    assert order.predictor_correlations(frame, "most")["kurtosis"] < 0.5


def test_changes_are_relative_to_the_base_of_the_same_seed():
    frame = parents([(3, 0.5), (6, 0.7), (1.5, 0.6), (3, 0.4)], seeds=2)
    moved = order.changes_from_base(frame)
    assert moved["kurtosis"].tolist() == pytest.approx([2, 0.5, 1] * 2) and moved["seed"].tolist() == [0] * 3 + [1] * 3
    assert moved["most"].tolist() == pytest.approx([0.2, 0.1, -0.1] * 2)
    assert order.sign_agreement(moved, "most") == {
        "share": pytest.approx(1 / 3)
    }  # unchanged kurtosis counts as no agreement


def test_the_bootstrap_resamples_whole_variants():
    """Identical seeds do not narrow the interval."""
    pairs = [(3, 0.5), (4, 0.7), (5, 0.6), (6, 0.8), (7, 0.65), (8, 0.9)]

    def statistic(frame):
        return {"mean": float(frame["most"].mean())}

    once, thrice = (order.bootstrap_variants(parents(pairs, seeds), statistic, draws=200) for seeds in (1, 3))
    assert once["mean"] == pytest.approx(thrice["mean"]) and once["mean"][1] < once["mean"][0] < once["mean"][2]
    value, low, high = order.bootstrap_variants(parents(pairs[:4]), statistic)["mean"]
    assert value == pytest.approx(0.65) and np.isnan(low) and np.isnan(high)
    undefined = order.bootstrap_variants(parents(pairs), lambda frame: {"none": float("nan")}, draws=20)["none"]
    assert all(np.isnan(undefined))
