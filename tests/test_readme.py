"""The README shows the recorded output, and the recorded output is the program's."""

import json
import re
from pathlib import Path

import pytest

from wmgp.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECORDED = (ROOT / "results" / "analyze_mobilenet_v2.txt").read_text(encoding="utf-8")


def test_readme_shows_the_recorded_output():
    shown = re.search(r"<!-- results/analyze_mobilenet_v2.txt -->\n```text\n(.*?)\n```", README, re.DOTALL)
    assert shown is not None and shown.group(1) == RECORDED.rstrip()


def test_program_prints_the_recorded_output(monkeypatch, capsys):
    torch_hub = pytest.importorskip("torch.hub")
    folder = Path(torch_hub.get_dir(), "checkpoints")
    command = RECORDED.splitlines()[0].removeprefix("$ wmgp ").split()
    if not (folder / command[1]).is_file():
        pytest.skip(f"no {command[1]} in torch.hub's folder: set TORCH_HOME")
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as done:
        main(command)
    assert not done.value.code
    assert capsys.readouterr().out.splitlines() == RECORDED.splitlines()[1:]


def test_recorded_output_agrees_with_the_recorded_analysis():
    record = json.loads((ROOT / "results" / "mobilenet_v2.json").read_text(encoding="utf-8"))
    analysis = record["analysis"]
    assert f"{analysis['n_parameters']:,}" in RECORDED and f"{analysis['kurtosis_of_kurtoses']:.2f}" in RECORDED
    points = {"optimal (paper)": analysis["optimal"], "safe": analysis["safe"], "cosine 0.99": record["advised"]}
    for name, point in points.items():
        row = next(line for line in RECORDED.splitlines() if line.startswith(name)).removeprefix(name).split()
        forms = {"amount": ".4f", "cosine": ".4f", "threshold": ".4g", "n_pruned": ","}
        assert row == [format(point[key], form) for key, form in forms.items()]


def test_readme_shows_the_benchmark():
    from benchmarks.analyze import insert_table

    table = (ROOT / "results" / "benchmark.csv").read_text(encoding="utf-8")
    assert insert_table(README, table) == README


def test_readme_names_files_and_targets_that_exist():
    targets = re.findall(r"^([\w-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"(?:^|`)make ([\w-]+)", README, re.MULTILINE)) <= set(targets)
    for path in re.findall(r"(?:results|notebooks|book)/[\w/.]+\.\w+", README):
        assert (ROOT / path).is_file(), path
    for word in (
        "faster or smaller",
        "65 percent",
        "make book",
        "make test",
        "make test-all",
        "papermill",
        "CITATION.cff",
    ):
        assert word in README
