"""Half precision, counted value by value: what a histogram of the same values as float32 says, from one reading."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import wmgp
from wmgp._histogram import half_precision
from wmgp._histogram.kernels import half_pass
from wmgp._histogram.measurement import Measurement, measure
from wmgp.parameters import Parameter, collect

DTYPES = [torch.bfloat16, torch.float16]
RANKS = np.array([0, 1, 2, 7, 100, 5000])


def of_bits(bits: list[int] | np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """Values of half precision by their bits."""
    return torch.from_numpy(np.asarray(bits, dtype=np.uint16).view(np.int16)).view(dtype)


def measured(state: dict[str, torch.Tensor], by_value: bool, monkeypatch) -> Measurement:
    monkeypatch.setattr(half_precision, "FROM", 1 if by_value else 1 << 62)
    return measure(collect(state))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_pattern_by_hand(dtype):
    """1, -1, 2 and three zeros of either sign: the levels, how often, and the powers about the mean of 1/3."""
    one, two = (int(torch.tensor(x).to(dtype).view(torch.int16)) for x in (1.0, 2.0))
    row = np.zeros(6)
    bits = np.array([0, one, 0x8000, one | 0x8000, two, 0], dtype=np.uint16)
    levels, counts = half_pass(bits, half_precision.magnitudes(str(dtype).removeprefix("torch.")), row)
    assert levels.tolist() == [0, one, two] and counts.tolist() == [3, 2, 1]
    d = np.array([-1, 2, -1, -4, 5, -1]) / 3
    np.testing.assert_allclose(row, [6, 1 / 3, *(np.sum(d**k) for k in (1, 2, 3, 4))], atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_magnitudes_are_torchs(dtype):
    own = half_precision.magnitudes(str(dtype).removeprefix("torch."))
    np.testing.assert_array_equal(own, of_bits(np.arange(1 << 15), dtype).double().numpy())
    finite = own[np.isfinite(own)]
    assert np.all(np.diff(finite) > 0) and not np.isfinite(own[finite.size :]).any()


@pytest.mark.parametrize("dtype", DTYPES)
@given(bits=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=300), repeats=st.integers(1, 30))
@settings(max_examples=60)
def test_the_same_as_float32_of_any_bits(dtype, bits, repeats):
    values = of_bits(bits * repeats, dtype)
    values = values[values.isfinite() & (values.abs() < 1e9)]
    state = {"a.weight": values, "b.weight": values[:17], "c.weight": torch.ones(3), "d.other": values[3:]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wmgp._histogram.measurement.SORTED_BELOW", 0)
        patch.setattr(half_precision, "CHUNK", 1000)
        once, thrice = measured(state, True, patch), measured(state, False, patch)
        assert once.histogram and thrice.histogram
        for field in ("bins", "count", "low", "square"):
            np.testing.assert_array_equal(getattr(once.histogram, field), getattr(thrice.histogram, field))
        for field, scale in (("n", 0), ("mean", 1), ("m2", 2), ("m3", 3), ("m4", 4)):
            largest = float(values.abs().max()) if len(values) else 0.0
            error = np.abs(getattr(once.tensors, field) - getattr(thrice.tensors, field))
            assert np.all(error <= 1e-12 * (1 + once.tensors.n) * max(largest, 1.0) ** scale), field
        ranks = RANKS[RANKS <= once.histogram.count.sum()]
        np.testing.assert_array_equal(
            once.pruned(once.levels(ranks), ranks), thrice.pruned(thrice.levels(ranks), ranks)
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(dtype, bad, histogram):
    values = torch.randn(1000).to(dtype)
    values[500] = bad
    with pytest.raises(wmgp.InputError, match="b.weight: expected finite values"):
        wmgp.analyze({"a.weight": torch.randn(9).to(dtype), "b.weight": values})


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_values_do_not_vary(dtype, histogram, monkeypatch):
    """To the last digit, also in blocks of their own: what varies by rounding alone would have a kurtosis."""
    monkeypatch.setattr(half_precision, "CHUNK", 333)
    found = measure(collect({"a.weight": torch.full((1000,), -0.1).to(dtype)})).tensors
    assert found.m2[0] == 0 and found.mean[0] == float(torch.tensor(-0.1).to(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("of_mask", [torch.float32, torch.bool])
def test_a_mask_of_another_dtype_leaves_half_precision_as_it_is(dtype, of_mask, histogram):
    """As in a state dict whose weights alone were halved."""
    weight, mask = torch.randn(1000, generator=torch.Generator().manual_seed(0)).to(dtype), torch.arange(1000) % 3 > 0
    found = wmgp.analyze({"a.weight_orig": weight, "a.weight_mask": mask.to(of_mask)})
    wanted = wmgp.analyze({"a.weight": weight * mask})
    assert found.front.cosine.tolist() == wanted.front.cosine.tolist() and found.kurtosis == wanted.kurtosis


@pytest.mark.parametrize("room", [0, 30_000, 1 << 27])
def test_blocks_without_room_are_read_again(monkeypatch, histogram, room):
    """The same front and counts, of one reading or of two."""
    state = {f"{i}.weight": torch.randn(5000, generator=torch.Generator().manual_seed(i)).half() for i in range(4)}
    wanted, read = wmgp.analyze(state), []
    raw_block = Parameter.raw_block
    monkeypatch.setattr(half_precision, "ROOM", room)
    monkeypatch.setattr(half_precision, "CHUNK", 1000)
    monkeypatch.setattr(Parameter, "raw_block", lambda p, a, b: read.append((p.name, a)) or raw_block(p, a, b))
    found = wmgp.analyze(state)
    assert found.front.cosine.tolist() == wanted.front.cosine.tolist()
    for column in ("pruned_at_optimal", "pruned_at_safe"):
        assert found.tensors[column].tolist() == wanted.tensors[column].tolist()
    again = len(read) - len(set(read))
    assert again == 20 if room == 0 else (0 < again < 20) if room == 30_000 else again == 0
