"""Quantised and packed weights are recognised by content, and indices are not mistaken for them."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.ao.quantization import qconfig
from torch.ao.quantization.quantize import quantize_dynamic  # pyright: ignore[reportDeprecated]

import wmgp
from wmgp.parameters import collect_with_warnings

GENERATOR = torch.Generator().manual_seed(0)
ALIKE = "quantised or packed weights do"


def integers(*shape: int, dtype: torch.dtype = torch.int16) -> torch.Tensor:
    return torch.randint(0, 100, shape, generator=GENERATOR).to(dtype)


def floats(*shape: int, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    return torch.randn(shape, generator=GENERATOR).to(dtype)


def network(layer: dict[str, torch.Tensor], n_layers: int = 4, rows: int = 1000) -> dict[str, torch.Tensor]:
    """An embedding, a norm, and some layers."""
    state = {"embed.weight": floats(rows, 64), "norm.weight": floats(64)}
    for i in range(n_layers):
        state |= {f"layers.{i}.mlp.{name}": values.clone() for name, values in layer.items()}
    return state


LAYERS = {  # the tensors of a packed layer, and those that are named in the error
    "AQLM": (
        {"codes": integers(256, 32, 1), "codebooks": floats(1, 256, 1, 8), "scales": floats(256, 1, 1, 1)},
        "codes",
    ),
    "EXL3": ({"trellis": integers(16, 16, 48), "suh": floats(256), "svh": floats(256)}, "trellis"),
    "QuIP#": ({"Qidxs": integers(256, 32, dtype=torch.int64), "SU": floats(256), "SV": floats(256)}, "Qidxs"),
    "VPTQ": ({"indices": integers(1, 64, 32, dtype=torch.int32), "centroids.weight": floats(1, 2048)}, "indices"),
    "Marlin": ({"B": integers(16, 512, dtype=torch.int32), "s": floats(2, 256)}, "B"),
    "packed bytes": ({"packed": integers(4096, dtype=torch.uint8), "scale": floats(64)}, "packed"),
    "without scales": ({"q": integers(64, 64, dtype=torch.int8)}, "q"),
}


def refusal(source) -> str:
    with pytest.raises(wmgp.InputError) as caught:
        wmgp.analyze(source)
    message = str(caught.value)
    assert message.isprintable()
    return message


@pytest.mark.parametrize("rows", [10, 1000, 10_000])
@pytest.mark.parametrize("case", LAYERS)
def test_packed_layers_are_refused_and_the_largest_integers_named(tmp_path, case, rows):
    """With a small embedding the integers outweigh all floats, with a large one only those of their layer."""
    layer, name = LAYERS[case]
    state = network(layer, rows=rows)
    save_file(state, tmp_path / "x.safetensors")
    torch.save(state, tmp_path / "x.pt")
    dtype, shape = str(layer[name].dtype).removeprefix("torch."), list(layer[name].shape)
    for source in (tmp_path / "x.safetensors", tmp_path / "x.pt", state):
        message = refusal(source)
        assert ALIKE in message and f": layers.0.mlp.{name} {dtype} {shape}, " in message and "and 1 more" in message
        assert "analyse the model it was quantised from" in message


def test_the_largest_integer_tensors_come_first():
    state = {"a.weight": floats(4, 4), "x": integers(10, 10), "y": integers(30, 10), "z": integers(20, 10)}
    assert ": y int16 [30, 10], z int16 [20, 10], x int16 [10, 10]; " in refusal(state)
    assert "more bytes (1,200) than its floating-point ones (32)" in refusal(state)


def test_modules_with_packed_buffers_are_refused():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("codes", integers(64, 64))
            self.scale = nn.Parameter(torch.ones(64))

    message = refusal(nn.Sequential(nn.Linear(64, 64), Packed(), Packed()))
    assert ALIKE in message and "1.codes int16 [64, 64], 2.codes int16 [64, 64]" in message


def bitmask(dense: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.packbits((dense != 0).numpy(), axis=-1))


@pytest.mark.parametrize("shape", [(128, 64), (64, 128), (32, 16, 8)])
@pytest.mark.parametrize("rows", [10, 1000])
def test_sparse_weights_stored_as_nonzeros_are_refused(tmp_path, shape, rows):
    dense = floats(*shape)
    dense[..., ::2] = 0
    size = torch.tensor(shape)
    places = dense.nonzero().t().contiguous()
    kinds = {
        "bitmask": {"compressed": dense[dense != 0], "bitmask": bitmask(dense), "shape": size},
        "wide bitmask": {"compressed": dense[dense != 0].view(shape[0], -1), "bitmask": bitmask(dense), "shape": size},
        "coordinates": {"values": dense[dense != 0], "coordinates": places.to(torch.int16), "size": size},
    }
    for layer in kinds.values():
        save_file(network(layer, rows=rows), tmp_path / "x.safetensors")
        message = refusal(tmp_path / "x.safetensors")
        assert f"layers.0.mlp holds a sparse weight of {dense.numel():,} values" in message


# -- torch's quantised modules ---------------------------------------------------------------------------------------

DYNAMIC = {
    "linear": (nn.Linear(8, 8), qconfig.default_dynamic_qconfig, "_packed_params"),
    "half precision": (nn.Linear(8, 8), qconfig.float16_dynamic_qconfig, "_packed_params"),
    "lstm": (nn.LSTM(8, 8), qconfig.default_dynamic_qconfig, "_all_weight_values"),
    "embedding": (nn.Embedding(20, 8), qconfig.float_qparams_weight_only_qconfig, "_packed_params"),
}


@pytest.mark.filterwarnings("ignore:.*quanti", "ignore:TypedStorage", "ignore:.*deprecated")
@pytest.mark.parametrize("case", DYNAMIC)
def test_dynamically_quantised_modules_are_refused(tmp_path, case):
    layer, config, attribute = DYNAMIC[case]
    model = nn.ModuleDict({"head": nn.Linear(30, 30), "layer": layer})
    quantized = quantize_dynamic(model, {"layer": config})  # pyright: ignore[reportDeprecated]
    for source in (quantized, quantized.state_dict()):
        message = refusal(source)
        assert f"'layer.{attribute}" in message and "torch.ao.quantization" in message
    torch.save(quantized.state_dict(), tmp_path / "x.pt")
    message = refusal(tmp_path / "x.pt")
    assert message.startswith(f"{tmp_path / 'x.pt'}: 'layer.{attribute}") and "torch.ao.quantization" in message


# -- integers that are no weights ------------------------------------------------------------------------------------


def window_index(n: int) -> torch.Tensor:
    """Swin's index of the relative positions in a window of n by n."""
    at = torch.stack(torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")).flatten(1)
    relative = (at[:, :, None] - at[:, None, :]).permute(1, 2, 0) + n - 1
    return relative[..., 0] * (2 * n - 1) + relative[..., 1]


def class_token_index(n: int) -> torch.Tensor:
    """BEiT's, with a class token in the first row and column."""
    index = torch.zeros(n * n + 1, n * n + 1, dtype=torch.int64)
    index[1:, 1:] = window_index(n)
    index[0, :], index[:, 0] = (2 * n - 1) ** 2, (2 * n - 1) ** 2 + 1
    return index


def offset_index(n: int) -> torch.Tensor:
    """LeViT's: the absolute offset of each pair of positions."""
    at = torch.stack(torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")).flatten(1)
    offset = (at[:, :, None] - at[:, None, :]).abs()
    return offset[0] * n + offset[1]


INDICES = {
    "attn.relative_position_index": window_index(7),
    "attn.rows_of_table": window_index(8),  # by content, under any name
    "attn.with_class_token": class_token_index(6),
    "attn.offsets": offset_index(9),
    "attn.attention_bias_idxs": integers(60, 70, dtype=torch.int64),  # by name
    "embeddings.position_ids": torch.arange(2000)[None],
    "embeddings.token_type_ids": torch.zeros(1, 2000, dtype=torch.int64),
    "embeddings.order": torch.arange(2000).expand(2, 2000).clone(),
    "shuffle.order": torch.stack([torch.randperm(600, generator=GENERATOR) for _ in range(4)]),
    "attn.allowed": torch.ones(1, 1, 90, 90, dtype=torch.uint8).tril(),
    "graph.edge_index": integers(2, 1500, dtype=torch.int64),
    "norm.num_batches_tracked": torch.tensor(3),
}


@pytest.mark.parametrize("name", INDICES)
def test_indices_and_masks_are_not_taken_for_weights(tmp_path, name):
    state = {"attn.weight": floats(20, 20), "attn.table": floats(4, 169), "embeddings.weight": floats(9, 20)}
    expected = wmgp.analyze(state).optimal
    state[name] = INDICES[name]
    assert name == "norm.num_batches_tracked" or INDICES[name].nbytes > sum(t.nbytes for t in state.values()) / 2
    save_file(state, tmp_path / "x.safetensors")
    torch.save(state, tmp_path / "x.pt")
    for source in (tmp_path / "x.safetensors", tmp_path / "x.pt", state):
        assert wmgp.analyze(source).optimal == expected
        assert not any(name in warning for warning in collect_with_warnings(source).warnings)


def test_a_table_of_integers_beside_heavier_weights_is_named_in_a_warning():
    state = {"a.weight": floats(100, 100), "sampler.rows": integers(50, 50), "steps.history": integers(3)}
    [warning] = [w for w in collect_with_warnings(state).warnings if "integer" in w]
    assert warning.endswith(": sampler.rows int16 [50, 50]")
    few = {"a.weight": floats(1000, 100), "sampler.rows": integers(5, 5)}
    assert collect_with_warnings(few).warnings == []


def test_integers_without_values_are_weighed_by_their_size():
    state = {"a.weight": floats(4, 4), "x": torch.empty(100, 100, dtype=torch.int32, device="meta")}
    assert "x int32 [100, 100]" in refusal(state)
