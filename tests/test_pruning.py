"""Masks prune the exact amount, agree with torch's pruning, and change only the pruned values."""

import copy
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune

import wmgp
from wmgp.experiments.published_method import pool
from wmgp.pruning import to_torch_prune
from wmgp.pruning_methods import METHODS


def small_net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 10))


def n_pruned(masks):
    return sum(int((~mask).sum()) for mask in masks.values())


@pytest.mark.parametrize("method", ["l1", "l1_normalized", "lamp", "random"])
@pytest.mark.parametrize("amount", [0, 0.01, 0.333, 0.5, 0.99, 1])
def test_masks_prune_exactly(method, amount):
    net = small_net()
    n = sum(p.numel() for p in net.parameters())
    masks = wmgp.global_masks(net, amount, method)
    assert n_pruned(masks) == round(amount * n)
    assert {name: mask.shape for name, mask in masks.items()} == {n: p.shape for n, p in net.named_parameters()}
    assert all(mask.dtype == torch.bool for mask in masks.values())


@settings(max_examples=50)
@given(st.lists(st.sampled_from([-2.0, -1.0, -0.0, 0.0, 1.0, 2.0]), min_size=1, max_size=60), st.floats(0, 1))
def test_ties_are_pruned_exactly(values, amount):
    half = len(values) // 2
    source = {"a.weight": np.array(values[:half]), "b.weight": np.array(values[half:])}
    if not any(values):
        return
    masks = wmgp.global_masks(source, amount)
    assert n_pruned(masks) == round(amount * len(values))
    magnitudes = np.abs(values)
    kept = np.concatenate([mask.numpy() for mask in masks.values()])
    assert magnitudes[~kept].max(initial=0) <= magnitudes[kept].min(initial=np.inf)


@pytest.mark.parametrize("amount", [0, 1e-4, 0.3, 0.5, 0.97, 1])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [3, 10**6])
def test_global_l1_agrees_with_a_stable_sort(rng, monkeypatch, histogram, levels, dtype, amount):
    """Also if most values are equal, and if blocks end within tensors."""
    monkeypatch.setattr("wmgp.pruning_methods.CHUNK", 1000)
    sizes = [4321, 0, 1, 2000, 999]
    drawn = (torch.tensor(rng.integers(-levels, levels + 1, n) / levels) for n in sizes)
    state = {f"{i}.weight": values.to(dtype) for i, values in enumerate(drawn)}
    order = np.argsort(np.abs(torch.cat(list(state.values())).double().numpy()), kind="stable")
    wanted = np.ones(order.size, dtype=bool)
    wanted[order[: round(amount * order.size)]] = False
    kept = torch.cat(list(wmgp.global_masks(state, amount).values())).numpy()
    np.testing.assert_array_equal(kept, wanted)


def test_masks_and_report_agree_per_tensor(rng):
    tensors = {f"{i}.weight": rng.integers(-20, 21, 50_000).astype(np.float32) for i in range(4)}
    a = wmgp.analyze(tensors)
    masks = wmgp.global_masks(tensors, a.optimal.amount)
    assert a.tensors.pruned_at_optimal.tolist() == [int((~mask).sum()) for mask in masks.values()]
    assert a.safe is not None and a.tensors.pruned_at_safe.sum() == a.safe.n_pruned


@pytest.mark.parametrize("amount", [0.1, 0.5, 0.83])
def test_global_l1_agrees_with_torch(amount):
    net = small_net()
    with torch.no_grad():
        net.get_parameter("1.weight").normal_()  # without ties, the masks are unique
        net.get_parameter("1.bias").normal_()
    masks = wmgp.global_masks(net, amount)
    torch_prune.global_unstructured(pool(net), torch_prune.L1Unstructured, amount=amount)
    buffers = dict(net.named_buffers())
    for name, mask in masks.items():
        assert torch.equal(mask, buffers[f"{name}_mask"].bool()), name


@pytest.mark.parametrize("amount", [0.1, 0.25, 0.5, 0.83])
def test_local_l1_agrees_with_torch(amount):
    net = small_net()
    masks = wmgp.global_masks(net, amount, "l1_local", pool="weights")
    for name in ("0", "4"):
        torch_prune.l1_unstructured(net.get_submodule(name), "weight", amount=amount)
        assert torch.equal(masks[f"{name}.weight"], net.get_buffer(f"{name}.weight_mask").bool())


def pruned_by(method, source, n):
    """The indices that a prune of n values removes, by tensor."""
    total = sum(values.size for values in source.values())
    masks = wmgp.global_masks(source, n / total, method)
    return {name[0]: np.flatnonzero(~mask.numpy()).tolist() for name, mask in masks.items()}


def test_lamp_by_hand():
    """a: 9/9, 4/13, 1/14; b: 64/64, 36/100; by magnitude, all of a would be pruned first."""
    source = {"a.weight": np.array([3.0, -1.0, 2.0]), "b.weight": np.array([-6.0, 8.0])}
    order = [("a", 1), ("a", 2), ("b", 0)]  # 0.07, 0.31, 0.36; then the two ones, in the order of the tensors
    for n in range(6):
        expected = {"a": [], "b": []}
        for name, place in (*order, ("a", 0), ("b", 1))[:n]:
            expected[name].append(place)
        assert pruned_by("lamp", source, n) == {name: sorted(places) for name, places in expected.items()}


def test_lamp_of_equal_magnitudes():
    """Equal magnitudes score 1/n, ..., 1/2, 1: tensors of 4 and 2 values are pruned at 1/4, 1/3, then a tie at 1/2."""
    source = {"a.weight": np.full(4, 0.1), "b.weight": np.full(2, 700.0)}
    assert [{k: len(v) for k, v in pruned_by("lamp", source, n).items()} for n in (2, 3, 4)] == [
        {"a": 2, "b": 0}, {"a": 3, "b": 0}, {"a": 3, "b": 1},
    ]  # fmt: skip


def test_normalized_l1_by_hand():
    """a over its norm 5: 0.6, 0.8; b over 13: 0.385, 0.923. By magnitude, both values of a would be pruned first."""
    source = {"a.weight": np.array([3.0, 4.0]), "b.weight": np.array([5.0, 12.0])}
    assert pruned_by("l1_normalized", source, 1) == {"a": [], "b": [0]}
    assert pruned_by("l1_normalized", source, 2) == {"a": [0], "b": [0]}
    assert pruned_by("l1_normalized", source, 3) == {"a": [0, 1], "b": [0]}
    assert pruned_by("l1", source, 2) == {"a": [0, 1], "b": []}


@pytest.mark.parametrize("method", ["l1_normalized", "lamp"])
@pytest.mark.parametrize("scale", [1e-200, 1e-3, 2.0**500])
def test_normalized_scores_do_not_depend_on_a_tensors_scale(rng, method, scale):
    a, b = rng.standard_normal(50), rng.standard_normal(70)
    plain, scaled = ({"a.weight": a, "b.weight": b * factor} for factor in (1.0, scale))
    assert pruned_by(method, plain, 60) == pruned_by(method, scaled, 60)


def test_normalized_l1_can_prune_all_of_a_small_tensor():
    """Over its norm sqrt(3) each of a is 0.577; b over sqrt(1.81) 0.669 and 0.743: all of a is pruned first."""
    source = {"a.weight": np.full(3, 0.1), "b.weight": np.array([9.0, 10.0])}
    assert pruned_by("l1_normalized", source, 1) == {"a": [0], "b": []}
    assert pruned_by("l1_normalized", source, 3) == {"a": [0, 1, 2], "b": []}


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_tensor_has_an_empty_mask(method):
    masks = wmgp.global_masks({"e.weight": np.zeros((0, 3)), "w.weight": np.arange(1.0, 5.0)}, 0.5, method)
    assert masks["e.weight"].shape == (0, 3) and int(masks["w.weight"].sum()) == 2


@pytest.mark.parametrize("method", ["l1_normalized", "lamp"])
def test_a_tensor_of_zeros_is_pruned_first(method):
    source = {"a.weight": np.array([1.0, 2.0]), "b.weight": np.zeros(3), "c.weight": np.zeros(0)}
    assert pruned_by(method, source, 3) == {"a": [], "b": [0, 1, 2], "c": []}


@pytest.mark.parametrize(
    "make",
    [lambda: 7, lambda: np.random.default_rng(7), lambda: torch.Generator().manual_seed(7)],
    ids=["a seed", "numpy's generator", "torch's generator"],
)
def test_the_same_seed_gives_the_same_random_masks(make):
    net = small_net()
    one, two = (wmgp.global_masks(net, 0.5, "random", generator=make()) for _ in range(2))
    other = wmgp.global_masks(net, 0.5, "random", generator=8)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_random_is_uniform():
    """Each of the 6 weights is pruned in a third of the draws, each pair equally often, across tensors."""
    source = {"a.weight": np.ones(2), "b.weight": np.ones(4)}
    generator = np.random.default_rng(0)
    draws = []
    for _ in range(3000):
        masks = wmgp.global_masks(source, 2 / 6, "random", generator=generator)
        draws.append(~np.concatenate([mask.numpy() for mask in masks.values()]))
    pairs = np.array(draws, dtype=float).T @ np.array(draws, dtype=float) / 3000
    np.testing.assert_allclose(np.diag(pairs), 1 / 3, atol=0.05)
    np.testing.assert_allclose(pairs[~np.eye(6, dtype=bool)], 1 / 15, atol=0.03)


def test_prune_in_place_prunes_the_exact_amount():
    net = small_net()
    parent, a = copy.deepcopy(net), wmgp.analyze(net)
    masks = wmgp.prune(net, "optimal")
    assert n_pruned(masks) == a.optimal.n_pruned
    assert wmgp.cosine_similarity(parent, net) == pytest.approx(a.optimal.cosine, abs=1e-9)
    for name, p in net.named_parameters():
        assert torch.equal(p, torch.where(masks[name], dict(parent.named_parameters())[name], 0.0))
        assert not torch.signbit(p[~masks[name]]).any()  # zeros without a sign


def test_to_torch_prune_keeps_zeros_during_training():
    net, parent = small_net(), small_net()
    masks = wmgp.global_masks(net, 0.6)
    with pytest.warns(UserWarning, match=r"call torch\.nn\.utils\.prune\.remove for each before saving"):
        to_torch_prune(net, masks)
    # torch stores weight_orig and a mask; every function here analyses their product.
    assert {p for p, _ in net.named_buffers() if p.endswith("_mask")} == {f"{name}_mask" for name in masks}
    a = wmgp.analyze(net)
    assert set(a.tensors.name) == set(masks)
    assert a.at_amount(0.6).cosine == pytest.approx(1, abs=1e-12)
    assert wmgp.cosine_similarity(net, parent) == pytest.approx(wmgp.analyze(parent).at_amount(0.6).cosine, abs=1e-9)
    more = wmgp.global_masks(net, 0.8)
    wmgp.apply_masks(net, more)
    assert all(not net.get_parameter(f"{name}_orig")[~mask].any() for name, mask in more.items())


def test_invalid_masks_and_methods_are_errors_before_any_change():
    net = small_net()
    before = copy.deepcopy(net.state_dict())
    good = wmgp.global_masks(net, 0.5)
    for bad, match in [
        ({**good, "no.weight": torch.ones(3, dtype=torch.bool)}, r"^no\.weight: the model has no such parameter"),
        ({**good, "0.weight": torch.ones(3, dtype=torch.bool)}, r"^0\.weight: expected a mask of shape \(8, 3, 3, 3\)"),
    ]:
        with pytest.raises(wmgp.InputError, match=match):
            wmgp.apply_masks(net, bad)
    with pytest.raises(wmgp.InputError, match="method 'l7': expected one of l1"):
        wmgp.global_masks(net, 0.5, "l7")
    with pytest.raises(wmgp.InputError, match="amount 'most': expected optimal, safe, careful"):
        wmgp.prune(net, "most")
    with pytest.raises(wmgp.InputError, match="no prunable tensor"):
        wmgp.global_masks(net, 0.5, pool=lambda name, tensor: False)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.filterwarnings("ignore:the state dict now holds")
def test_to_torch_prune_rejects_parameters_that_hooks_cannot_mask():
    tied = nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 20, bias=False))
    tied[1].weight = tied[0].weight
    attention = nn.TransformerEncoderLayer(8, 2, 16)
    for net, message in (
        (tied, r"^0\.weight: is both 0\.weight and 1\.weight, .*apply_masks"),
        (
            attention,
            r"^self_attn\.out_proj\.weight: torch's hooks do not work in nn\.MultiheadAttention; .*apply_masks",
        ),
    ):
        before, masks = set(net.state_dict()), wmgp.global_masks(net, 0.5)
        with pytest.raises(wmgp.InputError, match=message):
            to_torch_prune(net, masks)
        assert set(net.state_dict()) == before
    rest = {name: mask for name, mask in wmgp.global_masks(attention, 0.5).items() if "self_attn" not in name}
    to_torch_prune(attention, rest)
    optimiser = torch.optim.SGD(attention.parameters(), 0.1, momentum=0.9)
    for _ in range(3):
        optimiser.zero_grad()
        attention(torch.randn(4, 2, 8)).square().sum().backward()
        optimiser.step()
    attention(torch.randn(4, 2, 8))
    for name, mask in rest.items():
        assert not getattr(attention.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2])[~mask].any(), name


@pytest.mark.filterwarnings("ignore:the state dict now holds")
def test_to_torch_prune_of_a_module_with_two_names():
    """Torch calls the hook under either name."""
    linear = nn.Linear(4, 4)
    net = nn.Sequential(linear, linear)
    to_torch_prune(net, wmgp.global_masks(net, 0.5))
    assert (linear.weight == 0).sum() + (linear.bias == 0).sum() == 10


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, None])
def test_masks_of_other_dtypes_are_errors_before_any_change(dtype):
    net = small_net()
    before, masks = copy.deepcopy(net.state_dict()), wmgp.global_masks(net, 0.5)
    wrong: Any = masks["4.bias"].numpy() if dtype is None else masks["4.bias"].to(dtype)
    with pytest.raises(wmgp.InputError, match=r"^4\.bias: expected a mask of dtype bool, found"):
        wmgp.apply_masks(net, {**masks, "4.bias": wrong})
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("model", [small_net().state_dict(), "model.safetensors"])
@pytest.mark.parametrize("prune", [lambda m: wmgp.prune(m, 0.5), lambda m: wmgp.apply_masks(m, {})])
def test_only_modules_are_pruned_in_place(model, prune):
    with pytest.raises(wmgp.InputError, match=r"^model (OrderedDict|model\.safetensors): expected a torch\.nn\.Module"):
        prune(model)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"generator": -1}, "^generator -1: expected a torch or numpy Generator, or a seed"),
        ({"generator": "x"}, "^generator 'x': expected a torch or numpy Generator, or a seed"),
        ({"amount": "sine=0.5"}, "^amount 'sine=0.5': expected optimal, safe, careful, a share"),
        ({"amount": "cosine=0.9"}, "^amount 'cosine=0.9': .* method l1 only"),
        ({"amount": "careful"}, "^amount 'careful': .* method l1 only"),
    ],
)
def test_invalid_amounts_are_one_line_errors(wrong, message):
    with pytest.raises(wmgp.InputError, match=message):
        wmgp.prune(small_net(), **({"amount": 0.5, "method": "random"} | wrong))


@pytest.mark.parametrize("outlier", [0, 100])
def test_careful_is_the_smaller_of_safe_and_cosine_099(rng, outlier):
    """An outlier weight with most of the energy lets cosine 0.99 prune much, and makes the safe amount small."""
    state = {f"{i}.weight": rng.standard_normal(400) for i in range(30)}
    state["0.weight"][0] += outlier
    a = wmgp.analyze(state)
    assert a.safe is not None and (a.safe.amount < a.at_cosine(0.99).amount) == bool(outlier)
    assert a.careful == (a.safe if outlier else a.at_cosine(0.99))


@pytest.mark.slow
def test_amounts_that_are_not_numbers_are_one_line_errors():
    """In a separate process, because the tests' type checks would reject the argument first."""
    code = "import torch, wmgp\ntry: wmgp.prune(torch.nn.Linear(3, 3), None)\nexcept wmgp.InputError as e: print(e)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("amount None: expected a share in [0, 1]\n", "")


def test_prune_by_cosine_and_careful():
    for words in ("cosine=0.99", "careful"):
        net = nn.Linear(40, 40)  # two tensors: no amount is safe, and careful is cosine 0.99
        a, masks = wmgp.analyze(net), wmgp.prune(net, words)
        assert n_pruned(masks) == a.at_cosine(0.99).n_pruned == a.careful.n_pruned


def test_undefined_safe_amount_is_an_error():
    with pytest.raises(wmgp.InputError, match="no safe amount"):
        wmgp.prune(nn.Linear(4, 4), "safe")


def test_masks_of_half_precision():
    net = small_net().to(torch.bfloat16)
    masks = wmgp.prune(net, 0.5)
    assert sum(int((p == 0).sum()) for p in net.parameters()) >= n_pruned(masks)
    assert net[0].weight.dtype == torch.bfloat16


def test_random_pruning_of_too_many_values_is_an_error(monkeypatch):
    monkeypatch.setattr("wmgp.pruning_methods.RANDOM_LIMIT", 10)
    with pytest.raises(wmgp.InputError, match="method random: expected fewer than 10 prunable values, found 12"):
        wmgp.global_masks({"weight": np.ones((3, 4), dtype=np.float32)}, 0.5, "random")
