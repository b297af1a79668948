"""What is no checkpoint of floating-point weights, known by its content, and what makes one of it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError

ARRAYS = "save its arrays with safetensors.numpy.save_file"
ORIGIN = "save the network it was made from"
GGML = f"GGML (llama.cpp's, before GGUF); {ORIGIN}"

# What files look like by (place, bytes), and what makes a checkpoint of them. Bytes of four and more come first: no
# safetensors file begins with them, for its header would be longer than the library allows.
MAGIC: dict[tuple[int, bytes], str] = {
    (0, b"version https://git-lfs"): "a Git LFS pointer instead of the file itself (fetch it with git lfs pull)",
    (0, b"GGUF"): "GGUF (llama.cpp); load it with transformers (from_pretrained, gguf_file=) and save_pretrained that",
    **{(0, magic): GGML for magic in (b"lmgg", b"fmgg", b"tjgg", b"algg")},
    (0, b"\x89HDF"): f"HDF5 (Keras, TensorFlow); read it with h5py and {ARRAYS}",
    (0, b"\x93NUMPY"): f"a NumPy array; np.load it and {ARRAYS}",
    (4, b"TFL3"): f"TFLite; {ORIGIN}",
    (257, b"ustar"): "a tar archive; unpack it and name the checkpoint in it",
    (0, b"\x1f\x8b"): "a gzip archive; unpack it first",
    (0, b"<"): "an HTML or XML page, perhaps a failed download",
    (0, b"{"): "JSON without a weight_map",
}
HEAD = 264  # bytes that tell
ONNX = f"ONNX; read its initializers with onnx.numpy_helper.to_array and {ARRAYS}"
CORE_ML = f"Core ML; {ORIGIN}"
SAVED_MODEL = f"a TensorFlow SavedModel; read its variables with tf.train.load_checkpoint and {ARRAYS}"
MSGPACK = f"msgpack (Flax); restore it with flax.serialization.msgpack_restore and {ARRAYS}"

UNPACK = "analyse the model it was quantised from, or dequantize it (transformers: model.dequantize()) and save that"
FLOAT8 = "multiply it by its scales in bfloat16 or float32 and save that"


def describe(path: Path, head: bytes) -> str | None:
    """What a file looks like by its first HEAD bytes, with what makes a checkpoint of it; None where nobody knows."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for (place, magic), what in MAGIC.items():
        if head.startswith(magic, place) or (place == 0 and text.startswith(magic)):
            return what
    if _is_msgpack(head):
        return MSGPACK
    return _protobuf(path) if head[:1] == b"\x08" else None


def describe_archive(names: list[str]) -> str:
    """What a zip archive with these members looks like, if it is not torch's."""
    if names and all(name.endswith(".npy") for name in names):
        return f"a NumPy .npz archive; np.load it and {ARRAYS}"
    if "model.weights.h5" in names:
        return f"a Keras archive; read its model.weights.h5 with h5py and {ARRAYS}"
    if any(name.endswith((".safetensors", ".pt", ".pth", ".bin")) for name in names):
        return "a zip archive with a checkpoint in it; unpack it first"
    return "a zip archive of something else"


def _is_msgpack(head: bytes) -> bool:
    """Whether it begins as a map of a few keys or many, the first of them a name in letters."""
    at = {0xDE: 3, 0xDF: 5}.get(head[0], 1 if 0x81 <= head[0] <= 0x8F else 0)
    if not at or len(head) < at + 2:
        return False
    short = 0xA1 <= head[at] <= 0xBF
    if not short and head[at] != 0xD9:
        return False
    length, start = (head[at] & 0x1F, at + 1) if short else (head[at + 1], at + 2)
    name = head[start : start + length]
    return bool(name) and name.isascii() and name.decode("ascii").isprintable()


def _protobuf(path: Path) -> str | None:
    """ONNX, Core ML or TensorFlow, by the numbers of a protocol buffer's outermost fields."""
    fields, at = set(), 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for _ in range(64):  # the fields that tell come early
            if at >= size:
                break
            file.seek(at)
            tag, used = _varint(file.read(10))
            number, kind = tag >> 3, tag & 7
            file.seek(at + used)
            value, more = _varint(file.read(10))
            if not used or not more or not number or kind not in (0, 2):
                return None
            fields.add(number)
            at += used + more + (value if kind == 2 else 0)
    if any(200 <= number < 4000 for number in fields):
        return CORE_ML
    if 7 in fields and max(fields) < 30:
        return ONNX
    return SAVED_MODEL if fields == {1, 2} else None


def _varint(some: bytes) -> tuple[int, int]:
    """A protocol buffer's integer and its length in bytes, 0 where there is none."""
    value = 0
    for i, byte in enumerate(some):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, i + 1
    return 0, 0


def reject_quantized(where: Path | str, tensors: Mapping[str, Any]) -> None:
    """Raise InputError where weights are packed: what is left beside them in floating point is not the network."""
    for name, tensor in tensors.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype.startswith(("float8", "float4", "F4", "F6", "F8")):
            raise InputError(f"{where}: the tensor {name!r} is {dtype}, which cannot be analysed; {FLOAT8}")
        if dtype.startswith(("q", "int", "uint", "bits")) and _is_weight(name, dtype, len(tensor.shape)):
            raise InputError(f"{where}: the tensor {name!r} holds {_scheme(name, dtype, tensors)}; {UNPACK}")


def _is_weight(name: str, dtype: str, dimensions: int) -> bool:
    """Whether integers under this name are packed weights, and no index, mask or counter."""
    last = name.rpartition(".")[2]
    if last.endswith("_mask"):
        return False
    named = last.startswith("weight") or last.endswith(("weight", "_blocks")) or last in ("W_q", "qzeros")
    return dtype.startswith("q") or (named and dimensions >= 2)


def _scheme(name: str, dtype: str, tensors: Mapping[str, Any]) -> str:
    """Who packed it, by the names around it."""
    stem, _, last = name.rpartition(".")
    if last in ("qweight", "qzeros"):
        return f"weights packed in {dtype} (GPTQ or AWQ)"
    if f"{stem}.SCB" in tensors:
        return f"weights in {dtype} (bitsandbytes' 8 bits)"
    if f"{name}.absmax" in tensors:
        return f"weights packed in {dtype} (bitsandbytes' 4 bits)"
    return f"weights quantised or packed in {dtype}"
