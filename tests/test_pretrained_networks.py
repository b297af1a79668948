"""Pretrained networks: the recorded parents, and MobileNetV2 from its file or from its record."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import wmgp
from studies.shared import pretrained
from wmgp.experiments import notebook
from wmgp.experiments.models import build


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without torchvision's weight file."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path


@pytest.fixture
def real():
    if pretrained.mobilenet_v2_file() is None:
        pytest.skip(f"needs {pretrained.MOBILENET_FILE} where TORCH_HOME says")
    return pretrained.measure(pretrained.mobilenet_v2())


def test_recorded_parents_are_trained_from_their_seeds():
    seed = pretrained.lenet5_seeds()[0]
    parent, fresh = pretrained.lenet5(seed), build("lenet5", seed)
    assert 0.5 < wmgp.cosine_similarity(parent, fresh) < 1
    assert wmgp.cosine_similarity(parent, build("lenet5", seed + 1)) < 0.1


def test_an_unrecorded_parent_is_named():
    with pytest.raises(wmgp.InputError, match="lenet5-mnist-seed987.safetensors"):
        pretrained.lenet5(987)


def test_without_any_parent_there_are_no_seeds(nowhere, monkeypatch):
    monkeypatch.chdir(nowhere)
    assert pretrained.lenet5_seeds() == []


def test_without_the_file_the_record_is_read(nowhere):
    report, live = pretrained.mobilenet_v2_report()
    assert not live and len(report["analysis"]["front"]["amount"]) == 101
    assert report["analysis"]["n_parameters"] == 3_504_872
    with pytest.raises(wmgp.InputError, match="mobilenet_v2-b0353104.pth: set TORCH_HOME"):
        pretrained.mobilenet_v2()


def test_the_record_agrees_with_a_new_measurement(real):
    recorded = json.loads(pretrained.locate(pretrained.RECORD_FILE).read_text())
    provenance = recorded.pop("provenance")
    assert {"commit", "date", "versions", "source_sha256", "data_sha256", "data"} <= set(provenance)
    assert recorded.keys() == real.keys() and recorded["filters"] == real["filters"]
    assert recorded["definitions"] == pytest.approx(real["definitions"])
    assert recorded["advised"] == pytest.approx(real["advised"], rel=1e-6)
    for name in ("optimal", "safe"):
        assert recorded["analysis"][name] == pytest.approx(real["analysis"][name])
    assert recorded["analysis"]["front"]["cosine"] == pytest.approx(real["analysis"]["front"]["cosine"])


def test_kurtosis_of_kurtoses_is_near_the_published_one(real):
    published = json.loads(pretrained.locate("published.json").read_text())["kurtosis_of_kurtoses"]["mobilenet_v2"]
    assert real["analysis"]["kurtosis_of_kurtoses"] == pytest.approx(published, rel=0.1)


def test_without_the_weights_no_record_is_written(nowhere, capsys):
    with pytest.raises(SystemExit, match="2"):
        pretrained.main(["--out", str(nowhere / "out.json")])
    assert capsys.readouterr().err.count("\n") == 1
    assert not (nowhere / "out.json").exists()


def test_a_broken_record_is_named(nowhere, monkeypatch):
    (nowhere / "results").mkdir()
    (nowhere / "results" / pretrained.RECORD_FILE).write_text("{}")
    monkeypatch.chdir(nowhere)
    with pytest.raises(wmgp.InputError, match=r"mobilenet_v2\.json: expected a record of MobileNetV2"):
        pretrained.mobilenet_v2_report()


def test_dead_filters_by_hand():
    net = nn.Linear(5, 4, bias=False)  # 20 weights: the optimal amount keeps the last row
    with torch.no_grad():
        net.weight.copy_(torch.arange(1.0, 21).reshape(4, 5) * torch.tensor([[1e-3], [1e-3], [1e-3], [1.0]]))
    analysis = wmgp.analyze(net)
    gone = analysis.optimal.n_pruned // 5
    assert gone >= 3 and analysis.safe is None
    assert pretrained.dead_filters(net, analysis) == {"all": 4, "optimal": gone, "safe": 0}


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (
            lambda: notebook.check_choice("preset", "small", notebook.PRESETS),
            "preset 'small': expected one of default, tiny",
        ),
        (lambda: notebook.check_integer("seed", 1.5, 0, 9), "seed 1.5: expected a whole number from 0 to 9"),
        (lambda: notebook.check_integer("seed", True, 0, 9), "seed True"),
        (lambda: notebook.check_integer("seed", -1, 0, 9), "seed -1"),
        (lambda: notebook.check_integer("seed", "3", 0, 9), "seed '3'"),
        (lambda: notebook.check_bool("recompute", "false"), "recompute 'false': expected true or false"),
        (lambda: notebook.check_bool("recompute", 1), "recompute 1"),
        (lambda: notebook.check_between("cosine", 1, 0, 1), "cosine 1: expected a number between 0 and 1"),
        (lambda: notebook.check_between("cosine", float("nan"), 0, 1), "cosine nan"),
        (lambda: notebook.check_between("cosine", "0.9", 0, 1), "cosine '0.9'"),
    ],
)
def test_an_invalid_parameter_is_refused(check, said):
    with pytest.raises(wmgp.InputError, match=said):
        check()


def test_valid_parameters_are_returned():
    assert notebook.check_choice("preset", "tiny", notebook.PRESETS) == "tiny"
    assert notebook.check_integer("n", 3, 3, 3) == 3
    assert notebook.check_bool("recompute", False) is False
    assert notebook.check_between("cosine", np.float64(0.5), 0, 1) == 0.5
