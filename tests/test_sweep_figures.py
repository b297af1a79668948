"""The figures of sweeps, on rows worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from drawings import corners, xs, ys

from studies.shared import sweep_figures
from wmgp import plotting

ROWS = pd.DataFrame(
    [
        # seed, method, amount, cosine_pruned, accuracy
        (0, "random", 0.5, 0.6, 0.5),
        (0, "l1", 0.0, 1.0, 0.9),
        (0, "l1", 0.5, 0.8, 0.8),
        (1, "l1", 0.5, 0.9, 0.6),
        (1, "l1", 0.0, 1.0, 0.9),
        (1, "l1", 1.0, np.nan, 0.1),
    ],
    columns=["seed", "method", "amount", "cosine_pruned", "accuracy"],
).assign(loss=1.0)


def test_means_and_deviations_by_hand():
    found = sweep_figures.mean_over_seeds(ROWS, "cosine_pruned", "accuracy")
    expected = [("l1", 0.0, 1.0, 0.9, 0.0, 2), ("l1", 0.5, 0.85, 0.7, 0.02**0.5, 2), ("random", 0.5, 0.6, 0.5, 0.0, 1)]
    assert list(found.columns) == ["method", "amount", "x", "mean", "sd", "n"]
    for got, wanted in zip(found.itertuples(index=False, name=None), expected, strict=True):
        assert got[0] == wanted[0] and got[1:] == pytest.approx(wanted[1:])


def test_a_panel_shows_its_rows():
    drawn = sweep_figures.sweep_figure(ROWS, ["amount", "cosine_pruned"], ["accuracy", "loss"], {"loss": 0})
    assert len(drawn.axes) == 4
    l1, random = drawn.axes[0].lines
    assert xs(l1) == [0, 0.5, 1] and ys(l1) == pytest.approx([0.9, 0.7, 0.1])
    assert xs(random) == [0.5]
    assert (l1.get_color(), random.get_color()) == plotting.PALETTE[:2] and l1.get_linestyle() != random.get_linestyle()
    over_cosine = drawn.axes[1].lines[0]
    assert xs(over_cosine) == pytest.approx([1, 0.85])
    band = corners(drawn.axes[0].collections[0])
    assert band[:, 1].max() == pytest.approx(0.9) and 0.7 - 0.02**0.5 == pytest.approx(band[band[:, 0] == 0.5, 1].min())
    assert drawn.axes[2].get_ylim()[0] == 0
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["L1", "random"]
    assert drawn.axes[0].get_ylabel().replace("\n", " ") == sweep_figures.COLUMN_LABELS["accuracy"]
    assert drawn.axes[3].get_xlabel().replace("\n", " ") == sweep_figures.COLUMN_LABELS["cosine_pruned"]


def test_every_method_has_a_name():
    from wmgp.pruning_methods import METHODS

    assert set(sweep_figures.METHOD_LABELS) == set(METHODS) and len(METHODS) <= len(plotting.PALETTE)


def test_each_network_has_a_row_of_panels():
    other = ROWS.assign(method="lamp")
    drawn = sweep_figures.networks_figure({"one": ROWS, "another": other}, ["amount", "cosine_pruned"], "accuracy")
    first, _, third, _ = drawn.axes
    assert [axes.get_title(loc="left") for axes in (first, third)] == ["one", "another"]
    assert [len(axes.lines) for axes in drawn.axes] == [2, 2, 1, 1]
    assert first.get_ylim() == (0, pytest.approx(1.05 * corners(first.collections[0])[:, 1].max()))
    assert ys(first.lines[0]) == pytest.approx([0.9, 0.7, 0.1])
    assert third.get_xlabel().replace("\n", " ") == sweep_figures.COLUMN_LABELS["amount"] and not first.get_xlabel()
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["L1", "random", "LAMP"]
    assert first.get_ylabel().replace("\n", " ") == sweep_figures.COLUMN_LABELS["accuracy"]
