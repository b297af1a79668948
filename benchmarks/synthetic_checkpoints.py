"""Write checkpoints of any size for benchmarks: of normal values, or sparse files of nearly all zeros."""

import json
import os
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np

DTYPES = {"bfloat16": ("BF16", 2), "float16": ("F16", 2), "float32": ("F32", 4), "float64": ("F64", 8)}
CHUNK = 1 << 24  # values drawn at a time
MAX_TENSOR_SIZE = 1 << 26  # values of a tensor in a shard
ONE_BFLOAT16 = bytes((0x80, 0x3F))


def write_checkpoint(path: Path, dtype: str, sizes: Sequence[int], prefix: str = "", sparse: bool = False) -> None:
    """Write a safetensors file of the tensors 0.weight, 1.weight, ... with `sizes` values and a `dtype` of `DTYPES`.

    Values are normal. If `sparse` (bfloat16 only), they are zeros in a sparse file, with a single 1 in each tensor.
    """
    code, width = DTYPES[dtype]
    ends = [width * n for n in accumulate(sizes, initial=0)]
    header = {
        f"{prefix}{i}.weight": {"dtype": code, "shape": [sizes[i]], "data_offsets": [*offsets]}
        for i, offsets in enumerate(pairwise(ends))
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        rng = np.random.default_rng(0)
        for start in () if sparse else range(0, sum(sizes), CHUNK):
            file.write(_draw_normal(rng, min(CHUNK, sum(sizes) - start), dtype).tobytes())
        for start in ends[:-1] if sparse else ():
            file.seek(8 + len(text) + start)
            file.write(ONE_BFLOAT16)
        file.truncate(8 + len(text) + ends[-1])


def _draw_normal(rng: np.random.Generator, n: int, dtype: str) -> np.ndarray:
    """Return n normal values of this dtype; for bfloat16 their bits as uint16, truncated from float32."""
    values = rng.standard_normal(n, dtype=np.float32)
    return (values.view(np.uint32) >> 16).astype(np.uint16) if dtype == "bfloat16" else values.astype(dtype)


def write_shards(folder: Path, n: int, number: int, sparse: bool = False) -> list[Path]:
    """Write `number` bfloat16 files with n values in total with `write_checkpoint`, and return their paths."""
    paths = [folder / f"model-{i + 1:05}-of-{number:05}.safetensors" for i in range(number)]
    for i, path in enumerate(paths):
        mine = n // number + (i < n % number)
        sizes = [min(MAX_TENSOR_SIZE, mine - start) for start in range(0, mine, MAX_TENSOR_SIZE)]
        write_checkpoint(path, "bfloat16", sizes, f"shard{i}.", sparse)
    return paths


def drop_from_cache(path: Path) -> None:
    """Drop a file from the page cache, if the system can, so that it is read from the disk again."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
