"""The claims, on small tables and on the recorded results."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wmgp import InputError, cli
from wmgp.experiments.claims import (
    collection,
    formatting,
    kurtosis,
    layer_collapse,
    parent_weights,
    records,
    sweeps,
    verdicts,
)
from wmgp.experiments.claims.verdicts import NO_ESTIMATE, NOT, UNTESTED, Limits
from wmgp.experiments.statistics.intervals import MIN_SEEDS

RESULTS = Path(__file__).parent.parent / "results"
NAN = math.nan
NEAR = Limits(0.8, 0.9, "near")


def rows(**columns) -> pd.DataFrame:
    """Rows of one parent's sweep: LeNet Small, one epoch of fine-tuning; columns not given are constant."""
    alike = {
        "network": "lenet_small", "data": "cifar10", "start": "scratch", "epochs": 1, "seed": 0, "parent_sha256": "a",
        "run": "r", "accuracy_parent": 0.9,
    }  # fmt: skip
    return pd.DataFrame({**alike, **columns})


def hand(*sweeps, parents=()) -> records.Recorded:
    """Recorded results with only these sweeps (a.csv, b.csv, ...) and parents."""
    limits = dict.fromkeys(records.read(RESULTS).limits, NEAR)
    named = [(f"{'abcde'[i]}.csv", sweep) for i, sweep in enumerate(sweeps)]

    class Here(records.Recorded):
        def commits(self, source: str) -> set[str]:
            return {f"commit of {source}"}

        def commands(self, source: str, rows: pd.DataFrame | None = None) -> str:
            return f"command of {source}"

    return Here(Path(), {}, limits, pd.DataFrame(), named, list(parents), [], {})


def found(measure, of: records.Recorded) -> dict[str, float]:
    """Return key -> value of a claim's rows."""
    return {row.key: row.found.value for row in measure(of)}


def test_l1_is_best_gives_the_share_of_prunes_not_above_l1():
    sweep = rows(
        method=["l1", "l1", "random", "lamp", "lamp", "random"], amount=[0.1, 0.2, 0.1, 0.1, 0.2, 1.0],
        cosine_pruned=[0.9, 0.8, 0.7, 0.9, 0.81, NAN],
    )  # fmt: skip
    [row] = sweeps.l1_is_best(hand(sweep))
    assert row.found.value == pytest.approx(2 / 3) and row.verdict == NOT and row.commits == ("commit of a.csv",)
    assert not list(sweeps.l1_is_best(hand(sweep[sweep["method"] == "l1"])))  # no other method to compare with


def two_methods(agreement=0.0) -> pd.DataFrame:
    """Accuracy is the cosine, minus 0.1 for random pruning; the cosine is 1 - amount / 2 for L1, else 1 - amount."""
    amounts = np.tile([0.0, 0.1, 0.2, 0.3, 0.4], 2)
    method = np.repeat(["l1", "random"], 5)
    cosine = 1 - amounts * np.where(method == "l1", 0.5, 1)
    accuracy = cosine - 0.1 * (method == "random")
    return rows(method=method, amount=amounts, cosine_pruned=cosine, accuracy=accuracy, agreement=cosine - agreement)


def test_one_curve_and_the_gap_between_methods():
    values = found(sweeps.accuracy_against_cosine, hand(two_methods()))
    assert values["C2.gap"] == pytest.approx(10) and 0 < values["C2.cosine"] < 1 and 0 < values["C2.amount"] < 1
    [first, *_] = sweeps.accuracy_against_cosine(hand(two_methods()))
    assert first.note == "Rests on 0% of the paper's grid." and first.found.n == 1 and math.isnan(first.found.low)
    assert not list(sweeps.accuracy_against_cosine(hand(two_methods().assign(epochs=10))))
    assert not list(sweeps.accuracy_against_cosine(hand(two_methods().query("method == 'l1'"))))


def test_each_seed_has_its_own_curve():
    """A second seed with a quarter of the accuracy leaves the share unchanged: it excludes variance between seeds."""
    first = two_methods()
    both = pd.concat([first, first.assign(seed=1, parent_sha256="b", accuracy=lambda r: r["accuracy"] / 4)])
    alone, two = (found(sweeps.accuracy_against_cosine, hand(each)) for each in (first, both))
    assert two["C2.cosine"] == pytest.approx(alone["C2.cosine"]) and two["C2.gap"] == pytest.approx((10 + 2.5) / 2)
    [row, *_] = sweeps.accuracy_against_cosine(hand(both))
    assert row.found.n == 2


def test_the_gap_is_measured_where_both_methods_have_prunes():
    """Random pruning starts at cosine 0.8, where L1 ends with 10 points more accuracy."""
    sweep = two_methods().query("method == 'l1' or amount > 0.15")
    [*_, row] = sweeps.accuracy_against_cosine(hand(sweep))
    assert row.key == "C2.reached" and row.found.value == pytest.approx(10)
    assert row.claim == "L1 − random accuracy at cosine 0.8, the nearest to 0.9 that both reach (percentage points)"
    [*_, none] = sweeps.accuracy_against_cosine(hand(sweep.query("method == 'l1' or amount > 0.25")))
    assert none.key == "C2.gap" and none.verdict == UNTESTED


def test_no_accuracy_is_interpolated_across_a_gap_in_the_grid():
    """Without prunes at 0.95 and 0.9, L1 jumps from 1 to 0.85, too far to interpolate at 0.9."""
    sweep = two_methods()
    stepped = (sweep["method"] == "l1") & sweep["cosine_pruned"].between(0.86, 0.99)
    [*_, row] = sweeps.accuracy_against_cosine(hand(sweep[~stepped]))
    assert row.claim == "L1 − random accuracy at cosine 0.85, the nearest to 0.9 that both reach (percentage points)"
    assert row.found.value == pytest.approx(10)


def test_function_follows_the_cosine():
    values = found(sweeps.functional_similarity, hand(two_methods()))
    assert values["C3.agreement"] == values["C3.near"] == pytest.approx(1)
    assert values["C3.back"] == pytest.approx(-5)  # agreement is the cosine: at 0.95 it is 5 points lower


def test_fewer_than_five_prunes_have_no_rank_correlation():
    """Five prunes have a cosine of at least 0.9: L1's at 0, 0.1, 0.2, random's at 0, 0.1. Removing one leaves four."""
    sweep = two_methods().query("method == 'l1' or amount != 0.1")
    _, near, _ = sweeps.functional_similarity(hand(sweep))
    assert near.sentence.startswith("Not testable here: it takes 5 prunes of a seed to tell an order.")


def parent(optimal=0.2, safe=0.1, kurtosis=5.0) -> dict[str, Any]:
    """A record of the parent of `rows`."""
    analysis = {"optimal": {"amount": optimal}, "safe": {"amount": safe}, "kurtosis": kurtosis}
    return {"parent_sha256": "a", "trained": {"analysis": analysis}}


def test_the_optimum_is_compared_with_the_largest_amount():
    """L1 loses nothing at 0.2 and 5 points at 0.3, so 1 point at 0.22. The optimum is 0.25."""
    sweep = two_methods().assign(accuracy=lambda r: np.where(r["amount"] > 0.25, 0.85, 0.9))
    values = found(sweeps.optimal_against_largest, hand(sweep, parents=[parent(optimal=0.25)]))
    assert values == pytest.approx({"C7.knee": -0.03, "C7.cost": 2.5})
    assert not list(sweeps.optimal_against_largest(hand(sweep.assign(network="mobilenet_v2"), parents=[parent()])))


def test_kurtosis_orders_networks():
    """Networks with higher kurtosis lose one point of accuracy at a larger amount: 0.01, 0.02, ..."""
    names = "abcde"
    sweeps = [
        two_methods().assign(accuracy=lambda r, i=i: 0.9 - r["amount"] / (i + 1), parent_sha256=name)
        for i, name in enumerate(names)
    ]
    parents = [parent(kurtosis=3.0 + i) | {"parent_sha256": name} for i, name in enumerate(names)]
    of = hand(*sweeps, parents=parents)
    *alike, between = kurtosis.kurtosis_correlations(of)
    assert [row.verdict for row in alike] == [UNTESTED] * 5 and {row.key for row in alike} == {"C5.alike"}
    assert "it takes 5 parents to tell an order." in alike[0].sentence
    assert (
        between.found.value == pytest.approx(1) and between.found.n == 5 and between.sources[:2] == ("a.csv", "b.csv")
    )
    *_, few = kurtosis.kurtosis_correlations(hand(*sweeps[:4], parents=parents))
    assert few.verdict == UNTESTED


TENSORS = [
    {"name": "bias", "shape": [4], "n": 4, "pruned_at_optimal": 4},
    {"name": "wide", "shape": [10, 20], "n": 200, "pruned_at_optimal": 100},
    {"name": "narrow", "shape": [10, 2, 2], "n": 40, "pruned_at_optimal": 39},
]


def test_layer_collapse_and_recommended_amounts_by_hand():
    sweep = two_methods().assign(network="mobilenet_v2")
    sweep = pd.concat([sweep, sweep[sweep["method"] == "l1"].assign(method="l1_local", accuracy=0.9)])
    known = parent()
    known["trained"]["analysis"]["tensors"] = TENSORS
    of = hand(sweep, parents=[known])
    # L1 loses a point of 0.9 at 0.22, per-tensor L1 nothing up to 0.4. A vector without remaining weights is ignored.
    expected = {"C8.cut": 1 / 40, "C8.optimal": 0, "C8.safe": -5, "C8.local": 0.18}
    assert found(layer_collapse.when_it_fails, of) == pytest.approx(expected)
    [row, *_] = layer_collapse.when_it_fails(of)
    assert row.note == "That is narrow, which keeps 1 of 40 values."
    [exact] = layer_collapse.torchvision_weights(replace(of, mobilenet={"analysis": {"tensors": TENSORS}}))
    assert exact.found.value == 1 / 40 and exact.exact and exact.note == row.note


def test_longer_fine_tuning():
    once = two_methods().assign(amount=[0.2, 0.98, 0.5, 0.6, 0.7] * 2, js=0.02, cosine=0.9)
    ten = once.assign(epochs=10, js=[0.01, 0.05, 1, 1, 1, *[2] * 5], cosine=[0.95, 0.7, 1, 1, 1, *[0] * 5])
    expected = {"C9.small": -0.01, "C9.large": 0.03, "C9.small.cosine": 0.05, "C9.large.cosine": -0.2}
    assert found(sweeps.longer_fine_tuning, hand(once, ten)) == pytest.approx(expected)
    assert not list(sweeps.longer_fine_tuning(hand(ten)))  # no prunes with one epoch to compare with


@pytest.fixture(scope="module")
def real() -> list[verdicts.Row]:
    return collection.collect(RESULTS)


@pytest.mark.slow
def test_every_claim_has_rows_with_their_provenance(real):
    assert {row.id for row in real} >= set(collection.CLAIMS) - {"C9"}
    assert [row.id for row in real] == sorted((row.id for row in real), key=list(collection.CLAIMS).index)
    for row in real:
        assert row.sources and row.commits and not any(commit.endswith("-dirty") for commit in row.commits)
        assert (RESULTS.parent / "notebooks" / f"{row.notebook}.py").is_file() and row.command.split()[0] in (
            "wmgp", "python", "papermill",
        )  # fmt: skip
        if math.isfinite(row.found.low):
            assert row.found.low <= row.found.value <= row.found.high and row.found.n >= MIN_SEEDS


@pytest.mark.slow
def test_json_has_the_documented_keys(real):
    found = json.loads(formatting.as_json(real))
    promised = {"id", "claim", "published", "measured", "low", "high", "n_seeds", "tolerance", "verdict", "data",
                "notebook", "command"}  # fmt: skip
    assert all(promised <= set(each) and each["verdict"] in verdicts.VERDICTS for each in found)
    assert formatting.as_json(collection.collect(RESULTS)) == formatting.as_json(
        real
    )  # the same results, the same bytes


def test_published_ranges_equal_the_limits():
    known = records.read(RESULTS)
    well = known.limits["kurtosis_of_kurtoses.well_behaved"]
    names = ("well_behaved_low", "well_behaved_high")
    assert (well.low, well.high) == tuple(known.published[f"kurtosis_of_kurtoses.{name}"] for name in names)
    assert all(limits.reason.endswith(".") and limits.low <= limits.high for limits in known.limits.values())
    assert known.limits["reference_run.optimal.amount"].low == pytest.approx(0.81)


def test_incomplete_claims_are_refused(real):
    published = set(records.read(RESULTS).published)
    with pytest.raises(InputError, match="claim C4: no row is measured"):
        collection.check([row for row in real if row.id != "C4"], published)
    with pytest.raises(InputError, match=r"published value new\.figure: no row"):
        collection.check(real, published | {"new.figure"})
    with pytest.raises(InputError, match="claim R, Test accuracy of the parent: a number without provenance"):
        collection.check([*real, replace(real[0], commits=())], published)


def test_a_table_without_provenance_is_refused(tmp_path):
    of = replace(records.read(RESULTS), folder=tmp_path)
    with pytest.raises(InputError, match=r"speed\.json: expected a JSON object"):
        of.commits("speed.csv")
    for content in ("{}", '{"r": {"date": "2026-01-02"}}'):
        (tmp_path / "speed.json").write_text(content)
        with pytest.raises(InputError, match=r"speed\.csv: no provenance beside it"):
            of.commits("speed.csv")
    with pytest.raises(InputError, match="no limits for 'C0'"):
        of.row("C0", "C0", "", ("lenet5", "mnist"), NO_ESTIMATE, ".0f", "", "", ())


def record(network: str, after: dict[str, Any], before: dict[str, Any] | None = None, seed: int = 0) -> dict[str, Any]:
    """A parent on CIFAR-10 with kurtoses before and after training, and a front from 1 to 0.98 at 0.5."""
    front = {"amount": [0, 0.5, 1], "cosine": [1, 0.98, 0]}
    analysis = {"front": front, "optimal": {"amount": 0.8}, "safe": None, "kurtosis": 5.0}
    return {
        "network": network, "data": "cifar10", "start": "scratch", "seed": seed, "commit": "0",
        "trained": {"definitions": after, "analysis": analysis},
        "initial": {"definitions": before or after, "analysis": analysis},
    }  # fmt: skip


def test_closest_definition_of_a_kurtosis():
    """Of the means 3 and 7.5, 7.5 is closest to 8. The same definition is far off for the other network."""
    alike = [record("vgg11_bn", {"one": 3.0, "other": x, "undefined": None}, seed=i) for i, x in enumerate((7.0, 8.0))]
    other = record("resnet18", {"one": 4.0, "other": 20.0, "undefined": None})
    published = {"kurtosis.vgg11_bn": 8.0, "kurtosis.resnet18": 4.0}
    of = replace(hand(parents=[*alike, other]), published=published)
    assert kurtosis.closest_definition(of, "vgg11_bn").endswith(
        "Closest of 2 definitions, chosen after seeing the published value: other, 7.50; "
        "by the same definition ResNet18 has 20.00 (published: 4.00)."
    )


def test_kurtosis_before_training_with_and_without_batch_norm():
    pooled, bare = kurtosis.POOLED, kurtosis.WITHOUT_NORM
    normed = record("resnet18", {pooled: 50.0, bare: 9.0}, {pooled: 80.0, bare: 3.0})
    values = found(kurtosis.before_training, hand(parents=[normed]))
    assert values == {"C6.kurtosis": -30, "C6.kurtosis.without_norm": 6, "C6.cosine": 0, "C6.amount": 0.8}
    plain = record("lenet5", {pooled: 9.0, bare: 9.0}, {pooled: 3.0, bare: 3.0})
    assert "C6.kurtosis.without_norm" not in found(kurtosis.before_training, hand(parents=[plain]))


def test_the_amount_at_cosine_99_of_every_network():
    """The cosine falls by 0.02 up to amount 0.5, so by 0.01 at 0.25."""
    rows = list(parent_weights.amounts_at_cosine(hand(parents=[record("resnet18", {}), record("lenet5", {})])))
    assert [row.subject for row in rows] == ["ResNet18 on CIFAR-10", "LeNet-5 on CIFAR-10"]
    assert [row.found.value for row in rows] == pytest.approx([0.25, 0.25])
    assert rows[0].note == "Over the networks here, mean and range: 0.25."


def test_a_published_run_is_compared_with_the_interval_of_one_more_run():
    """0, 0, 0, 0, 1 have mean 0.2; the half-width for one more run is 2.7764 sqrt(0.2 + 0.04) = 1.3602."""
    said = [parent_weights.prediction_note([0, 0, 0, 0, 1], published, ".2f") for published in (1.5, 1.6)]
    assert said[0] == "The published run lies inside the interval of one run more, -1.16 to 1.56."
    assert said[1].startswith("The published run lies outside")


def test_ratios_of_loss_surfaces(monkeypatch):
    """The distance is the prune's loss minus the parent's; the ratios 4, 1 and 0.25 have geometric mean 1."""
    monkeypatch.setattr(parent_weights, "surface_distance", lambda parent, prune: prune - parent)
    arrays = {"plane": np.array([[1.0, 2, 5], [1, 3, 3], [1, 5, 2]]), "amount": np.array([[0, 0.4, 0.02]] * 3)}
    of = replace(
        hand(), surfaces=[("a.npz", arrays, {"network": "lenet5", "data": "mnist", "command": "python -m surfaces"})]
    )
    rows = {row.key: row for row in parent_weights.surfaces(of)}
    assert rows["C4.ratio"].found.value == pytest.approx(1) and rows["C4.ratio"].note == "Above one in 1 of 3 parents."
    assert rows["landscape.random.amount"].found.value == pytest.approx(0.02)
    assert rows["landscape.l1.l_infinity_distance"].found.value == pytest.approx((1 + 2 + 4) / 3)


def test_command_line(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["claims", "--results", str(RESULTS)])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and said.startswith("R  The reference run") and "\nC9  After a small prune" in said
    assert max(map(len, said.splitlines())) <= formatting.WIDTH
    with pytest.raises(SystemExit) as ended:
        cli.main(["claims", "--json", "--results", "nowhere"])
    assert ended.value.code == 2 and "nowhere/published.json: expected a JSON object" in capsys.readouterr().err
