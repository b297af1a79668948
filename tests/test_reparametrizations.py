"""Weight norm, spectral norm and other parametrizations: the effective weight is analysed and pruned, or refused."""

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrizations, parametrize, remove_spectral_norm, remove_weight_norm, spectral_norm
from torch.nn.utils import prune as torch_prune
from torch.nn.utils.weight_norm import WeightNorm

import wmgp
from wmgp import reparametrizations
from wmgp.cli import main
from wmgp.io.checkpoints import open_checkpoint
from wmgp.pruning import to_torch_prune
from wmgp.reparametrizations import kept_axis

# Each row: a module, the parameter's name, and the axis that its g keeps.
LAYERS: dict[str, tuple[Any, str, int | None]] = {
    "linear": (lambda: nn.Linear(30, 20), "weight", 0),
    "linear, one norm": (lambda: nn.Linear(30, 20), "weight", None),
    "linear, columns": (lambda: nn.Linear(30, 20), "weight", 1),
    "square": (lambda: nn.Linear(25, 25), "weight", 1),
    "convolution": (lambda: nn.Conv2d(6, 8, 3), "weight", 0),
    "one channel": (lambda: nn.Conv1d(32, 1, 7), "weight", 0),
    "kernel positions": (lambda: nn.Conv1d(8, 8, 5, groups=2), "weight", 2),
    "transposed": (lambda: nn.ConvTranspose1d(6, 8, 3), "weight", 1),
    "lstm": (lambda: nn.LSTM(6, 7), "weight_hh_l0", 0),
    "gru, one norm": (lambda: nn.GRU(6, 7), "weight_ih_l0", None),
    "embedding": (lambda: nn.Embedding(12, 9), "weight", 0),
}
STYLES = ("old", "new")
DTYPES = (torch.float32, torch.bfloat16, torch.float64, torch.float16)


def add_weight_norm(style: str, module: nn.Module, name: str = "weight", dim: int | None = 0) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's advice to use the new one
        add = nn.utils.weight_norm if style == "old" else parametrizations.weight_norm
        return add(module, name, dim)  # pyright: ignore[reportArgumentType]


def normed(style: str, layer: str, dtype: torch.dtype = torch.float32) -> Any:
    """A nested network with a weight norm whose g are not the norms, as after training."""
    torch.manual_seed(len(layer))
    make, name, dim = LAYERS[layer]
    net = nn.ModuleDict({"body": nn.Sequential(add_weight_norm(style, make(), name, dim), nn.Linear(7, 5))})
    with torch.no_grad():
        for part, p in net.named_parameters():
            if part.endswith(("_g", "original0")):
                p.copy_(torch.rand_like(p) * 3 + 0.1)
    return net.to(dtype)


def plain(net: Any) -> dict[str, torch.Tensor]:
    """The tensors that torch leaves when it removes the weight norms, from the network itself."""
    for module in list(net.modules()):
        for hook in [*module._forward_pre_hooks.values()]:
            if isinstance(hook, WeightNorm):
                remove_weight_norm(module, hook.name)
        for name in list(getattr(module, "parametrizations", {})):
            parametrize.remove_parametrizations(module, name)
    return net.state_dict()


def weights_of(tensors) -> dict[str, torch.Tensor]:
    return {p.name: p.tensor() for p in wmgp.parameters.collect(tensors, "all")}


def files(tmp_path, net):
    save_file({name: p.contiguous() for name, p in net.state_dict().items()}, tmp_path / "a.safetensors")
    torch.save(net.state_dict(), tmp_path / "a.pt")
    return [tmp_path / "a.safetensors", tmp_path / "a.pt"]


def close(actual, expected, dtype: torch.dtype, steps: float = 2) -> None:
    """Equal but for the rounding of the norms, in steps of the dtype."""
    assert actual.dtype == expected.dtype == dtype
    torch.testing.assert_close(actual, expected, rtol=steps * torch.finfo(dtype).eps, atol=0)


# -- analysis -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("style", STYLES)
def test_files_modules_and_arrays_give_the_weights_that_torch_computes(tmp_path, style, layer):
    sources = [*files(tmp_path, normed(style, layer)), normed(style, layer), normed(style, layer).state_dict()]
    sources.append({name: p.numpy() for name, p in normed(style, layer).state_dict().items()})
    expected = plain(normed(style, layer))
    for source in sources:
        found = weights_of(source)
        assert found.keys() == expected.keys()
        for name, weight in found.items():
            close(weight, expected[name], torch.float32)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layer", ["linear", "linear, one norm", "transposed", "lstm"])
@pytest.mark.parametrize("style", STYLES)
def test_every_dtype_is_rounded_as_by_torch(tmp_path, style, layer, dtype):
    expected = plain(normed(style, layer, dtype))
    for source in [*files(tmp_path, normed(style, layer, dtype)), normed(style, layer, dtype)]:
        for name, weight in weights_of(source).items():
            close(weight, expected[name], dtype)


@pytest.mark.parametrize("layer", ["linear", "linear, one norm", "linear, columns", "kernel positions"])
def test_blocks_of_any_size_give_the_same_values(monkeypatch, layer):
    whole = weights_of(normed("new", layer).state_dict())
    monkeypatch.setattr(reparametrizations, "CHUNK", 7)
    [p] = [p for p in wmgp.parameters.collect(normed("new", layer).state_dict(), "all") if p.name == "body.0.weight"]
    values = np.concatenate([p.block(start, min(start + 11, p.n)) for start in range(0, p.n, 11)])
    np.testing.assert_allclose(values, whole[p.name].flatten(), rtol=1e-6)


@pytest.mark.parametrize("style", STYLES)
def test_the_analysis_is_that_of_the_network_without_weight_norm(tmp_path, style):
    torch.manual_seed(0)
    widths = [80, 128, 64, 32, 1]
    net = nn.Sequential(*(add_weight_norm(style, nn.Conv1d(a, b, 7)) for a, b in zip(widths, widths[1:], strict=False)))
    sources = [net, *files(tmp_path, net)]
    for pool in ("weight_bias", "weights", "all"):
        found = [wmgp.analyze(source, pool=pool) for source in sources]
        expected = wmgp.analyze(plain(net), pool=pool)
        for analysis in found:
            assert (analysis.n_parameters, analysis.n_prunable) == (expected.n_parameters, expected.n_prunable)
            assert analysis.optimal.amount == expected.optimal.amount
            assert analysis.front.cosine == pytest.approx(expected.front.cosine, abs=1e-6)
            assert analysis.kurtosis_of_kurtoses == pytest.approx(expected.kurtosis_of_kurtoses, rel=1e-5)


@pytest.mark.parametrize(
    ("g", "v", "axis"),
    [
        ((20, 1), (20, 30), (20, 30)),
        ((1, 30), (20, 30), (30, 1)),
        ((1, 1, 128), (768, 48, 128), (128, 1)),
        ((1, 8, 1), (6, 8, 3), (8, 3)),
        ((), (20, 30), (1, 600)),
        ((1, 1, 1), (1, 32, 7), (1, 224)),
        ((20,), (20, 30), None),
        ((20, 30), (20, 30), None),
        ((30, 1), (20, 30), None),
    ],
)
def test_the_axis_follows_from_the_shapes(g, v, axis):
    assert kept_axis(g, v) == axis


def test_other_tensors_named_g_and_v_stay():
    shapes = {
        "a.proj_g": (5, 4),
        "a.proj_v": (5, 4),
        "a.key_v": (3, 3),
        "b.scale_g": (6,),
        "b.scale_v": (6,),
        "b.weight": (9,),
    }
    tensors = {name: torch.randn(shape, generator=torch.Generator().manual_seed(0)) for name, shape in shapes.items()}
    assert weights_of(tensors).keys() == tensors.keys()


def test_tied_weight_norms_count_once(rng):
    g, v = (torch.from_numpy(rng.normal(size=shape)) for shape in ((5, 1), (5, 6)))
    assert wmgp.analyze({"a.weight_g": g, "a.weight_v": v, "b.weight_g": g, "b.weight_v": v}).n_parameters == 30
    assert wmgp.analyze({"a.weight_g": g, "a.weight_v": v, "b.weight_g": g + 1, "b.weight_v": v}).n_parameters == 60


def test_a_row_of_zeros_in_v_is_named_as_torch_computes_nan():
    tensors = {"a.weight_g": torch.ones(3, 1), "a.weight_v": torch.eye(3, 4) * torch.tensor([[1.0], [1.0], [0.0]])}
    with pytest.raises(wmgp.InputError, match=r"^a\.weight: expected finite values, found NaN or infinity$"):
        wmgp.analyze(tensors)


# -- pruning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["l1", "random"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("style", STYLES)
def test_a_pruned_file_computes_the_masked_weights(tmp_path, capsys, style, layer, dtype, method):
    for source in files(tmp_path, normed(style, layer, dtype)):
        before = plain(normed(style, layer, dtype))
        masks = wmgp.global_masks(source, 0.7, method, generator=3, pool="all")
        out = source.with_stem("out")
        options = ["--amount", "0.7", "--method", method, "--seed", "3", "--pool", "all"]
        with pytest.raises(SystemExit, match="^0$"):
            main(["prune", str(source), str(out), *options])
        assert f"wrote {out}" in capsys.readouterr().out
        state = load_file(out) if out.suffix == ".safetensors" else torch.load(out)
        net = normed(style, layer, dtype)
        net.load_state_dict(state)
        after = plain(net)
        for name, mask in masks.items():
            close(after[name], before[name] * mask, dtype, steps=4)
        for name, weight in weights_of(out).items():
            assert torch.equal(weight == 0, after[name] == 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("amount", [0.3, 0.95, 1.0])
def test_a_pruned_module_computes_the_masked_weights(style, layer, dtype, amount):
    net, before = normed(style, layer, dtype), plain(normed(style, layer, dtype))
    masks = wmgp.prune(net, amount)
    prefix, name = "body.0.", LAYERS[layer][1]
    weight = getattr(net["body"][0], name)  # what the network computes with
    if prefix + name in masks:
        close(weight, before[prefix + name] * masks[prefix + name], dtype, steps=4)
    found = weights_of(net)
    for each, mask in masks.items():
        close(found[each], before[each] * mask, dtype, steps=4)
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(amount * wmgp.analyze(before).n_prunable)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("layer", ["linear", "linear, one norm", "transposed"])
def test_a_row_that_vanishes_keeps_its_direction_and_trains(style, layer):
    net = normed(style, layer)
    _, name, dim = LAYERS[layer]
    weight = getattr(net["body"][0], name)
    mask = torch.rand(weight.shape) < 0.5
    gone = (slice(None),) * (dim or 0) + ((2,) if dim is not None else ())
    mask[gone] = False
    g, v = (p for part, p in net.named_parameters() if part.endswith(("_g", "_v", "original0", "original1")))
    direction = v.detach().clone()
    wmgp.apply_masks(net, {f"body.0.{name}": mask})
    assert not g.detach().expand_as(v)[gone].any()
    assert torch.equal(v[gone], direction[gone])
    inputs = torch.randn(2, *({"linear": (30,), "linear, one norm": (30,), "transposed": (6, 4)}[layer]))
    for _ in range(3):  # fine-tuning with the masks applied after each step
        outputs = net["body"][0](inputs)
        assert outputs.isfinite().all()
        net.zero_grad()
        outputs.square().sum().backward()
        with torch.no_grad():
            for p in net["body"][0].parameters():
                assert p.grad is not None and p.grad.isfinite().all()
                p -= 0.01 * p.grad
        wmgp.apply_masks(net, {f"body.0.{name}": mask})
        assert not getattr(net["body"][0], name)[~mask].any()


@settings(max_examples=60)
@given(st.data())
def test_any_mask_is_written_exactly(data):
    """Also masks that keep only zeros of a row."""
    shape = data.draw(st.sampled_from([(3, 4), (2, 3, 2), (1, 5), (6, 1)]))
    axis = data.draw(st.sampled_from([*range(len(shape)), None]))
    numbers = st.sampled_from([0.0, 1.0, -2.0, 0.5, 1e-12, 3e5])
    n = int(np.prod(shape))
    v = torch.tensor(data.draw(st.lists(numbers, min_size=n, max_size=n)), dtype=torch.float64).reshape(shape)
    g_shape = () if axis is None else tuple(m if i == axis else 1 for i, m in enumerate(shape))
    g = torch.linspace(-1.5, 2, int(np.prod(g_shape)), dtype=torch.float64).reshape(g_shape)
    norms = v.norm() if axis is None else torch.norm_except_dim(v, 2, axis)
    if not (norms > 0).all():
        return
    mask = torch.tensor(data.draw(st.lists(st.booleans(), min_size=n, max_size=n))).reshape(shape)
    expected = v * (g / norms) * mask
    parameters = wmgp.parameters.collect({"a.weight_g": g, "a.weight_v": v}, "all")
    written = dict(reparametrizations.stored_masks(parameters, [("a.weight", mask.flatten().numpy())]))
    new_v, new_g = v * torch.from_numpy(written["a.weight_v"]).reshape(shape), torch.from_numpy(written["a.weight_g"])
    new_norms = new_v.norm() if axis is None else torch.norm_except_dim(new_v, 2, axis)
    torch.testing.assert_close(new_v * (new_g.reshape(g_shape) / new_norms), expected, rtol=1e-12, atol=1e-300)


def test_a_mask_of_a_part_is_refused_before_any_change():
    net = normed("new", "linear")
    before = copy.deepcopy(net.state_dict())
    name = "body.0.parametrizations.weight.original1"
    with pytest.raises(wmgp.InputError, match=rf"^{name}: is a part of body\.0\.weight; expected a mask of body\.0\.w"):
        wmgp.apply_masks(
            net, {"body.1.bias": torch.zeros(5, dtype=torch.bool), name: torch.ones(20, 30, dtype=torch.bool)}
        )
    assert all(torch.equal(p, before[name]) for name, p in net.state_dict().items())


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_torchs_hooks_are_refused_on_weight_norm(style):
    net = nn.Sequential(add_weight_norm(style, nn.Linear(8, 6)), nn.Linear(6, 4))
    masks = wmgp.global_masks(net, 0.5)
    before = set(net.state_dict())
    removal = r"remove_weight_norm\(module, 'weight'\)" if style == "old" else r"remove_parametrizations\(module, 'wei"
    with pytest.raises(wmgp.InputError, match=rf"^0\.weight: torch's hooks do not work .*apply_masks.*{removal}"):
        to_torch_prune(net, masks)
    assert set(net.state_dict()) == before
    with pytest.warns(UserWarning, match=r"call torch\.nn\.utils\.prune\.remove for each before saving"):
        to_torch_prune(net, {name: mask for name, mask in masks.items() if name.startswith("1.")})


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).transpose(-1, -2)


class LowRank(nn.Module):
    """An adapter with parameters of its own."""

    def __init__(self, shape):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(shape[0], 2)), nn.Parameter(torch.randn(2, shape[1]))

    def forward(self, x):
        return x + self.a @ self.b


def spectral(module: Any, style: str, steps: int = 3) -> Any:
    """The module with a spectral norm, after a few power iterations."""
    size = (
        (module.in_features,) if isinstance(module, nn.Linear) else (module.in_channels, *(9 for _ in module.padding))
    )
    module = spectral_norm(module) if style == "old" else parametrizations.spectral_norm(module)
    for _ in range(steps):
        module(torch.randn(2, *size))
    return module.eval()


OTHERS: dict[str, Any] = {
    "orthogonal, base": lambda: parametrizations.orthogonal(nn.Linear(9, 9)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(9, 6), use_trivialization=False),
    "cayley": lambda: parametrizations.orthogonal(nn.Linear(9, 9), orthogonal_map="cayley"),
    "symmetric": lambda: parametrize.register_parametrization(nn.Linear(9, 9), "weight", Symmetric()),
    "low rank": lambda: parametrize.register_parametrization(nn.Linear(9, 7), "weight", LowRank((7, 9))),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_parametrizations_are_computed_by_their_module_and_refused_in_files(tmp_path, kind):
    torch.manual_seed(0)
    net: Any = nn.Sequential(OTHERS[kind](), nn.Linear(6, 4))
    before, weight = copy.deepcopy(net.state_dict()), net[0].weight.detach().clone()
    assert torch.equal(weights_of(net)["0.weight"], weight)
    assert set(weights_of(net)) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    advice = r"use torch\.nn\.utils\.parametrize\.remove_parametrizations\(module, 'weight'\)"
    for source in [*files(tmp_path, net), net.state_dict()]:
        with pytest.raises(wmgp.InputError, match=rf"^0\.parametrizations\.weight: .*{advice} before saving$"):
            wmgp.analyze(source)
    with pytest.raises(wmgp.InputError, match=rf"^0\.weight: is computed by .* and cannot be masked; {advice} first$"):
        wmgp.prune(net, 0.5)
    with pytest.raises(wmgp.InputError, match=rf"^0\.weight: torch's hooks .*{advice} first$"):
        to_torch_prune(net, wmgp.global_masks(net, 0.5))
    assert all(torch.equal(p, before[name]) for name, p in net.state_dict().items())
    wmgp.prune(net, 0.5, pool=lambda name, _: name != "0.weight")
    assert torch.equal(net[0].weight, weight)


SPECTRAL: dict[str, Any] = {
    "linear": lambda: nn.Linear(12, 7),
    "convolution": lambda: nn.Conv2d(5, 6, 3),
    "transposed": lambda: nn.ConvTranspose2d(5, 6, 3),
    "transposed, square": lambda: nn.ConvTranspose1d(6, 6, 3),
    "square": lambda: nn.Linear(8, 8),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("layer", SPECTRAL)
@pytest.mark.parametrize("style", STYLES)
def test_spectral_norm_is_divided_by_the_stored_sigma(tmp_path, style, layer, dtype):
    torch.manual_seed(0)
    net: Any = nn.Sequential(spectral(SPECTRAL[layer](), style), nn.Linear(3, 3)).to(dtype).train()
    before = copy.deepcopy(net.state_dict())
    found = [weights_of(source) for source in [net, *files(tmp_path, net), net.state_dict()]]
    assert all(torch.equal(p, before[name]) for name, p in net.state_dict().items())  # no power iteration
    net.eval()
    if style == "old":
        remove_spectral_norm(net[0])
    for weights in found:
        assert set(weights) == {"0.weight", "0.bias", "1.weight", "1.bias"}
        close(weights["0.weight"], net[0].weight.detach(), dtype, steps=8)


@pytest.mark.parametrize("style", STYLES)
def test_pruning_under_spectral_norm_is_refused(tmp_path, capsys, style):
    net = nn.Sequential(spectral(nn.Linear(12, 7), style), nn.Linear(7, 3))
    removal = "remove_spectral_norm" if style == "old" else "remove_parametrizations"
    masks = wmgp.global_masks(net, 0.5)
    for use in (wmgp.apply_masks, to_torch_prune):
        with pytest.raises(wmgp.InputError, match=rf"^0\.weight: .*SpectralNorm.*{removal}"):
            use(net, masks)
    for source in files(tmp_path, net):
        out = source.with_stem("out")
        with pytest.raises(SystemExit, match="^2$"):
            main(["prune", str(source), str(out), "--amount", "0.5"])
        assert (
            "0.weight: a spectral norm rescales the pruned weight; use torch.nn.utils.remove" in capsys.readouterr().err
        )
        assert not out.exists()


def test_incomplete_or_masked_parts_are_refused_by_name():
    net = add_weight_norm("old", nn.Linear(4, 3))
    state = net.state_dict()
    old_spectral = {"a.weight_orig": torch.ones(3, 4), "a.weight_u": torch.ones(3)}
    torch_prune.l1_unstructured(net, "weight_v", 0.5)
    masked = dict(net.state_dict())
    for tensors, message in [
        (old_spectral, r"^a\.weight_orig: expected a spectral norm with the vectors a\.weight_u and a\.weight_v"),
        ({**state, "weight_g": torch.ones(3)}, r"^weight_g: expected the norms of weight_v, .* along one axis; found"),
        (masked, r"^weight_v: torch\.nn\.utils\.prune masks a part of weight"),
        ({"parametrizations.w.original0": torch.ones(3, 2), "parametrizations.w.original1": torch.ones(2, 4)}, r"^par"),
    ]:
        with pytest.raises(wmgp.InputError, match=message):
            wmgp.analyze(tensors)
    with pytest.raises(wmgp.InputError, match=r"^weight: is computed by WeightNorm and cannot be masked"):
        wmgp.prune(net, 0.5)


def test_a_weight_that_torchs_prune_masks_is_no_spectral_norm():
    net = nn.Linear(12, 7)
    torch_prune.l1_unstructured(net, "weight", 0.5)
    assert (weights_of(net.state_dict())["weight"] == 0).sum() == 42


def test_requires_grad_is_that_of_the_parts():
    net = nn.Sequential(add_weight_norm("new", nn.Linear(8, 6)), add_weight_norm("old", nn.Linear(6, 4)))
    net[1].requires_grad_(False)
    assert wmgp.analyze(net, pool=lambda name, p: p.requires_grad).n_prunable == 54


def test_files_keep_everything_but_g_and_v(tmp_path):
    net = normed("old", "linear")
    [source, _] = files(tmp_path, net)
    main_args = ["prune", str(source), str(tmp_path / "out.safetensors"), "--amount", "0.6", "--pool", "weights"]
    with pytest.raises(SystemExit, match="^0$"):
        main(main_args)
    before, after = (open_checkpoint(path).tensors for path in (source, tmp_path / "out.safetensors"))
    assert list(before) == list(after)
    for name in before:
        assert (before[name].dtype, before[name].shape) == (after[name].dtype, after[name].shape)
        assert torch.equal(before[name].tensor(), after[name].tensor()) == name.endswith("bias")
