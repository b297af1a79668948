"""The figure style, and the figure of the front."""

import numpy as np
import pytest

import wmgp
from wmgp import plotting


@pytest.fixture
def analysis(rng):
    sizes = {"a.weight": 500, "b.weight": 400, "b.bias": 9}
    return wmgp.analyze({name: rng.standard_t(4, n) for name, n in sizes.items()})


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def lightness(colour):
    """CIE L* of a colour, 0 to 100: its lightness in grey."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16


def test_the_first_four_colours_differ_in_grey():
    grey = np.sort([lightness(colour) for colour in plotting.PALETTE[:4]])
    assert np.diff(grey).min() > 15


def test_every_line_of_the_cycle_differs_in_its_dashes():
    assert len(set(plotting.DASHES)) == len(plotting.PALETTE)


def test_front_figure_shows_the_front_and_its_points(analysis):
    axes = analysis.plot().axes[0]
    front = axes.lines[0]
    np.testing.assert_array_equal(front.get_xdata(), analysis.front.amount)
    np.testing.assert_array_equal(front.get_ydata(), analysis.front.cosine)
    single = [line for line in axes.lines if len(line.get_xdata()) == 1]
    shown = {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in single}
    points = (analysis.optimal, analysis.safe, analysis.at_cosine(0.99))
    assert shown == {(1.0, 1.0)} | {(p.amount, p.cosine) for p in points}
    assert axes.get_xlabel() and axes.get_ylabel()
    assert f"prune {analysis.optimal.amount:.1%}" in legend(axes)[2]


def test_front_figure_without_a_safe_amount(rng):
    analysis = wmgp.analyze({"a.weight": rng.normal(size=50)})
    assert analysis.safe is None
    labels = legend(analysis.plot().axes[0])
    assert len(labels) == 4 and not any(label.startswith("safe") for label in labels)


def test_figures_do_not_change_pyplot_or_the_settings(analysis):
    import matplotlib
    from matplotlib import _pylab_helpers

    before = dict(matplotlib.rcParams)
    analysis.plot()
    assert dict(matplotlib.rcParams) == before
    assert not _pylab_helpers.Gcf.get_all_fig_managers()


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_same_figure_is_the_same_bytes(analysis, tmp_path, kind):
    for name in ("first", "second"):
        plotting.save(analysis.plot(), tmp_path / f"{name}.{kind}")
    assert (tmp_path / f"first.{kind}").read_bytes() == (tmp_path / f"second.{kind}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"first.{kind}", f"second.{kind}"]


def test_save_rejects_an_unknown_ending_and_writes_nothing(analysis, tmp_path):
    with pytest.raises(wmgp.InputError, match=r"front\.txt: expected a name that ends in \.svg"):
        plotting.save(analysis.plot(), tmp_path / "front.txt")
    assert not list(tmp_path.iterdir())


def test_band_spans_low_to_high():
    _, axes = plotting.figure()
    plotting.band(axes, [0, 1], [0.2, 0.3], [0.6, 0.9], plotting.PALETTE[0])
    low, high = axes.collections[0].get_datalim(axes.transData).intervaly
    assert (low, high) == pytest.approx((0.2, 0.9))


def test_intervals_draw_runs_mean_and_published():
    _, axes = plotting.figure()
    runs, means = {"x": [1.0, 3.0], "y": np.array([5.0, 7.0])}, {"x": (2.0, 1.5, 2.5), "y": (6.0, 5.0, 7.0)}
    plotting.intervals(axes, runs, means, {"x": 4.0, "y": 8.0})
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x", "y"]
    dots, interval, mean, published = axes.lines[:4]
    assert list(dots.get_xdata()) == [1, 3] and list(interval.get_xdata()) == [1.5, 2.5]
    assert list(mean.get_xdata()) == [2] and list(published.get_xdata()) == [4]
    assert published.get_ydata()[0] == 0 and axes.lines[7].get_ydata()[0] == -1


@pytest.mark.slow
def test_a_notebook_shows_the_front_as_svg(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    source = "import numpy, wmgp\nwmgp.analyze({'a.weight': numpy.arange(9.0)}).plot()"
    cell = nbformat.v4.new_code_cell(source)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()
    assert notebook.cells[0].outputs[-1].data["image/svg+xml"].startswith("<?xml")
