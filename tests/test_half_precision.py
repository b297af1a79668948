"""Half precision, counted value by value in one pass, equals the float32 histogram of the same values."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import wmgp
from wmgp._histogram import half_precision
from wmgp._histogram.kernels import count_half_precision
from wmgp._histogram.measurement import Measurement, measure
from wmgp.parameters import Parameter, collect

DTYPES = [torch.bfloat16, torch.float16]
N_PRUNED = np.array([0, 1, 2, 7, 100, 5000])


def from_bits(bits: list[int] | np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    """Half-precision values from their bits."""
    return torch.from_numpy(np.asarray(bits, dtype=np.uint16).view(np.int16)).view(dtype)


def measure_with(state: dict[str, torch.Tensor], by_value: bool, monkeypatch) -> Measurement:
    monkeypatch.setattr(half_precision, "MIN_VALUES", 1 if by_value else 1 << 62)
    return measure(collect(state))


@pytest.mark.parametrize("dtype", DTYPES)
def test_counts_and_moments_of_a_worked_example(dtype):
    """1, -1, 2 and three zeros of either sign: the levels, their counts, and the powers about the mean of 1/3."""
    one, two = (int(torch.tensor(x).to(dtype).view(torch.int16)) for x in (1.0, 2.0))
    row = np.zeros(6)
    bits = np.array([0, one, 0x8000, one | 0x8000, two, 0], dtype=np.uint16)
    levels, counts = count_half_precision(bits, half_precision.magnitude_table(str(dtype).removeprefix("torch.")), row)
    assert levels.tolist() == [0, one, two] and counts.tolist() == [3, 2, 1]
    d = np.array([-1, 2, -1, -4, 5, -1]) / 3
    np.testing.assert_allclose(row, [6, 1 / 3, *(np.sum(d**k) for k in (1, 2, 3, 4))], atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_magnitudes_equal_those_of_torch(dtype):
    magnitudes = half_precision.magnitude_table(str(dtype).removeprefix("torch."))
    np.testing.assert_array_equal(magnitudes, from_bits(np.arange(1 << 15), dtype).double().numpy())
    finite = magnitudes[np.isfinite(magnitudes)]
    assert np.all(np.diff(finite) > 0) and not np.isfinite(magnitudes[finite.size :]).any()


@pytest.mark.parametrize("dtype", DTYPES)
@given(bits=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=300), repeats=st.integers(1, 30))
@settings(max_examples=60)
def test_any_values_give_the_same_result_as_float32(dtype, bits, repeats):
    values = from_bits(bits * repeats, dtype)
    values = values[values.isfinite() & (values.abs() < 1e9)]
    assume(len(values))  # three empty tensors would be a part of a DeepSpeed checkpoint
    state = {"a.weight": values, "b.weight": values[:17], "c.weight": torch.ones(3), "d.other": values[3:]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wmgp._histogram.measurement.SORTED_BELOW", 0)
        patch.setattr(half_precision, "CHUNK", 1000)
        by_value, as_float32 = measure_with(state, True, patch), measure_with(state, False, patch)
        assert by_value.histogram and as_float32.histogram
        for field in ("bins", "count", "low", "square"):
            np.testing.assert_array_equal(getattr(by_value.histogram, field), getattr(as_float32.histogram, field))
        for field, scale in (("n", 0), ("mean", 1), ("m2", 2), ("m3", 3), ("m4", 4)):
            largest = float(values.abs().max()) if len(values) else 0.0
            error = np.abs(getattr(by_value.tensor_moments, field) - getattr(as_float32.tensor_moments, field))
            assert np.all(error <= 1e-12 * (1 + by_value.tensor_moments.n) * max(largest, 1.0) ** scale), field
        n_pruned = N_PRUNED[N_PRUNED <= by_value.histogram.count.sum()]
        counts, expected = (m.count_pruned(m.levels(n_pruned), n_pruned) for m in (by_value, as_float32))
        for found, wanted in zip(counts, expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_rejected(dtype, bad, histogram):
    values = torch.randn(1000).to(dtype)
    values[500] = bad
    with pytest.raises(wmgp.InputError, match="b.weight: expected finite values"):
        wmgp.analyze({"a.weight": torch.randn(9).to(dtype), "b.weight": values})


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_constant_tensor_has_exactly_no_variance(dtype, histogram, monkeypatch):
    """Also if it spans several blocks: rounding errors alone would define a kurtosis."""
    monkeypatch.setattr(half_precision, "CHUNK", 333)
    moments = measure(collect({"a.weight": torch.full((1000,), -0.1).to(dtype)})).tensor_moments
    assert moments.m2[0] == 0 and moments.mean[0] == float(torch.tensor(-0.1).to(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask_dtype", [torch.float32, torch.bool])
def test_a_mask_of_another_dtype_does_not_change_half_precision(dtype, mask_dtype, histogram):
    """As in a state dict whose weights, but not masks, were converted to half precision."""
    weight, mask = torch.randn(1000, generator=torch.Generator().manual_seed(0)).to(dtype), torch.arange(1000) % 3 > 0
    found = wmgp.analyze({"a.weight_orig": weight, "a.weight_mask": mask.to(mask_dtype)})
    expected = wmgp.analyze({"a.weight": weight * mask})
    assert found.front.cosine.tolist() == expected.front.cosine.tolist() and found.kurtosis == expected.kurtosis


@pytest.mark.parametrize("max_bytes", [0, 30_000, 1 << 27])
def test_blocks_whose_counts_do_not_fit_are_read_again(monkeypatch, histogram, max_bytes):
    """Front and counts are the same with one pass and with two."""
    state = {f"{i}.weight": torch.randn(5000, generator=torch.Generator().manual_seed(i)).half() for i in range(4)}
    expected, reads = wmgp.analyze(state), []
    raw_block = Parameter.raw_block
    monkeypatch.setattr(half_precision, "MAX_COUNT_BYTES", max_bytes)
    monkeypatch.setattr(half_precision, "CHUNK", 1000)
    monkeypatch.setattr(Parameter, "raw_block", lambda p, a, b: reads.append((p.name, a)) or raw_block(p, a, b))
    found = wmgp.analyze(state)
    assert found.front.cosine.tolist() == expected.front.cosine.tolist()
    for column in ("pruned_at_optimal", "pruned_at_safe"):
        assert found.tensors[column].tolist() == expected.tensors[column].tolist()
    n_read_again = len(reads) - len(set(reads))
    assert (
        n_read_again == 20 if max_bytes == 0 else (0 < n_read_again < 20) if max_bytes == 30_000 else n_read_again == 0
    )
