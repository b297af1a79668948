"""Situations in which a wrong answer or a raw error would be easy: each has an answer, or one line that says why not.

| situation | expected | test |
|---|---|---|
| NaN or infinity outside the pool | left out, with a warning | `test_infinity_outside_the_pool...` |
| NaN or infinity in the pool | refused, the tensor is named | `test_infinity_in_the_pool...` |
| DTensor, FakeTensor | refused, the class is named | `test_tensor_subclasses...` |
| parameters made under `torch.inference_mode` | pruned in place | `test_inference_tensors...` |
| a pool function that reads `requires_grad` | receives the module's own parameter | `test_a_pool_function...` |
| `wmgp prune` empties a tensor, or the source is pruned already | a warning | `test_prune_prints...` |
| random pruning of a pruned network | a warning with the share of zeros afterwards | `test_random_pruning_in_turn...` |

In `test_reparametrizations.py`:

| situation | expected | test |
|---|---|---|
| weight norm, old or new, in files and modules | the effective weight is analysed | `test_files_modules_and...` |
| a prune under weight norm, also of whole rows | the masked effective weight, never NaN | `test_a_pruned_...` |
| spectral norm, old or new | the effective weight is analysed | `test_spectral_norm...` |
| a prune under spectral norm | refused | `test_pruning_under...` |
| orthogonal and other parametrizations | a module computes them, a file is refused | `test_other_param...` |
| `to_torch_prune` on any of these | refused | `test_torchs_hooks...` |
"""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import wmgp
from wmgp.cli import main

SIZES = [40, 400]  # the pool is sorted, or counted by a histogram


def network(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


def with_offsets(width: int, value: float, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    offsets = torch.randn(64, 64).to(dtype)
    offsets[3, 5] = value
    return {"decoder.offsets": offsets, **{name: p.to(dtype) for name, p in network(width).state_dict().items()}}


@pytest.mark.parametrize("value", [-torch.inf, torch.nan])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("width", SIZES)
def test_infinity_outside_the_pool_is_left_out_and_named(width, value, dtype):
    tensors = with_offsets(width, value, dtype)
    analysis = wmgp.analyze(tensors)
    del tensors["decoder.offsets"]
    expected = wmgp.analyze(tensors)
    assert analysis.warnings[0] == "left out for NaN or infinity outside the pool: decoder.offsets"
    assert analysis.to_dict() == expected.to_dict() | {"warnings": analysis.warnings}
    assert analysis.warnings[1:] == expected.warnings


@pytest.mark.parametrize("width", SIZES)
def test_infinity_in_the_pool_is_refused_and_named(width):
    with pytest.raises(wmgp.InputError, match=r"^decoder\.offsets: expected finite values, found NaN or infinity$"):
        wmgp.analyze(with_offsets(width, -torch.inf), pool="all")


@pytest.mark.parametrize("method", ["l1", "random", "lamp"])
def test_a_file_with_infinity_outside_the_pool_is_pruned_and_keeps_it(tmp_path, capsys, method):
    tensors = with_offsets(40, -torch.inf)
    save_file(tensors, tmp_path / "a.safetensors")
    out = tmp_path / "b.safetensors"
    with pytest.raises(SystemExit, match="^0$"):
        main(["prune", str(tmp_path / "a.safetensors"), str(out), "--amount", "0.5", "--method", method])
    printed = capsys.readouterr().out
    assert "warning: left out for NaN or infinity outside the pool: decoder.offsets\n" in printed
    pruned = wmgp.io.checkpoints.open_checkpoint(out).tensors
    assert torch.equal(pruned["decoder.offsets"].tensor(), tensors["decoder.offsets"])
    pool = [name for name in tensors if name != "decoder.offsets"]
    before = {name: tensors[name] for name in pool}
    after = {name: pruned[name].tensor() for name in pool}
    assert f"cosine {wmgp.cosine_similarity(before, after):.4f}" in printed


# -- torch's own errors ---------------------------------------------------------------------------------------------


def test_tensor_subclasses_without_plain_values_are_refused_by_name():
    fake = pytest.importorskip("torch._subclasses.fake_tensor")
    with fake.FakeTensorMode():
        model = nn.Linear(4, 3)
    for use in (wmgp.analyze, lambda m: wmgp.global_masks(m, 0.5), lambda m: wmgp.prune(m, 0.5)):
        with pytest.raises(wmgp.InputError, match="^weight: expected a plain tensor, found FakeTensor$"):
            use(model)


def test_distributed_tensors_are_refused_with_the_remedy():
    class DTensor(torch.Tensor):  # a class that overrides torch's operations, as torch.distributed.tensor's does
        @classmethod
        def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
            raise NotImplementedError

        def full_tensor(self):
            raise NotImplementedError

    values = torch.Tensor._make_wrapper_subclass(DTensor, (4, 3))  # pyright: ignore[reportAttributeAccessIssue]
    message = r"^a\.weight: expected a plain tensor, found DTensor; gather it with its full_tensor\(\)$"
    with pytest.raises(wmgp.InputError, match=message):
        wmgp.analyze({"a.weight": values})


def test_other_subclasses_of_tensors_are_analyzed():
    class Named(torch.Tensor):
        pass

    values = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    named = {"a.weight": values.as_subclass(Named)}
    assert wmgp.analyze(named).optimal == wmgp.analyze({"a.weight": values}).optimal


def test_inference_tensors_are_pruned_in_place():
    with torch.inference_mode():
        model = network(40)
    masks = wmgp.prune(model, 0.5)
    assert all(p.is_inference() for p in model.parameters())
    assert all(bool((p[~masks[name]] == 0).all()) for name, p in model.named_parameters())
    assert sum(int((p == 0).sum()) for p in model.parameters()) == round(0.5 * wmgp.analyze(model).n_prunable)


@pytest.mark.parametrize("inference", [False, True], ids=["normal", "inference mode"])
@pytest.mark.parametrize("pruned", [False, True], ids=["plain", "pruned by torch"])
def test_a_pool_function_receives_requires_grad(pruned, inference):
    with torch.inference_mode(inference):
        model = network(40)
        model[0].requires_grad_(False)
        if pruned:
            nn.utils.prune.l1_unstructured(model[2], "weight", 0.5)
    assert wmgp.analyze(model, pool=lambda name, p: p.requires_grad).n_prunable == 410
    assert wmgp.analyze(model, pool=lambda name, p: not p.requires_grad).n_prunable == 1640


# -- the command prune ----------------------------------------------------------------------------------------------


def prune(source, out, *options: str) -> None:
    with pytest.raises(SystemExit, match="^0$"):
        main(["prune", str(source), str(out), *options])


def test_prune_prints_a_warning_for_a_tensor_that_loses_everything(tmp_path, capsys, rng):
    arrays = {name: rng.normal(size=(50, 50)).astype(np.float32) for name in "abc"}
    arrays["b"] *= 1e-3
    save_file({f"{name}.weight": torch.from_numpy(a) for name, a in arrays.items()}, tmp_path / "x.safetensors")
    prune(tmp_path / "x.safetensors", tmp_path / "y.safetensors", "--amount", "0.5")
    assert "warning: this amount prunes all of b.weight\n" in capsys.readouterr().out
    prune(tmp_path / "x.safetensors", tmp_path / "z.safetensors", "--amount", "0.2")
    assert "warning: this" not in capsys.readouterr().out  # the optimal amount would, but it was not used


def test_prune_prints_a_warning_for_zeros_of_an_earlier_prune(tmp_path, capsys):
    save_file(network(40).state_dict(), tmp_path / "x.safetensors")
    options = ("--method", "random", "--amount")
    prune(tmp_path / "x.safetensors", tmp_path / "y.safetensors", *options, "0.5")
    assert "zero already" not in capsys.readouterr().out
    prune(tmp_path / "y.safetensors", tmp_path / "z.safetensors", *options, "0.6")
    printed = capsys.readouterr().out
    assert (
        "warning: 1,025 of the pool's 2,050 values (50%) are zero already, and random pruning draws from all of them: "
        "after this prune about 80% are zero, not 60%\n"
    ) in printed
    assert "counts these first" not in printed  # so do the other methods
    prune(tmp_path / "y.safetensors", tmp_path / "w.safetensors", "--amount", "0.6")
    printed = capsys.readouterr().out
    assert "counts these first" in printed and "random" not in printed


@pytest.mark.parametrize("pool", ["weight_bias", "weights"])
def test_random_pruning_in_turn_says_how_many_zeros_there_are(pool):
    """A share of 1 - 0.5 * 0.4 * 0.3 = 0.94 after amounts of 0.5, 0.6 and 0.7."""
    model, zeros = network(100), []
    for amount, warning in ((0.5, None), (0.6, "about 80% are zero, not 60%"), (0.7, "about 94% are zero, not 70%")):
        with pytest.warns(UserWarning, match=warning) if warning else nullcontext():
            wmgp.prune(model, amount, "random", pool=pool, generator=int(10 * amount))
        weights = [p for p in model.parameters() if p.dim() > 1 or pool != "weights"]
        zeros.append(float(torch.cat([p.flatten() for p in weights]).eq(0).float().mean()))
    assert zeros == pytest.approx([0.5, 0.8, 0.94], abs=0.01)
    wmgp.prune(model, 0.97)  # no warning: the zeros are pruned first
