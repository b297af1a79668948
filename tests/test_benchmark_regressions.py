"""Reports of benchmark ratios that became worse, on hand-made tables."""

import pytest

from benchmarks import regressions

BEFORE = "case,peer,ratio\na,p,100\nb,p,10\nc,p,5\nd,p,2\n"
AFTER = "case,peer,ratio\na,p,80.1\nb,p,8\nd,p,7\n"


def folders(tmp_path, name="benchmark.csv", before=BEFORE, after=AFTER):
    for folder, text in (("before", before), ("after", after)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    return tmp_path / "before", tmp_path / "after"


def test_worse_ratios_are_reported_without_failing(tmp_path, capsys):
    before, after = folders(tmp_path)
    regressions.main([str(before), str(after)])
    assert capsys.readouterr().out.splitlines() == [
        "benchmark.csv: b, p: the ratio was 10 and is 8",
        "benchmark.csv: c, p: not measured any more",
    ]


def test_a_larger_ratio_is_worse_in_the_browser_table(tmp_path, capsys):
    tables = "dtype,parameters,ratio\nf,1,2\nh,1,2\n", "dtype,parameters,ratio\nf,1,2.6\nh,1,1\n"
    before, after = folders(tmp_path, "benchmark_browser.csv", *tables)
    regressions.main([str(before), str(after)])
    assert capsys.readouterr().out == "benchmark_browser.csv: f, 1: the ratio was 2 and is 2.6\n"


def test_the_absence_of_regressions_is_reported(tmp_path, capsys):
    before, after = folders(tmp_path, after=BEFORE)
    regressions.main([str(before), str(after)])
    assert capsys.readouterr().out == "No ratio of benchmark.csv is 1.25 times as bad as before.\n"


@pytest.mark.parametrize("text", ["case,ratio\na,1\n", "case,peer,ratio\na,p,x\n", "case,peer,ratio\na,p,0\n"])
def test_an_invalid_table_is_refused_by_name(tmp_path, capsys, text):
    before, after = folders(tmp_path, after=text)
    with pytest.raises(SystemExit, match="2"):
        regressions.main([str(before), str(after)])
    assert "after/benchmark.csv: expected" in capsys.readouterr().err


def test_the_recorded_tables_are_valid():
    from wmgp.experiments.results.tables import locate

    for name in set(regressions.TABLES) - {"benchmark_device.csv"}:  # measured on a GPU
        path = locate(name)
        assert list(regressions.find_regressions(path, path)) == []
