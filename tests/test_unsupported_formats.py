"""Unsupported formats are recognised by content; the error names the format and how to make a checkpoint from it."""

import gzip
import io
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import wmgp
from wmgp.io.checkpoints import open_checkpoint


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


def zip_archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return file.getvalue()


def tar_archive() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model_weights.ckpt"), io.BytesIO())
    return file.getvalue()


def varint(n: int) -> bytes:
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def protobuf(*fields) -> bytes:
    """A protocol buffer from (field number, integer or bytes) pairs."""
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts.append(varint(number << 3) + varint(value))
        else:
            parts.append(varint(number << 3 | 2) + varint(len(value)) + value)
    return b"".join(parts)


ONNX = protobuf((1, 8), (2, b"pytorch"), (3, b"2.0.0"), (7, bytes(3000)), (8, protobuf((1, b""), (2, 17))))
CORE_ML = protobuf((1, 5), (2, protobuf((1, bytes(700)))), (500, bytes(900)))
SAVED_MODEL = protobuf((1, 1), (2, bytes(800)))
GGML = b"\x67\x67\x6d\x6c"[::-1] + struct.pack("<7I", 32000, 4096, 256, 32, 32, 128, 2)
UNSUPPORTED = {
    "GGUF": (b"GGUF" + struct.pack("<IQQ", 3, 291, 19) + bytes(90), "GGUF", "gguf_file"),
    "GGUF of 123 tensors": (b"GGUF" + struct.pack("<IQQ", 3, 123, 19) + bytes(90), "GGUF", "gguf_file"),
    "GGML": (GGML, "GGML", "the network it was made from"),
    "GGJT": (b"tjgg" + bytes(40), "GGML", "the network it was made from"),
    "ONNX": (ONNX, "ONNX", "safetensors.numpy.save_file"),
    "truncated ONNX": (ONNX[:2000], "ONNX", "safetensors.numpy.save_file"),
    "Core ML": (CORE_ML, "Core ML", "it was made from"),
    "SavedModel": (SAVED_MODEL, "TensorFlow", "safetensors.numpy.save_file"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(90), "HDF5", "h5py"),
    "Keras": (zip_archive(config__json=b"{}", model__weights__h5=b"\x89HDF"), "Keras", "h5py"),
    "Flax": (b"\x81\xa6params\x81\xa7Dense_0\x82\xa6kernel\xc7\x10\x01" + bytes(16), "msgpack", "flax"),
    "Flax with many keys": (b"\xde\x00\x20\xa6params\x81\xa7Dense_0\xc0", "msgpack", "flax"),
    "Flax with a long name": (b"\x81\xd9\x21" + b"k" * 33 + b"\x80", "msgpack", "flax"),
    "npy": (npy(), "NumPy array", "safetensors.numpy.save_file"),
    "npz": (zip_archive(w__npy=npy()), "NumPy .npz", "safetensors.numpy.save_file"),
    "TFLite": (struct.pack("<I", 28) + b"TFL3" + bytes(90), "TFLite", "it was made from"),
    "tar": (tar_archive(), "tar archive", "unpack"),
    "gzip": (gzip.compress(b"weights"), "gzip", "unpack"),
    "zip with a checkpoint": (zip_archive(model__pt=b""), "zip archive", "unpack"),
    "empty zip": (b"PK\x05\x06" + bytes(18), "b'PK", "not a checkpoint"),
    "HTML with a brace at its ninth byte": (b"<style>\n{a: b}", "HTML", "download"),
}


@pytest.mark.parametrize("name", ["x.safetensors", "x.pt", "x"])
@pytest.mark.parametrize("case", UNSUPPORTED)
def test_the_error_names_the_format_and_the_conversion(tmp_path, case, name):
    content, *words = UNSUPPORTED[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(wmgp.InputError) as caught:
        wmgp.analyze(tmp_path / name)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name}: ") and all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("x.onnx", ONNX, "it looks like ONNX; read its initializers with onnx.numpy_helper.to_array"),
        ("x.mlmodel", CORE_ML, r"it looks like a protocol buffer \(ONNX, Core ML or TensorFlow\)"),
        ("saved_model.pb", SAVED_MODEL, r"it looks like a protocol buffer \(ONNX, Core ML or TensorFlow\)"),
    ],
)
def test_the_suffix_of_a_protocol_buffer_tells_onnx_from_the_rest(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(wmgp.InputError, match=text):
        open_checkpoint(tmp_path / name)


@pytest.mark.parametrize("content", [b"\x82\x01", b"\x81\xa3\n\n\n", b"\x09\x01", b"abc"])
def test_the_error_shows_the_first_bytes_of_an_unknown_format(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(wmgp.InputError, match="it begins with b"):
        open_checkpoint(tmp_path / "x")


INT32, FLOAT16 = torch.ones(8, 4, dtype=torch.int32), torch.ones(8, 4, dtype=torch.float16)
UINT8, INT8 = torch.ones(32, 1, dtype=torch.uint8), torch.ones(8, 4, dtype=torch.int8)
PACKED = {
    "GPTQ": (
        {"q.qweight": INT32, "q.qzeros": INT32, "q.scales": FLOAT16, "q.g_idx": INT32[0]},
        "q.qweight",
        "GPTQ or AWQ",
    ),
    "bitsandbytes, 8 bits": ({"q.weight": INT8, "q.SCB": FLOAT16[0].float()}, "q.weight", "bitsandbytes' 8 bits"),
    "bitsandbytes, 4 bits": (
        {"q.weight": UINT8, "q.weight.absmax": FLOAT16[0].float(), "q.weight.quant_map": FLOAT16[0].float()},
        "q.weight",
        "bitsandbytes' 4 bits",
    ),
    "compressed-tensors": ({"q.weight_packed": INT32, "q.weight_scale": FLOAT16}, "q.weight_packed", "packed in int32"),
    "MXFP4": ({"e.gate_up_proj_blocks": UINT8, "e.gate_up_proj_scales": UINT8}, "e.gate_up_proj_blocks", "uint8"),
    "float8": ({"q.weight": FLOAT16.to(torch.float8_e4m3fn), "q.weight_scale": FLOAT16}, "q.weight", "float8_e4m3fn"),
    "float8 e5m2": ({"q.weight": FLOAT16.to(torch.float8_e5m2)}, "q.weight", "float8_e5m2"),
}


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
@pytest.mark.parametrize("case", PACKED)
def test_quantised_weights_are_rejected_by_name(tmp_path, case, ending):
    state, name, scheme = PACKED[case]
    state, path = (
        {"embed.weight": FLOAT16.clone(), **state, "norm.weight": FLOAT16[0].clone()},
        tmp_path / f"x.{ending}",
    )
    save_file({n: t.clone() for n, t in state.items()}, path) if ending == "safetensors" else torch.save(state, path)
    with pytest.raises(wmgp.InputError) as caught:
        wmgp.analyze(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: the tensor {name!r} ") and scheme in message and "save that" in message


@pytest.mark.filterwarnings("ignore:.*quantize", "ignore:TypedStorage")
def test_torch_quantised_tensors_are_rejected_by_name(tmp_path):
    state = {"a.weight": torch.quantize_per_tensor(FLOAT16.float(), 0.1, 0, torch.qint8), "b.weight": FLOAT16}
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(wmgp.InputError, match=r"'a\.weight' holds weights quantised or packed in qint8"):
        open_checkpoint(tmp_path / "x.pt")


def test_integer_buffers_beside_float_weights_are_accepted(tmp_path):
    state = {
        "a.weight": torch.arange(6.0).reshape(2, 3),
        "a.num_batches_tracked": torch.tensor(3),
        "a.relative_position_index": torch.ones(4, 4, dtype=torch.int64),
        "a.weight_mask": torch.ones(2, 3, dtype=torch.uint8),
        "a.class_weight": torch.arange(3),
        "a.flags": torch.ones(2, 2, dtype=torch.bool),
    }
    save_file(state, tmp_path / "x")
    assert wmgp.analyze(tmp_path / "x").n_parameters == 6
