"""The report shows the analysis's values in every form: text, HTML and terminal tables."""

import html as markup
import io
import re

import numpy as np
import pytest

import wmgp
from wmgp import report
from wmgp.closed_forms import smallest_optimum


def network(rng) -> dict[str, np.ndarray]:
    shapes = {"a.weight": (30, 20), "a.bias": (30,), "b.weight": (10, 30), "b.bias": (10,), "c.scale": (7,)}
    return {name: rng.standard_t(5, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def analysis(rng) -> wmgp.Analysis:
    return wmgp.analyze(network(rng))


def shown_values(analysis: wmgp.Analysis) -> list[str]:
    """Every value in the summary, as formatted there."""
    assert analysis.safe is not None
    points = [analysis.careful, analysis.safe, analysis.at_cosine(0.99), analysis.optimal]
    return [
        f"{analysis.n_parameters:,}",
        f"{analysis.n_prunable:,}",
        f"{analysis.kurtosis:.2f}",
        f"{analysis.kurtosis_of_kurtoses:.2f}",
        *(f"{p.amount:.4f}" for p in points),
        *(f"{p.cosine:.4f}" for p in points),
        *(f"{p.threshold:.4g}" for p in points),
        *(f"{p.n_pruned:,}" for p in points),
    ]


def rendered(thing, width: int = 120, colour: bool = False) -> str:
    from rich.console import Console

    file = io.StringIO()
    Console(file=file, width=width, force_terminal=colour, color_system="standard" if colour else None).print(thing)
    return file.getvalue()


@pytest.mark.parametrize("form", ["text", "html", "summary"])
def test_every_form_has_every_value(analysis, form):
    shown = {"text": str(analysis), "html": analysis._repr_html_(), "summary": rendered(report.summary(analysis))}[form]
    words = set(re.split(r"\s+|<[^>]*>", markup.unescape(shown)))
    assert [value for value in shown_values(analysis) if value not in words] == []
    for note in report.notes():
        assert note in markup.unescape(shown)


def test_text_is_a_few_aligned_lines(analysis):
    lines = str(analysis).splitlines()
    assert 14 <= len(lines) <= 20 and all(line == line.rstrip() for line in lines)
    rows = [line for line in lines if re.match(r"(careful|safe|cosine 0\.99|optimal \(paper\)) ", line)]
    assert len(rows) == 4 and len({len(row) for row in rows}) == 1
    assert lines[lines.index(rows[0]) - 1].split() == ["amount", "cosine", "threshold", "pruned"]


def test_html_sets_no_colours_and_loads_nothing(analysis):
    shown = analysis._repr_html_()
    assert not re.search(r"color|background|#[0-9a-f]{3}|https?:|src=|<script|<link", shown)
    assert shown.count("<tr>") == shown.count("</tr>") == 9 and shown.count("<table>") == 2


def test_undefined_values_are_not_shown_as_nan(rng):
    """Two tensors have no kurtosis of kurtoses, hence no safe amount; amount 0 has no threshold."""
    analysis = wmgp.analyze({"a.weight": rng.normal(size=30), "b.weight": rng.normal(size=3), "c.weight": np.ones(1)})
    assert analysis.safe is None and analysis.warnings
    for shown in (
        str(analysis),
        analysis._repr_html_(),
        rendered(report.summary(analysis)),
        report.tensors_text(analysis),
    ):
        assert "nan" not in shown and "None" not in shown
    assert "undefined" in str(analysis)
    assert all(warning in str(analysis) for warning in analysis.warnings)


def test_long_warnings_are_shortened(rng):
    """Many small tensors are pruned completely; only analysis.warnings lists all names."""
    small = {f"small{i}.weight": rng.normal(size=20) * 1e-6 for i in range(9)}
    analysis = wmgp.analyze({"big.weight": rng.normal(size=5000), **small})
    whole = next(warning for warning in analysis.warnings if "optimal" in warning)
    assert all(name in whole for name in small)
    assert "small2.weight and 6 more" in str(analysis) and "small3" not in str(analysis)


def test_names_from_a_file_are_escaped(rng):
    """The name is in the table, and in the warnings because the tensor is pruned completely."""
    name = "\x1b[2Jevil\n<script>alert(1)</script>[red].weight"
    analysis = wmgp.analyze({name: rng.normal(size=20) * 1e-9, "b.weight": rng.normal(size=500)})
    assert any(name in warning for warning in analysis.warnings)
    shown = [str(analysis), report.tensors_text(analysis), rendered(report.summary(analysis), 300)]
    shown.append(rendered(report.tensors(analysis, 300), 300))
    for text in shown:
        assert "\x1b" not in text and "\\x1b[2Jevil\\n" in text and "[red]" in text
    assert "<script>" not in analysis._repr_html_() and "&lt;script&gt;" in analysis._repr_html_()


def test_tensor_table_has_one_row_per_tensor(analysis):
    lines = report.tensors_text(analysis).splitlines()
    assert len(lines) == 1 + len(analysis.tensors) and len({len(line) for line in lines}) == 1
    for line, row in zip(lines[1:], analysis.tensors.to_dict("records"), strict=True):
        name, shape, dtype, n, zeros, kurtosis, energy, *pruned = line.split()
        assert (name, dtype, n, zeros) == (row["name"], row["dtype"], f"{row['n']:,}", str(row["zeros"]))
        assert shape == "x".join(map(str, row["shape"]))
        assert float(kurtosis) == pytest.approx(row["kurtosis"], abs=0.005)
        assert float(energy) == pytest.approx(row["energy"], rel=1e-3)
        for share, point in zip(pruned, ("careful", "safe", "optimal"), strict=True):
            assert float(share) == pytest.approx(row[f"pruned_at_{point}"] / row["n"], abs=5e-5)
    table = rendered(report.tensors(analysis, 120))
    assert [line.split() for line in table.splitlines()] == [line.split() for line in lines]


OMITTED = {
    140: "",
    132: "energy",
    122: "energy, dtype",
    112: "energy, dtype, kurtosis",
    104: "energy, dtype, kurtosis, zeros",
    70: "energy, dtype, kurtosis, zeros, shape",
}


@pytest.mark.parametrize("width", OMITTED)
def test_narrow_terminals_omit_columns_and_name_them(rng, width):
    name = "a.very.long.name.of.a.tensor.deep.in.a.network.weight"
    analysis = wmgp.analyze({name: rng.normal(size=500), "b.weight": rng.normal(size=3)})
    table, _, note = rendered(report.tensors(analysis, width), width).partition("Too narrow here for ")
    assert max(map(len, table.splitlines())) <= width
    assert " ".join(note.split()).partition(";")[0] == OMITTED[width]
    headings = re.split(r"\s{2,}", table.splitlines()[0].strip())
    assert headings == [heading for heading in report.TENSOR_HEADINGS if heading not in OMITTED[width].split(", ")]
    parts = [line.split()[0] for line in table.splitlines()[1:] if not line.startswith("b.weight")]
    assert "".join(parts) == name and len(parts) == (2 if width == 70 else 1)


def test_smallest_optimum_solves_its_cubic_and_is_in_the_report():
    x = np.sqrt(1 - smallest_optimum().amount)
    assert 2 * x**3 + x - 1 == pytest.approx(0, abs=1e-12)
    analysis = wmgp.analyze({"a.weight": np.ones(10_000)}, amounts=10_001)
    assert analysis.optimal.amount == pytest.approx(smallest_optimum().amount, abs=1e-4)
    assert f"{smallest_optimum().amount:.3f}" in str(analysis)
