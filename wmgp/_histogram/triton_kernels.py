"""The inner loop over float32 values on a CUDA device, written in Triton: one reading of them, and two additions each.

Bins and slots are those of `kernels`. So are the packed counters, but for the sign that a bit is left for.
"""

# pyright: reportMissingParameterType=false
# Triton reads the annotations of its kernels, and knows a meaning for `tl.constexpr` alone.

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

HELD = (1 << 25) - 1  # values a packed counter holds: with one more, all of a bin, its count would reach the sign
_SIZE = 2048  # values of a program
_SHIFT = 38  # of the count in a packed counter, above the sum of the slots


@triton.jit
def _read(bits, centre, packed, powers, found, n, one: tl.constexpr, counted: tl.constexpr, size: tl.constexpr):
    """One program: `size` values from its own place on; its sums of powers, and (largest bits, values not zero)."""
    me = tl.program_id(0)
    place = me.to(tl.int64) * size + tl.arange(0, size)
    there = place < n
    value = tl.load(bits + place, mask=there, other=0)
    magnitude = value & 0x7FFFFFFF
    if counted:
        low = (magnitude & 0xFFF).to(tl.int64)
        some = magnitude > 0  # zeros, of which a pruned network is full, would all queue for one counter
        here = packed + (magnitude >> 12) * 2
        tl.atomic_add(here, low + one, mask=some, sem="relaxed")
        tl.atomic_add(here + 1, low * low, mask=some, sem="relaxed")
    d = tl.where(there, value.to(tl.float32, bitcast=True).to(tl.float64) - tl.load(centre), 0.0)
    square = d * d
    tl.store(powers + me * 4, tl.sum(d, axis=0))
    tl.store(powers + me * 4 + 1, tl.sum(square, axis=0))
    tl.store(powers + me * 4 + 2, tl.sum(square * d, axis=0))
    tl.store(powers + me * 4 + 3, tl.sum(square * square, axis=0))
    tl.store(found + me * 2, tl.max(magnitude, axis=0))
    tl.store(found + me * 2 + 1, tl.sum((magnitude > 0).to(tl.int32), axis=0))


def first_pass(values: Tensor, centre: Tensor, packed: Tensor | None) -> tuple[Tensor, Tensor]:
    """Count contiguous float32 values [n] in the packed counters [bins, 2], if any; sums of four powers, largest bits.

    The powers are about `centre`, float64, and summed in a fixed order.
    """
    programs = triton.cdiv(values.numel(), _SIZE)
    powers = torch.empty((programs, 4), dtype=torch.float64, device=values.device)
    found = torch.empty((programs, 2), dtype=torch.int32, device=values.device)
    run: Any = _read[(programs,)]
    with torch.cuda.device_of(values):  # Triton launches on the current device, wherever its arguments lie
        run(
            values.view(torch.int32), centre, found if packed is None else packed, powers, found, values.numel(),
            one=1 << _SHIFT, counted=packed is not None, size=_SIZE,
        )  # fmt: skip
    if packed is not None:
        packed[0, 0] += (values.numel() - found[:, 1].sum()) << _SHIFT
    return powers.sum(0), found[:, 0].max()


def drain(packed: Tensor, sums: Tensor) -> None:
    """Empty the packed counters into the sums [3, bins] of counts, of slots and of their squares."""
    sums[0] += packed[:, 0] >> _SHIFT
    sums[1] += packed[:, 0] & ((1 << _SHIFT) - 1)
    sums[2] += packed[:, 1]
    packed.zero_()
