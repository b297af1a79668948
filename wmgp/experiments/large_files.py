"""Checkpoints of any size to time and to measure with: of normal values, or nearly all zeros that take no room."""

import json
import os
from pathlib import Path

import numpy as np

BLOCK = 1 << 24  # values that are drawn once, and written again and again
LARGEST = 1 << 26  # values of a tensor
ONE = bytes((0x80, 0x3F))  # in bfloat16


def write_shards(folder: Path, n: int, number: int, sparse: bool = False) -> list[Path]:
    """bfloat16 safetensors files with n values in all, a `number` of them, in a folder; returns their paths.

    Values are normal, the same ones block after block; or, but for a single one in each tensor, zeros that the disk
    does not hold.
    """
    values = np.random.default_rng(0).standard_normal(0 if sparse else min(n, BLOCK), dtype=np.float32)
    bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    paths = [folder / f"model-{i + 1:05}-of-{number:05}.safetensors" for i in range(number)]
    for i, path in enumerate(paths):
        _write(path, n // number + (i < n % number), f"shard{i}", bits)
    return paths


def _write(path: Path, n: int, prefix: str, bits: np.ndarray) -> None:
    """One file of n values, in tensors of at most `LARGEST`; where no bits are given, holes."""
    ends = [*range(0, n, LARGEST), n]
    header = {
        f"{prefix}.{i}.weight": {"dtype": "BF16", "shape": [b - a], "data_offsets": [2 * a, 2 * b]}
        for i, (a, b) in enumerate(zip(ends[:-1], ends[1:], strict=True))
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for start in range(0, n, len(bits)) if len(bits) else ():
            file.write(bits[: n - start].data)
        for start in () if len(bits) else ends[:-1]:
            file.seek(8 + len(text) + 2 * start)
            file.write(ONE)
        file.truncate(8 + len(text) + 2 * n)


def forget(path: Path) -> None:
    """Have the system forget what it remembers of a file, so that it is read from the disk again, where it can."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
