"""Recognise files and folders that cannot be analysed, and name the steps that make a checkpoint from them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError

SAVE_ARRAYS = "save its arrays with safetensors.numpy.save_file"
SAVE_ORIGINAL = "save the network it was made from"

HEAD_BYTES = 264  # enough for every entry of MAGIC
# (offset, magic bytes) -> description of the format and the steps to a checkpoint. Entries of four or more bytes never
# match a safetensors file: its header would be longer than the library allows.
MAGIC: dict[tuple[int, bytes], str] = {
    (0, b"version https://git-lfs"): "a Git LFS pointer instead of the file itself (fetch it with git lfs pull)",
    (0, b"GGUF"): "GGUF (llama.cpp); load it with transformers (from_pretrained, gguf_file=) and save_pretrained that",
    **{(0, magic): f"GGML (old llama.cpp); {SAVE_ORIGINAL}" for magic in (b"lmgg", b"fmgg", b"tjgg", b"algg")},
    (0, b"\x89HDF"): f"HDF5 (Keras, TensorFlow); read it with h5py and {SAVE_ARRAYS}",
    (0, b"\x93NUMPY"): f"a NumPy array; np.load it and {SAVE_ARRAYS}",
    (4, b"TFL3"): f"TFLite; {SAVE_ORIGINAL}",
    (257, b"ustar"): "a tar archive; unpack it and name the checkpoint in it",
    (0, b"\x1f\x8b"): "a gzip archive; unpack it first",
    (0, b"<"): "an HTML or XML page, perhaps a failed download",
    (0, b"{"): "JSON without a weight_map",
}
MSGPACK = f"msgpack (Flax); restore it with flax.serialization.msgpack_restore and {SAVE_ARRAYS}"
ONNX = f"ONNX; read its initializers with onnx.numpy_helper.to_array and {SAVE_ARRAYS}"
PROTOBUF = (
    "a protocol buffer (ONNX, Core ML or TensorFlow); "
    f"read its weights with the library that wrote it and {SAVE_ARRAYS}, or {SAVE_ORIGINAL}"
)

DISTRIBUTED_SUFFIX = ".distcp"
DISTRIBUTED = (
    "torch.distributed.checkpoint; make one file of it with "
    "python -m torch.distributed.checkpoint.format_utils dcp_to_torch {folder} model.pt and name that file"
)
MIN_EMPTY = 3  # a single empty tensor may be meant
ZERO_TO_FP32 = (
    "a part of a DeepSpeed checkpoint (ZeRO); run the script zero_to_fp32.py in the checkpoint's folder and name the "
    "file that it writes"
)


def describe(path: Path, head: bytes) -> str | None:
    """The format of an unsupported file by its first HEAD_BYTES bytes, and how to convert it; None if unknown."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for (offset, magic), description in MAGIC.items():
        if head.startswith(magic, offset) or (offset == 0 and text.startswith(magic)):
            return description
    if _is_msgpack(head):
        return MSGPACK
    if head.startswith(b"\x08"):  # field 1, an integer: a version number
        return ONNX if path.suffix.lower() == ".onnx" else PROTOBUF
    return None


def describe_archive(names: list[str]) -> str:
    """The kind of a zip archive that torch.save did not write, by the names of its members."""
    if names and all(name.endswith(".npy") for name in names):
        return f"a NumPy .npz archive; np.load it and {SAVE_ARRAYS}"
    if "model.weights.h5" in names:
        return f"a Keras archive; read its model.weights.h5 with h5py and {SAVE_ARRAYS}"
    if any(name.rpartition("/")[2] == "archive_format" for name in names):
        return (
            "a program of torch.export (.pt2); load it with torch.export.load and save its state_dict: "
            "torch.save(program.state_dict, NEW)"
        )
    if any(name.endswith((".safetensors", ".pt", ".pth", ".bin")) for name in names):
        return "a zip archive with a checkpoint in it; unpack it first"
    return "a zip archive without a checkpoint"


def describe_folder(folder: Path) -> str | None:
    """What a folder without safetensors files and indices is, and what to open instead; None if unknown."""
    if (folder / ".metadata").is_file() and any(folder.glob(f"*{DISTRIBUTED_SUFFIX}")):
        return f"a folder of {DISTRIBUTED.format(folder=folder)}"
    return None


def reject_partitioned(source: Path | str, tensors: Mapping[str, Any]) -> None:
    """Raise InputError if most weights are empty: ZeRO-3 leaves tensors of shape [0] in place of the partitioned ones.

    Small tensors stay whole there. A tensor with two or more dimensions and values is rarely among them.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    empty = [name for name, shape in shapes.items() if shape == (0,)]
    n_matrices = sum(len(shape) >= 2 for shape in shapes.values())
    if len(empty) >= max(n_matrices, MIN_EMPTY):
        raise InputError(f"{source}: {len(empty):,} tensors are empty, {empty[0]} the first: it is {ZERO_TO_FP32}")


def _is_msgpack(head: bytes) -> bool:
    """Return True if the file begins with a msgpack map whose first key is printable text."""
    key = {0xDE: 3, 0xDF: 5}.get(head[0], 1 if 0x81 <= head[0] <= 0x8F else 0)  # offset of the first key
    if not key or len(head) < key + 2:
        return False
    fixed_length = 0xA1 <= head[key] <= 0xBF  # the length is part of the type byte; else it follows
    if not fixed_length and head[key] != 0xD9:
        return False
    length, start = (head[key] & 0x1F, key + 1) if fixed_length else (head[key + 1], key + 2)
    name = head[start : start + length]
    return bool(name) and name.isascii() and name.decode("ascii").isprintable()
