"""What is not read is refused by name, known by its content, with what makes a checkpoint of it."""

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


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content in members.items():
            made.writestr(name.replace("__", "."), content)
    return file.getvalue()


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        made.addfile(tarfile.TarInfo("model_weights.ckpt"), io.BytesIO())
    return file.getvalue()


def varint(n: int) -> bytes:
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def proto(*fields) -> bytes:
    """A protocol buffer of (number, integer or bytes)."""
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts.append(varint(number << 3) + varint(value))
        else:
            parts.append(varint(number << 3 | 2) + varint(len(value)) + value)
    return b"".join(parts)


ONNX = proto((1, 8), (2, b"pytorch"), (3, b"2.0.0"), (7, bytes(3000)), (8, proto((1, b""), (2, 17))))
ANCIENT = b"\x67\x67\x6d\x6c"[::-1] + struct.pack("<7I", 32000, 4096, 256, 32, 32, 128, 2)
FOREIGN = {
    "GGUF": (b"GGUF" + struct.pack("<IQQ", 3, 291, 19) + bytes(90), "GGUF", "gguf_file"),
    "GGUF of 123 tensors": (b"GGUF" + struct.pack("<IQQ", 3, 123, 19) + bytes(90), "GGUF", "gguf_file"),
    "GGML": (ANCIENT, "GGML", "the network it was made from"),
    "GGJT": (b"tjgg" + bytes(40), "GGML", "the network it was made from"),
    "ONNX": (ONNX, "ONNX", "onnx.numpy_helper"),
    "ONNX cut off": (ONNX[:2000], "ONNX", "onnx.numpy_helper"),
    "Core ML": (proto((1, 5), (2, proto((1, bytes(700)))), (500, bytes(900))), "Core ML", "it was made from"),
    "SavedModel": (proto((1, 1), (2, bytes(800))), "SavedModel", "tf.train.load_checkpoint"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(90), "HDF5", "h5py"),
    "Keras": (archive(config__json=b"{}", model__weights__h5=b"\x89HDF"), "Keras", "h5py"),
    "Flax": (b"\x81\xa6params\x81\xa7Dense_0\x82\xa6kernel\xc7\x10\x01" + bytes(16), "msgpack", "flax"),
    "Flax of many": (b"\xde\x00\x20\xa6params\x81\xa7Dense_0\xc0", "msgpack", "flax"),
    "Flax, long names": (b"\x81\xd9\x21" + b"k" * 33 + b"\x80", "msgpack", "flax"),
    "npy": (npy(), "NumPy array", "safetensors.numpy.save_file"),
    "npz": (archive(w__npy=npy()), "NumPy .npz", "safetensors.numpy.save_file"),
    "TFLite": (struct.pack("<I", 28) + b"TFL3" + bytes(90), "TFLite", "it was made from"),
    "tar": (tar(), "tar archive", "unpack"),
    "gzip": (gzip.compress(b"weights"), "gzip", "unpack"),
    "zip of a checkpoint": (archive(model__pt=b""), "zip archive", "unpack"),
    "empty zip": (b"PK\x05\x06" + bytes(18), "b'PK", "not a checkpoint"),
    "page with a brace at its ninth byte": (b"<style>\n{a: b}", "HTML", "download"),
}


@pytest.mark.parametrize("name", ["x.safetensors", "x.pt", "x"])
@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_files_are_refused_by_name(tmp_path, case, name):
    content, *words = FOREIGN[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(wmgp.InputError) as caught:
        wmgp.analyze(tmp_path / name)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name}: ") and all(word in message for word in words), message
    assert "\n" not in message


UNKNOWN = [b"\x08", b"\x08\x08", b"\x08" + b"\xff" * 40, b"\x08\x01\x0d\x00\x00\x00", b"\x82\x01", b"\x81\xa3\n\n\n"]


@pytest.mark.parametrize("content", UNKNOWN)
def test_bytes_that_nobody_knows_are_shown(tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(wmgp.InputError, match="it begins with b"):
        open_checkpoint(tmp_path / "x")


INTS, HALF = torch.ones(8, 4, dtype=torch.int32), torch.ones(8, 4, dtype=torch.float16)
BYTES, SIGNED = torch.ones(32, 1, dtype=torch.uint8), torch.ones(8, 4, dtype=torch.int8)
PACKED = {
    "GPTQ": ({"q.qweight": INTS, "q.qzeros": INTS, "q.scales": HALF, "q.g_idx": INTS[0]}, "q.qweight", "GPTQ or AWQ"),
    "bitsandbytes, 8 bits": ({"q.weight": SIGNED, "q.SCB": HALF[0].float()}, "q.weight", "bitsandbytes' 8 bits"),
    "bitsandbytes, 4 bits": (
        {"q.weight": BYTES, "q.weight.absmax": HALF[0].float(), "q.weight.quant_map": HALF[0].float()},
        "q.weight",
        "bitsandbytes' 4 bits",
    ),
    "compressed-tensors": ({"q.weight_packed": INTS, "q.weight_scale": HALF}, "q.weight_packed", "packed in int32"),
    "MXFP4": ({"e.gate_up_proj_blocks": BYTES, "e.gate_up_proj_scales": BYTES}, "e.gate_up_proj_blocks", "uint8"),
    "float8": ({"q.weight": HALF.to(torch.float8_e4m3fn), "q.weight_scale": HALF}, "q.weight", "float8_e4m3fn"),
    "float8, the other": ({"q.weight": HALF.to(torch.float8_e5m2)}, "q.weight", "float8_e5m2"),
}


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
@pytest.mark.parametrize("case", PACKED)
def test_packed_weights_are_no_network_of_what_is_left_in_floats(tmp_path, case, ending):
    state, name, scheme = PACKED[case]
    state, path = {"embed.weight": HALF.clone(), **state, "norm.weight": HALF[0].clone()}, tmp_path / f"x.{ending}"
    save_file({n: t.clone() for n, t in state.items()}, path) if ending == "safetensors" else torch.save(state, path)
    with pytest.raises(wmgp.InputError) as caught:
        wmgp.analyze(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: the tensor {name!r} ") and scheme in message and "save that" in message


@pytest.mark.filterwarnings("ignore:.*quantize", "ignore:TypedStorage")
def test_torchs_quantised_tensors(tmp_path):
    state = {"a.weight": torch.quantize_per_tensor(HALF.float(), 0.1, 0, torch.qint8), "b.weight": HALF}
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(wmgp.InputError, match=r"'a\.weight' holds weights quantised or packed in qint8"):
        open_checkpoint(tmp_path / "x.pt")


def test_integers_that_are_no_weights_are_let_be(tmp_path):
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
