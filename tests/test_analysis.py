"""`analyze`: names, pools, undefined values, warnings and errors."""

import json
import math
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from torch import nn

import wmgp
from wmgp._histogram import blocks


@pytest.fixture
def net():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(72, 30), nn.Linear(30, 10, bias=False)
    )


def test_counts_and_pools(net):
    tokens = {**dict(net.named_parameters()), "cls_token": torch.randn(1, 1, 7)}
    everything = sum(p.numel() for p in tokens.values())
    assert wmgp.analyze(tokens).n_parameters == everything
    assert wmgp.analyze(tokens).n_prunable == everything - 7
    assert wmgp.analyze(tokens, pool="all").n_prunable == everything
    assert wmgp.analyze(tokens, pool="weights").n_prunable == 8 * 27 + 72 * 30 + 300 + 7
    assert wmgp.analyze(tokens, pool=lambda name, tensor: tensor.dim() == 4).n_prunable == 8 * 27
    with pytest.raises(wmgp.InputError, match="pool 'best': expected one of"):
        wmgp.analyze(tokens, pool="best")


def test_attention_projections_outside_the_pool():
    attention = nn.MultiheadAttention(8, 2)
    a = wmgp.analyze(attention)
    assert a.n_parameters - a.n_prunable == 3 * 8 * 8 + 3 * 8  # in_proj_weight and in_proj_bias
    assert a.at_amount(1).cosine > 0


def test_module_state_dict_and_arrays_give_the_same_report(net):
    arrays = {name: value.numpy() for name, value in net.state_dict().items()}
    reports = [wmgp.analyze(source).to_dict() for source in (net, net.state_dict(), arrays)]
    assert [report.pop("source") for report in reports] == ["Sequential", "OrderedDict", "dict"]
    assert reports[0] == reports[1] == reports[2]
    assert reports[0]["n_parameters"] == sum(p.numel() for p in net.parameters())


def test_tied_tensors_count_once():
    net = nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 20, bias=False))
    net[1].weight = net[0].weight
    assert wmgp.analyze(net).n_parameters == wmgp.analyze(net.state_dict()).n_parameters == 160


def test_layouts_and_views_do_not_matter(net):
    last = dict(net.named_parameters())
    last["0.weight"] = last["0.weight"].detach().to(memory_format=torch.channels_last)
    last["3.weight"] = last["3.weight"].t().contiguous().t()
    assert wmgp.analyze(last).front.cosine == pytest.approx(wmgp.analyze(net).front.cosine, abs=1e-14)
    assert wmgp.global_masks(last, 0.3)["0.weight"].equal(wmgp.global_masks(net, 0.3)["0.weight"])


def test_byte_order_and_ml_dtypes(rng):
    values = rng.standard_normal(300).astype(np.float32)
    native, swapped = (wmgp.analyze({"w.weight": v}) for v in (values, values.astype(">f4")))
    assert swapped.to_dict() == native.to_dict()
    half = torch.tensor(values).bfloat16()
    numpy_half = values.astype(ml_dtypes.bfloat16)
    assert wmgp.analyze({"w.weight": numpy_half}).to_dict() == wmgp.analyze({"w.weight": half}).to_dict()
    assert wmgp.kurtosis(numpy_half) == wmgp.kurtosis(half)


def test_json_has_the_documented_names(net):
    report = json.loads(wmgp.analyze(net).to_json())
    assert list(report) == [
        "source", "pool", "n_parameters", "n_prunable", "kurtosis", "kurtosis_of_kurtoses",
        "front", "careful", "safe", "at_cosine_0.99", "optimal", "outside", "tensors", "warnings",
    ]  # fmt: skip
    assert (report["source"], report["pool"]) == ("Sequential", "weight_bias")
    assert report["at_cosine_0.99"] == asdict(wmgp.analyze(net).at_cosine(0.99))
    assert list(report["front"]) == ["amount", "cosine"] and len(report["front"]["amount"]) == 101
    assert list(report["optimal"]) == ["amount", "cosine", "pool_cosine", "threshold", "n_pruned", "distance"]
    assert list(report["tensors"][0]) == [
        "name", "shape", "dtype", "n", "zeros", "kurtosis", "energy",
        "pruned_at_careful", "pruned_at_safe", "pruned_at_optimal",
    ]  # fmt: skip


def test_tensor_table(net):
    a = wmgp.analyze(net)
    assert a.tensors.name.tolist() == [name for name, _ in net.named_parameters()]
    rows: Any = a.tensors.itertuples()
    for row in rows:
        p = net.get_parameter(row.name).detach().double()
        assert row.n == p.numel() and tuple(row.shape) == tuple(p.shape) and row.dtype == "float32"
        assert row.energy == pytest.approx(float((p**2).sum()), rel=1e-12)
        assert row.kurtosis == pytest.approx(wmgp.kurtosis(p), rel=1e-9, nan_ok=True)
        assert row.zeros == int((p == 0).sum())
        assert row.pruned_at_optimal == int((p.abs() <= a.optimal.threshold).sum())
        assert row.pruned_at_careful == int((p.abs() <= a.careful.threshold).sum())
    assert a.kurtosis == pytest.approx(wmgp.kurtosis(torch.cat([p.flatten() for p in net.parameters()])), rel=1e-12)


def test_fresh_batch_norm_is_left_out_and_counted(net):
    a = wmgp.analyze(net)
    assert any(w.startswith("2 tensors constant or of a single element") for w in a.warnings)
    assert math.isfinite(a.kurtosis_of_kurtoses)
    assert a.optimal.threshold > 0 and not any("prunes all of" in w for w in a.warnings)  # only the zero 1.bias


def test_undefined_values_are_none_in_json():
    a = wmgp.analyze({"a.weight": np.ones(5), "b.weight": np.arange(4.0)})
    assert a.safe is None and math.isnan(a.kurtosis_of_kurtoses)
    assert any("no safe amount" in w for w in a.warnings)
    report = json.loads(a.to_json())
    assert report["safe"] is None and report["kurtosis_of_kurtoses"] is None
    assert [t["pruned_at_safe"] for t in report["tensors"]] == [None, None]
    assert report["tensors"][0]["kurtosis"] is None


def test_three_tensors_of_equal_kurtosis_have_no_safe_amount(rng):
    same = rng.standard_normal(50)
    a = wmgp.analyze({f"{i}.weight": same * 2.0**i for i in range(3)})
    assert a.safe is None
    assert a.warnings[0] == "no safe amount: the kurtosis of kurtoses is undefined (all kurtoses are equal)"


def test_a_pool_below_half_of_the_parameters_gives_a_warning():
    lstm = nn.Sequential(nn.LSTM(8, 34), nn.Linear(34, 2))  # torch calls an LSTM's weights weight_ih_l0 and the like
    a = wmgp.analyze(lstm)
    assert a.warnings[0] == (
        f"the pool weight_bias holds 70 of {a.n_parameters:,} values; --include GLOB adds tensors to it from: "
        "0.weight_hh_l0, 0.weight_ih_l0, 0.bias_ih_l0, 0.bias_hh_l0"
    )
    for pool in ("all", "weights", lambda name, tensor: name.endswith("1.bias")):  # a custom pool is deliberate
        assert not any(warning.startswith("the pool") for warning in wmgp.analyze(lstm, pool=pool).warnings)


@pytest.mark.slow
@pytest.mark.usefixtures("histogram")
def test_many_zeros_give_a_warning():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(60, 50), nn.Linear(50, 40), nn.Linear(40, 30))
    assert not any("zero" in warning for warning in wmgp.analyze(net).warnings)
    with torch.no_grad():
        net.get_parameter("0.weight")[:5, :40] = 0  # 200 of 6,320: 3%
    assert not any("zero" in warning for warning in wmgp.analyze(net).warnings)
    n = sum(int((~mask).sum()) for mask in wmgp.prune(net, 0.9).values())
    a = wmgp.analyze(net)
    assert a.warnings[0] == (
        f"{n:,} of the pool's 6,320 values (90%) are zero already, as after a prune: every amount counts these first, "
        "and the answers are about them too"
    )
    assert a.warnings[0] in str(a)


def test_a_key_is_refused_without_a_torch_file(net):
    for source in (net, net.state_dict()):
        with pytest.raises(wmgp.InputError, match="^key 'model': expected a torch file as the source, found"):
            wmgp.analyze(source, key="model")


def test_empty_and_single_tensors(rng):
    values = rng.standard_normal((3, 30))
    a = wmgp.analyze({"e.weight": np.zeros((0, 4)), "s.bias": np.array([2.0]), "w.weight": values})
    assert a.n_parameters == 91 and a.tensors.n.tolist() == [0, 1, 90]
    assert a.tensors.pruned_at_optimal.sum() == a.optimal.n_pruned
    assert not any("e.weight" in w for w in a.warnings)


@pytest.mark.parametrize(
    "source, match",
    [
        ({}, "dict: no floating-point parameters"),
        ({"step": np.array(3)}, "dict: no floating-point parameters"),
        ({"a.weight": np.zeros(0)}, "no prunable tensor in pool 'weight_bias'"),
        ({"token": np.ones(4)}, "no prunable tensor in pool 'weight_bias'"),
        ({"a.weight": np.zeros(9)}, "all weights are zero"),
        ({"a.weight": np.ones(4, dtype=np.complex64)}, r"^a\.weight: complex64 cannot be analysed"),
        ({"a.weight": torch.ones(4).to(torch.float8_e4m3fn)}, "'a.weight' is float8_e4m3fn, which cannot be"),
        ({"a.weight": torch.ones(4, device="meta")}, r"^a\.weight: expected a dense tensor with values, found meta"),
        ({"a.weight": torch.eye(4).to_sparse()}, r"^a\.weight: expected a dense tensor"),
        (nn.LazyLinear(3), r"^weight: expected values, found a lazy parameter"),
        ({"model": {"a.weight": np.ones(4)}}, "^model: expected a tensor, found dict"),
        (3, "expected a module, a mapping of names to tensors, or a checkpoint's path"),
        (nn.ReLU(), "ReLU: no floating-point parameters"),
    ],
)
def test_invalid_sources_are_one_line_errors(source, match):
    with pytest.raises(wmgp.InputError, match=match) as error:
        wmgp.analyze(source)
    assert "\n" not in str(error.value)


def test_counts_of_tensors_of_any_dtypes_add_up():
    """A threshold may be a float64 value, and must not be rounded to the dtype of another tensor."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        narrow = rng.standard_normal(50).astype(np.float32)
        report = wmgp.analyze({"a.weight": narrow, "b.weight": narrow.astype(np.float64)[::2] * (1 + 1e-9)})
        assert report.tensors.pruned_at_optimal.sum() == report.optimal.n_pruned


def test_progress_reaches_the_end(rng):
    seen = []
    wmgp.analyze({"a.weight": rng.random(200_000).astype(np.float32)}, progress=lambda done, n: seen.append((done, n)))
    assert seen[-1] == (200_000, 200_000)


def test_progress_is_called_by_one_thread_at_a_time(rng, monkeypatch):
    monkeypatch.setattr(blocks, "CHUNK", 1 << 16)
    inside, seen = threading.Lock(), []

    def progress(done, n):
        assert inside.acquire(blocking=False)  # progress bars are not thread-safe
        time.sleep(0.001)
        seen.append(done)
        inside.release()

    monkeypatch.setattr(blocks.os, "sched_getaffinity", lambda _: set(range(8)))
    wmgp.analyze({"a.weight": rng.random(1 << 21).astype(np.float32)}, progress=progress)
    assert seen == [(i + 1) << 16 for i in range(32)]


def test_import_loads_no_slow_package():
    heavy = "torch numba pandas scipy matplotlib torchvision".split()
    code = f"import sys, wmgp; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    code = "import wmgp.moments, wmgp; print(callable(wmgp.kurtosis), sorted(wmgp.__all__) == dir(wmgp))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "True True\n"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        wmgp.nothing  # noqa: B018
