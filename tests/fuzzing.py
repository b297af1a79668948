"""Helpers to fuzz the readers: small valid files, edits of them, and checks of the outcome."""

import io
import json
import os
import signal
import struct
import zipfile
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open

import wmgp
from wmgp.io.checkpoints import open_checkpoint
from wmgp.io.safetensors_files import MappedTensor

LONG = "WMGP_LONG" in os.environ
SECONDS = 20  # time limit of a small file


def budget(examples: int) -> settings:
    """Settings for a fixed set of examples; with WMGP_LONG, fifty times as many, drawn anew each time."""
    return settings(max_examples=50 * examples if LONG else examples, derandomize=not LONG, database=None)


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(4, 3, generator=generator)
    return {
        "a.weight": shared,
        "a.bias": torch.randn(4, generator=generator),
        "b.weight": torch.randn(2, 4, generator=generator).to(torch.bfloat16),
        "tied.weight": shared,
        "c.weight": torch.randn(3, 2, generator=generator).t(),
        "steps": torch.arange(3),
    }


def safetensors_bytes(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def torch_bytes(saved, legacy: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(saved, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def members(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(content: list[tuple[str, bytes]], compress: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of any content with valid checksums."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compress) as archive:
        for name, data in content:
            archive.writestr(name, data)
    return file.getvalue()


NESTED = OrderedDict(model=OrderedDict(weights()), epoch=3, optimizer={"state": {}, "param_groups": [{"lr": 0.1}]})
PLAIN = {"format": "pt"}
TORCH = {
    "zip": torch_bytes(weights()),
    "nested zip": torch_bytes(NESTED),
    "legacy": torch_bytes(weights(), legacy=True),
    "nested legacy": torch_bytes(NESTED, legacy=True),
}


def a_safetensors() -> bytes:
    arrays = {"a.weight": np.arange(12, dtype="<f4").reshape(4, 3), "a.bias": np.ones(4, "<f8"), "n": np.arange(2)}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, values in arrays.items():
        kind = {"f": "F", "i": "I"}[values.dtype.kind] + str(8 * values.itemsize)
        begin, data = len(data), data + values.tobytes()
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": [begin, len(data)]}
    return safetensors_bytes(json.dumps(header).encode(), data)


SAFETENSORS = a_safetensors()


def edits(most: int = 4):
    """A few edits of a file: position (as a share of its length), kind and value."""
    kinds = st.sampled_from(["flip", "set", "insert", "delete", "repeat", "cut"])
    return st.lists(st.tuples(st.floats(0, 1), kinds, st.integers(0, 255)), min_size=1, max_size=most)


def edited(content: bytes, wanted) -> bytes:
    for share, kind, n in wanted:
        at = min(int(share * len(content)), max(len(content) - 1, 0))
        before, here, after = content[:at], content[at : at + 1], content[at + 1 :]
        if kind == "cut":
            content = before
        elif kind == "delete":
            content = before + content[at + n :]
        elif kind == "repeat":
            content = content[: at + n] + content[at:]
        elif kind == "insert":
            content = before + bytes([n]) * (1 + n % 9) + here + after
        elif here:
            content = before + bytes([n if kind == "set" else here[0] ^ 1 << n % 8]) + after
    return content


@contextmanager
def in_time():
    """Fail after `SECONDS`."""

    def stop(*_):
        raise AssertionError(f"more than {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(path: Path) -> dict[str, Any] | None:
    """Return a file's tensors, or None if it is refused in one line that names the file or folder.

    An opened file is also analysed, which may be refused too.
    """
    with in_time():
        try:
            tensors = open_checkpoint(path).tensors
            found = {
                n: t.tensor() if isinstance(t, MappedTensor) and hasattr(torch, t.dtype) else t
                for n, t in tensors.items()
            }
        except wmgp.InputError as error:
            assert_one_line(error)
            assert path.name in str(error) or path.parent.name in str(error)
            return None
        try:
            assert 0 <= wmgp.analyze(path).optimal.amount <= 1
        except wmgp.InputError as error:
            assert_one_line(error)
        return found


def assert_one_line(error) -> None:
    text = str(error)
    assert text and text.isprintable()


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        if str(tensor.layout) == "torch.strided" and not tensor.is_meta:
            both = [t.detach().clone().contiguous().view(-1).view(torch.uint8) for t in (found[name], tensor)]
            assert torch.equal(*both), name


def safetensors_says(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors that the safetensors library reads, in the header's order."""
    try:
        with safe_open(path, "pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise AssertionError(f"answered for a file that the library refuses: {error}") from error
    with path.open("rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    return {name: found[name] for name in header if name != "__metadata__"}
