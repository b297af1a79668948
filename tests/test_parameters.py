"""Parameters of a source: masks and buffers, tied tensors, quantized weights, byte order, and invalid sources."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import wmgp
from wmgp.parameters import Parameter, collect


def names(source, **how):
    return {p.name: p.n for p in collect(source, **how)}


def test_only_masks_of_torch_prune_belong_to_weights():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    model.register_buffer("causal_mask", torch.full((5, 5), -torch.inf))
    prune.l1_unstructured(model[1], "weight", 0.5)
    assert names(model) == {"0.weight": 12, "0.bias": 3, "1.bias": 2, "1.weight": 6}
    assert set(wmgp.prune(model[:1], 0.5, pool="weights")) == {"0.weight"}
    assert np.count_nonzero(next(p for p in collect(model) if p.name == "1.weight").tensor()) == 3


def test_a_mask_of_another_shape_is_an_error():
    state = {"w_orig": torch.randn(10, 10), "w_mask": torch.ones(10)}
    with pytest.raises(wmgp.InputError, match=r"^w_mask: expected the shape \(10, 10\) of its weight, found \(10,\)$"):
        wmgp.analyze(state, pool="all")


def test_tied_tensors_count_once_and_slices_count_separately():
    base = torch.randn(4, 8)
    tied = {"a": base, "b": base.T, "c": base.view(-1), "d": base.view(2, 2, 8)}
    apart = {"a": base[:2], "b": base[:, :4], "c": base[::2]}
    assert names(tied) == names({name: x.numpy() for name, x in tied.items()}) == {"a": 32}
    assert names(apart) == names({name: x.numpy() for name, x in apart.items()}) == {"a": 16, "b": 16, "c": 16}


@pytest.mark.parametrize("n", [100, 90_000])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_byte_order_does_not_matter(dtype, n, rng):
    x = rng.standard_normal((n, 2)).astype(f"<{dtype}")
    reports = [wmgp.analyze({"a.weight": x.astype(f"{order}{dtype}")}, pool=lambda *_: True) for order in "<>"]
    assert reports[0].to_json() == reports[1].to_json()


@pytest.mark.parametrize(
    "source", [{"a.weight": torch.ones(9, 9, dtype=torch.int8)}, {"a.weight": np.ones((9, 9), np.uint8)}, nn.Module()]
)
def test_quantized_weights_in_memory_are_errors(source):
    if isinstance(source, nn.Module):
        source.weight = nn.Parameter(torch.ones(9, 9, dtype=torch.int8), requires_grad=False)
        source.bias = nn.Parameter(torch.ones(9))
    else:
        source = {**source, "b.weight": np.ones(5)}
    with pytest.raises(wmgp.InputError, match="weight' holds weights quantised or packed in u?int8; analyse the model"):
        wmgp.analyze(source)


@pytest.mark.parametrize("normalised", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm])
def test_spectral_norm_vectors_are_buffers(normalised):
    model = nn.Sequential(normalised(nn.Linear(6, 5)), nn.Linear(5, 2))
    assert names(model) == names(model.state_dict()) and sum(names(model).values()) == 35 + 12


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_a_nested_tensor_is_an_error_with_its_name():
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    with pytest.raises(wmgp.InputError, match="^w: expected a tensor of a single shape, found a nested one$"):
        wmgp.analyze({"w": nested})


def test_numpy_scalars_count_and_extra_states_do_not():
    assert names({"w": np.ones(3), "scale": np.float32(4.6), "w._extra_state": None}) == {"w": 3, "scale": 1}


@pytest.mark.parametrize(
    ("source", "how", "message"),
    [
        (nn.Linear, {}, "source Linear: expected a module, a mapping of names to tensors, or a checkpoint's path"),
        ({"state_dict": {}, "epoch": 3}, {}, "state_dict: expected a tensor, found dict; pass that itself if"),
        ({"w": np.ones(3)}, {"key": "model"}, "key 'model': expected a torch file as the source, found dict"),
    ],
)
def test_invalid_sources_and_keys_are_one_line_errors(source, how, message):
    with pytest.raises(wmgp.InputError, match=f"^{message}"):
        wmgp.analyze(source, **how)


MISTYPED = """
import numpy as np, wmgp
weights = {"w.weight": np.ones(4)}
for how in ({"pool": None}, {"pool": ["weight"]}, {"amounts": ["a"]}, {"amounts": "ab"}, {"amounts": None}):
    try:
        wmgp.analyze(weights, **how)
    except wmgp.InputError as error:
        print(error)
"""


def test_arguments_of_other_types_are_one_line_errors():
    """In a separate process, because the tests' type checks would reject the arguments first."""
    output = subprocess.run([sys.executable, "-c", MISTYPED], capture_output=True, text=True, check=True).stdout
    assert output.splitlines() == [
        "pool None: expected one of weight_bias, weights, all, or a function of (name, tensor)",
        "pool ['weight']: expected one of weight_bias, weights, all, or a function of (name, tensor)",
        "amounts ['a']: expected a number of grid points, or amounts in [0, 1]",
        "amounts 'ab': expected a number of grid points, or amounts in [0, 1]",
        "amount nan: expected a share in [0, 1]",
    ]


def test_cuda_blocks_are_contiguous(monkeypatch):
    """CUDA kernels read a tensor from its pointer on, so its block must be contiguous; tested on the CPU."""
    monkeypatch.setattr(Parameter, "on_cuda", property(lambda self: True))
    base = torch.arange(20.0)
    for values in (base[::2], base[:1].expand(10), base.reshape(4, 5).T, base.half()[::2], base.double()[::2]):
        p = Parameter("w", values)
        block = p.block(2, 8)
        assert block.is_contiguous() and torch.equal(block, values.reshape(-1)[2:8].to(block.dtype))
