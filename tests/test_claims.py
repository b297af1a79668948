"""The claims: verdicts on numbers worked out by hand, measures on small tables, and the real folder of results."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wmgp import InputError, cli
from wmgp.experiments.claims import claims, prunes, recorded, verdicts, weights, words
from wmgp.experiments.claims.verdicts import IN_PART, NOT, REPRODUCED, UNTESTED, Limits

RESULTS = Path(__file__).parent.parent / "results"
NAN, INF = math.nan, math.inf
NEAR = Limits(0.8, 0.9, "near")


@pytest.mark.parametrize(
    ("found", "seeds", "limits", "expected"),
    [
        ((0.85, 0.8, 0.9), 10, NEAR, REPRODUCED),
        ((0.85, 0.79, 0.9), 10, NEAR, IN_PART),
        ((0.95, 0.9, 1.0), 10, NEAR, IN_PART),  # its end is a limit
        ((0.95, 0.91, 1.0), 10, NEAR, NOT),
        ((0.70, 0.6, 0.75), 10, NEAR, NOT),
        ((0.85, NAN, NAN), 4, NEAR, IN_PART),
        ((0.95, NAN, NAN), 1, NEAR, NOT),
        ((NAN, NAN, NAN), 0, NEAR, UNTESTED),
        ((0.85, 0.8, 0.9), 10, Limits(-INF, INF, "the paper does not say"), UNTESTED),
        ((7.0, 6.0, 8.0), 10, Limits(6, INF, "more"), REPRODUCED),
        ((-7.0, -8.0, -6.0), 10, Limits(-INF, -6, "less"), REPRODUCED),
    ],
)
def test_verdicts_by_hand(found, seeds, limits, expected):
    assert verdicts.verdict(found, seeds, limits) == expected


def test_where_nothing_is_left_to_chance_the_value_decides():
    assert verdicts.verdict((0.85, NAN, NAN), 1, NEAR, exact=True) == REPRODUCED
    assert verdicts.verdict((0.95, NAN, NAN), 1, NEAR, exact=True) == NOT


def test_several_verdicts_together():
    assert verdicts.together([REPRODUCED, REPRODUCED, UNTESTED]) == REPRODUCED
    assert verdicts.together([NOT, NOT]) == NOT
    assert verdicts.together([REPRODUCED, NOT]) == verdicts.together([IN_PART]) == IN_PART
    assert verdicts.together([UNTESTED]) == verdicts.together([]) == UNTESTED


def test_means_with_their_intervals():
    assert verdicts.mean([2.0, 2.0, 2.0, 2.0, 2.0]) == (2, 2, 2)
    value, low, high = verdicts.mean([0.0, 1.0] * 50, seed=3)
    # The mean of 100 draws of a fair coin: 0.5 with a deviation of 0.05, so 0.4 to 0.6.
    assert value == 0.5 and (low, high) == pytest.approx((0.4, 0.6), abs=0.02)
    assert verdicts.mean([0.0, 1.0] * 50, seed=3) == (value, low, high)
    few = verdicts.mean([1.0, 2.0, 3.0, NAN])
    assert few[0] == 2 and math.isnan(few[1]) and math.isnan(few[2])
    assert all(map(math.isnan, verdicts.mean([])))


def test_limits_in_words():
    assert NEAR.words(".1f") == "0.8 to 0.9" and Limits(1, 1, "").words(".0f") == "1"
    assert Limits(0.25, INF, "").words(".2f") == "at least 0.25" and Limits(-INF, 0, "").words(".0f") == "at most 0"
    assert Limits(-INF, INF, "").words(".2f") == "" and not Limits(-INF, INF, "").testable


ROW = verdicts.Row(
    "C7", "C7.cost", "Accuracy lost", "LeNet-5 on MNIST", 0.83, 0.85, 0.82, 0.88, 10, ".2f", NEAR, "MNIST",
    "08_optimal_amount", "wmgp sweep", ("a.csv",), ("0123",),
)  # fmt: skip


def test_sentences():
    assert ROW.sentence == "Reproduced: 0.85 (0.82 to 0.88), expected 0.80 to 0.90."
    assert replace(ROW, high=0.95).sentence == (
        "Reproduced in part: 0.85 (0.82 to 0.95), expected 0.80 to 0.90; the interval reaches beyond."
    )
    one = replace(ROW, low=NAN, high=NAN, n_seeds=1, note="Rests on 2% of the paper's grid.")
    assert one.sentence == (
        "Reproduced in part: 0.85, expected 0.80 to 0.90; one seed gives no interval. Rests on 2% of the paper's grid."
    )
    assert "4 seeds give no interval" in replace(one, n_seeds=4).sentence
    assert replace(ROW, measured=0.5, low=0.4, high=0.6).sentence.startswith("Not reproduced: 0.50 (0.40 to 0.60)")
    assert replace(ROW, measured=NAN, low=NAN, high=NAN).sentence == "Not testable here: not measured yet."
    open_ended = replace(ROW, limits=Limits(-INF, INF, "The paper does not say."))
    assert open_ended.sentence == "Not testable here: The paper does not say."


def rows(**columns) -> pd.DataFrame:
    """Rows of a sweep of one parent: LeNet Small with an epoch of fine-tuning, all columns but the given ones alike."""
    alike = {
        "network": "lenet_small", "data": "cifar10", "start": "scratch", "epochs": 1, "seed": 0, "parent_sha256": "a",
        "run": "r", "accuracy_parent": 0.9,
    }  # fmt: skip
    return pd.DataFrame({**alike, **columns})


def hand(*sweeps, parents=()) -> recorded.Recorded:
    """Sweeps of tables that are called a.csv, b.csv, ...; what they say is all that is recorded."""
    limits = dict.fromkeys(recorded.read(RESULTS).limits, NEAR)
    named = [(f"{'abc'[i]}.csv", sweep) for i, sweep in enumerate(sweeps)]

    class Here(recorded.Recorded):
        def commits(self, source: str) -> set[str]:
            return {f"commit of {source}"}

    return Here(Path(), {}, limits, pd.DataFrame(), named, list(parents), [], {})


def found(measure, of: recorded.Recorded) -> dict[str, float]:
    """What a measure finds, by key."""
    return {row.key: row.measured for row in measure(of)}


def test_l1_wins_or_not():
    sweep = rows(
        method=["l1", "l1", "random", "lamp", "lamp", "random"], amount=[0.1, 0.2, 0.1, 0.1, 0.2, 1.0],
        cosine_pruned=[0.9, 0.8, 0.7, 0.9, 0.81, NAN],
    )  # fmt: skip
    [row] = prunes.l1_is_best(hand(sweep))
    assert row.measured == pytest.approx(2 / 3) and row.verdict == NOT and row.commits == ("commit of a.csv",)
    assert not list(prunes.l1_is_best(hand(sweep[sweep["method"] == "l1"])))  # nothing to hold it against


def two_methods(agreement=0.0) -> pd.DataFrame:
    """Accuracy is the cosine, less 0.1 for random pruning; L1's cosine falls by half the amount, random's by it."""
    amounts = np.tile([0.0, 0.1, 0.2, 0.3, 0.4], 2)
    method = np.repeat(["l1", "random"], 5)
    cosine = 1 - amounts * np.where(method == "l1", 0.5, 1)
    accuracy = cosine - 0.1 * (method == "random")
    return rows(method=method, amount=amounts, cosine_pruned=cosine, accuracy=accuracy, agreement=cosine - agreement)


def test_one_curve_and_the_gap_between_methods():
    values = found(prunes.one_curve, hand(two_methods()))
    assert values["C2.gap"] == pytest.approx(10) and 0 < values["C2.cosine"] < 1 and 0 < values["C2.amount"] < 1
    [first, *_] = prunes.one_curve(hand(two_methods()))
    assert first.note == "Rests on 0% of the paper's grid." and first.n_seeds == 1 and math.isnan(first.low)
    assert not list(prunes.one_curve(hand(two_methods().assign(epochs=10))))
    assert not list(prunes.one_curve(hand(two_methods().query("method == 'l1'"))))


def test_function_follows_the_cosine():
    values = found(prunes.function, hand(two_methods()))
    assert values["C3.agreement"] == values["C3.near"] == pytest.approx(1)
    assert values["C3.back"] == pytest.approx(-5)  # agreement is the cosine: at 0.95 it is 5 points lower


def parent(optimal=0.2, safe=0.1, kurtosis=5.0) -> dict[str, Any]:
    """A record of the parent of `rows`."""
    analysis = {"optimal": {"amount": optimal}, "safe": {"amount": safe}, "kurtosis": kurtosis}
    return {"parent_sha256": "a", "trained": {"analysis": analysis}}


def test_the_most_to_prune():
    """Of 0.9, L1 keeps 0.9 at 0.2 and loses 5 points at 0.3 and more, so one at 0.22; the optimum may lie above."""
    sweep = two_methods().assign(accuracy=lambda r: np.where(r["amount"] > 0.25, 0.85, 0.9))
    values = found(prunes.most_to_prune, hand(sweep, parents=[parent(optimal=0.25)]))
    assert values == pytest.approx({"C7.knee": -0.03, "C7.cost": 2.5})
    assert not list(prunes.most_to_prune(hand(sweep.assign(network="mobilenet_v2"), parents=[parent()])))


def test_kurtosis_orders_networks():
    sweep, other = two_methods().assign(accuracy=0.9), two_methods().assign(accuracy=0.8, parent_sha256="b")
    of = hand(sweep, other, parents=[parent(kurtosis=9), parent(kurtosis=3) | {"parent_sha256": "b"}])
    alike, again, between = prunes.kurtosis_orders(of)
    assert alike.key == again.key == "C5.alike" and alike.verdict == UNTESTED  # one parent has no order
    assert between.measured == pytest.approx(1) and between.n_seeds == 2 and between.sources == ("a.csv", "b.csv")


def test_when_it_fails():
    sweep = two_methods().assign(network="mobilenet_v2", min_survival=[1, 0.5, 0, 0, 0] * 2)
    sweep = pd.concat([sweep, sweep[sweep["method"] == "l1"].assign(method="l1_local", accuracy=0.9)])
    values = found(prunes.when_it_fails, hand(sweep, parents=[parent()]))
    # L1 has 1, 0.95, 0.9, 0.85, 0.8 of 0.9: most is 0.22, and per tensor 0.4.
    assert values == pytest.approx({"C8.cut": 0, "C8.optimal": 0, "C8.safe": -5, "C8.local": 0.18})


def test_longer_fine_tuning():
    once = two_methods().assign(amount=[0.2, 0.98, 0.5, 0.6, 0.7] * 2, js=0.02, cosine=0.9)
    ten = once.assign(epochs=10, js=[0.01, 0.05, 1, 1, 1, *[2] * 5], cosine=[0.95, 0.7, 1, 1, 1, *[0] * 5])
    expected = {"C9.small": -0.01, "C9.large": 0.03, "C9.small.cosine": 0.05, "C9.large.cosine": -0.2}
    assert found(prunes.longer, hand(once, ten)) == pytest.approx(expected)
    assert not list(prunes.longer(hand(ten)))  # nothing after one epoch to hold it against


@pytest.fixture(scope="module")
def real() -> list[verdicts.Row]:
    return claims.collect(RESULTS)


def test_every_claim_has_rows_with_their_provenance(real):
    assert {row.id for row in real} >= set(claims.CLAIMS) - {"C9"}
    assert [row.id for row in real] == sorted((row.id for row in real), key=list(claims.CLAIMS).index)
    for row in real:
        assert row.sources and row.commits and not any(commit.endswith("-dirty") for commit in row.commits)
        assert (RESULTS.parent / "notebooks" / f"{row.notebook}.py").is_file() and row.command.split()[0] in (
            "wmgp", "python", "papermill",
        )  # fmt: skip
        if math.isfinite(row.low):
            assert row.low <= row.measured <= row.high and row.n_seeds >= verdicts.FEWEST


def test_json_has_what_it_promises(real):
    found = json.loads(words.as_json(real))
    promised = {"id", "claim", "published", "measured", "low", "high", "n_seeds", "tolerance", "verdict", "data",
                "notebook", "command"}  # fmt: skip
    assert all(promised <= set(each) and each["verdict"] in verdicts.VERDICTS for each in found)
    assert words.as_json(claims.collect(RESULTS)) == words.as_json(real)  # the same results, the same bytes


def test_published_ranges_are_those_of_the_limits():
    known = recorded.read(RESULTS)
    well = known.limits["kurtosis_of_kurtoses.well_behaved"]
    names = ("well_behaved_low", "well_behaved_high")
    assert (well.low, well.high) == tuple(known.published[f"kurtosis_of_kurtoses.{name}"] for name in names)
    assert all(limits.reason.endswith(".") and limits.low <= limits.high for limits in known.limits.values())
    assert known.limits["reference_run.optimal.amount"].low == pytest.approx(0.81)


def test_what_may_not_be_shown(real):
    published = set(recorded.read(RESULTS).published)
    with pytest.raises(InputError, match="claim C4: no row is measured"):
        claims.check([row for row in real if row.id != "C4"], published)
    with pytest.raises(InputError, match=r"published figure new\.figure: no row"):
        claims.check(real, published | {"new.figure"})
    with pytest.raises(InputError, match="claim C7, Accuracy lost: a number without provenance"):
        claims.check([*real, replace(ROW, commits=())], published)


def test_a_table_without_provenance_is_refused(tmp_path):
    of = replace(recorded.read(RESULTS), folder=tmp_path)
    with pytest.raises(InputError, match=r"speed\.json: expected a JSON object"):
        of.commits("speed.csv")
    for content in ("{}", '{"r": {"date": "2026-01-02"}}'):
        (tmp_path / "speed.json").write_text(content)
        with pytest.raises(InputError, match=r"speed\.csv: no provenance beside it"):
            of.commits("speed.csv")
    with pytest.raises(InputError, match="no limits for 'C0'"):
        of.row("C0", "C0", "", ("lenet5", "mnist"), (1, 1, 1), 5, ".0f", "", "", ())


def test_nearest_reading_of_a_kurtosis():
    record = {"trained": {"definitions": {"one": 3.0, "other": 7.5, "undefined": None}}}
    assert weights.nearest_reading([record, record], 8.0).endswith("closest here: other, 7.50.")


def test_command_line(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["claims", "--results", str(RESULTS)])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and said.startswith("R  The reference run") and "\nC9  After a small prune" in said
    assert max(map(len, said.splitlines())) <= words.WIDTH
    with pytest.raises(SystemExit) as ended:
        cli.main(["claims", "--json", "--results", "nowhere"])
    assert ended.value.code == 2 and "nowhere/published.json: expected a JSON object" in capsys.readouterr().err
