"""The histogram of magnitudes: equal to sorting, independent of order and threads, and exact at the grid."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import wmgp
from wmgp._histogram import blocks
from wmgp._histogram.cuda import CudaHistogram
from wmgp._histogram.kernels import MAX_PACKED, N_SLOTS, count_float32, unpack_and_clear
from wmgp._histogram.magnitudes import Histogram
from wmgp._histogram.measurement import measure
from wmgp.parameters import Parameter, collect

GRID = np.arange(101) / 100


def sorted_front(values, amounts, unprunable_energy=0.0):
    """Cosines and thresholds by sorting in float64."""
    a = np.sort(np.abs(np.asarray(values, dtype=np.float64)).ravel())
    kept = np.append(np.cumsum((a**2)[::-1])[::-1], 0.0)
    n_pruned = np.rint(np.asarray(amounts) * a.size).astype(int)
    return np.sqrt((kept[n_pruned] + unprunable_energy) / (kept[0] + unprunable_energy)), np.append(np.nan, a)[n_pruned]


WEIGHTS = {
    "normal": lambda rng, n: rng.standard_normal(n) * 0.02,
    "heavy tails": lambda rng, n: rng.standard_t(2.5, n) * 0.02,
    "one value": lambda rng, n: np.full(n, 0.1),
    "two signs": lambda rng, n: rng.choice([-0.5, 0.5], n),
    "two neighbours": lambda rng, n: np.where(rng.random(n) < 0.5, 1.0, np.nextafter(np.float32(1), np.float32(2))),
    "one bin": lambda rng, n: 1 + rng.random(n) * 2**-12,
    "few levels": lambda rng, n: rng.integers(-7, 8, n) / 8,
    "mostly zero": lambda rng, n: rng.standard_normal(n) * (rng.random(n) < 0.05),
    "signed zeros": lambda rng, n: np.where(rng.random(n) < 0.5, -0.0, rng.standard_normal(n)),
    "subnormal": lambda rng, n: rng.standard_normal(n) * 1e-41,
    "all scales": lambda rng, n: rng.standard_normal(n) * 10.0 ** rng.uniform(-40, 30, n),
    "one giant": lambda rng, n: np.append(rng.standard_normal(n - 1) * 1e-3, 1e6),
}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("kind", WEIGHTS)
def test_the_grid_is_exact(kind, dtype, rng, histogram):
    with np.errstate(over="ignore"):
        values = torch.tensor(WEIGHTS[kind](rng, 20_011)).to(getattr(torch, dtype))
    values = torch.nan_to_num(values)  # float16 cannot represent the largest values
    if not values.any():
        values[0] = 1
    front = wmgp.pareto_front({"a.weight": values[:7000], "b.weight": values[7000:]})
    cosine, threshold = sorted_front(values.double().numpy(), GRID)
    np.testing.assert_allclose(front.cosine, cosine, atol=1e-9, rtol=0)
    np.testing.assert_array_equal(front.threshold, threshold)
    assert front.n_pruned[-1] == 20_011 and front.cosine[-1] == 0 and front.cosine[0] == 1


@pytest.mark.parametrize("kind", WEIGHTS)
def test_cosines_between_grid_points_are_exact_to_a_millionth(kind, rng, histogram):
    values = WEIGHTS[kind](rng, 30_000).astype(np.float32)
    a = wmgp.analyze({"w.weight": values})
    amounts = rng.random(300)
    expected, _ = sorted_front(values, amounts)
    found = np.array([a.at_amount(x).cosine for x in amounts])
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [1.0, 2.0**-30])
def test_a_bin_with_a_large_share_of_the_energy_is_refined(scale, histogram):
    """90 % of the values at one end of a bin and 10 % near the other, without a grid point between them."""
    values = np.repeat(np.array([1, 1 + 4000 * 2.0**-23, 2], dtype=np.float32) * np.float32(scale), [900, 100, 1])
    a = wmgp.analyze({"w.weight": values}, amounts=2)
    expected, thresholds = sorted_front(values, np.array([0.45, 0.95]))
    assert [a.at_amount(x).cosine for x in (0.45, 0.95)] == pytest.approx(expected.tolist(), abs=1e-12)
    assert [a.at_amount(x).threshold for x in (0.45, 0.95)] == thresholds.tolist()


def test_the_last_threshold_is_the_largest_magnitude():
    """Three values share a bin whose energy is too small for a refinement."""
    largest = np.array([1.5, 1.5 + 2.0**-22, 1.5 + 2.0**-20], dtype=np.float32)
    values = np.concatenate([largest, np.ones(3_000_000, dtype=np.float32)])
    assert wmgp.pareto_front({"w.weight": values}, [1.0]).threshold.tolist() == [1.5 + 2.0**-20]


def test_bins_of_a_single_value_are_not_refined(rng):
    """All bins of half-precision values hold a single value."""
    values = rng.standard_normal(50).astype(np.float32).repeat(10)
    levels = packed_histogram(values).levels(np.arange(1, 501), lambda bins: pytest.fail("refined"))
    np.testing.assert_array_equal(levels.largest.repeat(levels.count), np.sort(np.abs(values)))


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("target", [0.0, 0.3, 0.8, 0.99, 1.0])
def test_at_cosine_is_the_largest_amount_with_at_least_that_cosine(kind, target, rng, histogram):
    values = WEIGHTS[kind](rng, 30_000).astype(np.float32)
    point = wmgp.analyze({"w.weight": values}).at_cosine(target)
    n = values.size
    cosines, _ = sorted_front(values, np.arange(n + 1) / n)
    assert point.cosine >= target
    assert cosines[point.n_pruned] >= target - 1e-6
    assert point.n_pruned == n or cosines[point.n_pruned + 1] < target + 1e-6


def test_mixed_dtypes_share_one_pool(rng):
    tensors = {
        f"{dtype}.weight": torch.tensor(rng.standard_normal(30_000)).to(getattr(torch, dtype))
        for dtype in ("float16", "bfloat16", "float32")
    }
    tensors["more.weight"] = torch.randn(50_000, generator=torch.Generator().manual_seed(0))
    values = np.concatenate([t.double().numpy() for t in tensors.values()])
    cosine, threshold = sorted_front(values, GRID)
    front = wmgp.pareto_front(tensors)
    np.testing.assert_allclose(front.cosine, cosine, atol=1e-9, rtol=0)
    np.testing.assert_array_equal(front.threshold, threshold)
    # One float64 tensor makes the analysis sort all tensors, with the same result.
    tensors["double.weight"] = torch.tensor(rng.standard_normal(1000))
    values = np.concatenate([values, tensors["double.weight"].numpy()])
    np.testing.assert_allclose(wmgp.pareto_front(tensors).cosine, sorted_front(values, GRID)[0], atol=1e-9, rtol=0)


def test_unprunable_parameters_count_only_in_the_cosine(rng, histogram):
    weight, token = rng.standard_normal(5000).astype(np.float32), rng.standard_normal(300).astype(np.float32)
    front = wmgp.pareto_front({"a.weight": weight, "token": token})
    energy = float((token.astype(np.float64) ** 2).sum())
    np.testing.assert_allclose(front.cosine, sorted_front(weight, GRID, energy)[0], atol=1e-9, rtol=0)
    assert front.cosine[-1] > 0 and front.n_pruned[-1] == 5000


def packed_histogram(values):
    values = np.ascontiguousarray(values, dtype=np.float32)
    packed = np.zeros((1 << 19, 2), dtype=np.uint64)
    smallest, largest = count_float32(values, values.view(np.uint32), packed, np.zeros(6)) if values.size else (0, 0)
    histogram = Histogram(*unpack_and_clear(packed, int(smallest) >> 12, int(largest) >> 12))
    assert not packed.any()
    return histogram


def assert_equal_bits(a, b):
    for field in Histogram.__annotations__:
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))


@settings(max_examples=25)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=80), st.randoms())
def test_merged_histograms_are_bitwise_equal_in_any_order(values, random):
    whole = packed_histogram(values)
    shuffled = list(values)
    random.shuffle(shuffled)
    cut = random.randrange(len(values))
    a, b = packed_histogram(shuffled[:cut]), packed_histogram(shuffled[cut:])
    assert_equal_bits(Histogram.merged([a, b]), whole)
    assert_equal_bits(Histogram.merged([b, a]), whole)


@settings(max_examples=50)
@given(st.lists(st.sampled_from([0.0, -0.0, 1e-45, -1.0, 1.0001, 1.0002, 3.4e38]), min_size=1, max_size=19))
def test_bins_of_blocks_of_any_length_with_ties(values):
    """Each bin's count and sums equal those computed with Python's integers."""
    expected: dict[int, list[int]] = {}
    for bits in np.array(values, dtype=np.float32).view(np.uint32).tolist():
        row = expected.setdefault((bits & 0x7FFFFFFF) >> 12, [0, 0, 0])
        for i in range(3):
            row[i] += (bits & 0xFFF) ** i
    histogram = packed_histogram(values)
    columns = (c.tolist() for c in (histogram.bins, histogram.count, histogram.low, histogram.square))
    assert {b: row for b, *row in zip(*columns, strict=True)} == expected


def test_results_do_not_depend_on_threads_and_order(rng, monkeypatch, histogram):
    tensors = {f"{i}.weight": rng.standard_normal(300_000).astype(np.float32) for i in range(4)}
    reports = []
    for cores in ({0}, {0, 1, 2}):
        monkeypatch.setattr(blocks.os, "sched_getaffinity", lambda _, cores=cores: cores)
        monkeypatch.setattr(blocks, "CHUNK", 1 << 16)
        reports.append(wmgp.analyze(tensors).to_json())
    assert reports[0] == reports[1]
    forward, backward = (measure(collect(dict(items))) for items in (tensors.items(), reversed(tensors.items())))
    assert_equal_bits(forward.histogram, backward.histogram)


def test_packed_counters_are_emptied_before_they_overflow(rng, monkeypatch, histogram):
    from wmgp._histogram import kernels

    values = {"a.weight": np.full(200_000, 0.75, dtype=np.float32), "b.weight": rng.random(9000).astype(np.float32)}
    plain = measure(collect(values)).histogram
    monkeypatch.setattr(kernels, "MAX_PACKED", 70_000)
    monkeypatch.setattr(blocks, "CHUNK", 1 << 16)
    assert_equal_bits(measure(collect(values)).histogram, plain)


def test_packed_counters_cannot_overflow():
    """With the largest slot for every value, the sum of slots fits below the count, and the squares in 64 bits."""
    assert MAX_PACKED * (N_SLOTS - 1) < 1 << 38
    assert MAX_PACKED << 38 < 1 << 64
    assert MAX_PACKED * (N_SLOTS - 1) ** 2 < 1 << 63


def test_torch_operations_give_the_same_histogram_as_the_kernels(rng, monkeypatch, histogram):
    """The CUDA path, run on the CPU: bitwise equal histogram and front, moments equal to rounding."""
    values = {
        "a.weight": torch.tensor(rng.standard_t(3, 40_000), dtype=torch.float32),
        "b.bias": torch.tensor(rng.standard_normal(2000), dtype=torch.bfloat16),
        "token": torch.ones(10),
        "empty.weight": torch.zeros(0, 3),
    }
    on_cpu = wmgp.analyze(values)
    bits = measure(collect(values)).histogram
    monkeypatch.setattr(Parameter, "on_cuda", property(lambda self: True))
    with_torch = wmgp.analyze(values)
    assert_equal_bits(measure(collect(values)).histogram, bits)
    np.testing.assert_array_equal(with_torch.front.cosine, on_cpu.front.cosine)
    np.testing.assert_array_equal(with_torch.front.threshold, on_cpu.front.threshold)
    assert with_torch.kurtosis == pytest.approx(on_cpu.kurtosis, rel=1e-12)
    assert with_torch.tensors.pruned_at_optimal.tolist() == on_cpu.tensors.pruned_at_optimal.tolist()


@pytest.mark.parametrize("n", [1, 2048, 9001])
@pytest.mark.parametrize("prunable", [True, False])
def test_torch_operations_give_the_same_counts_for_one_block(n, prunable, rng):
    """Counts, moments and the largest magnitude of one block with zeros and subnormals among its values."""
    values = torch.tensor(rng.standard_t(3, n), dtype=torch.float32)
    values[::3], values[0] = 0, -1e-42
    histogram, expected_row, row = CudaHistogram(torch.device("cpu")), np.zeros(6), np.zeros(6)
    largest = histogram.add(values, prunable, row)
    packed = np.zeros((1 << 19, 2), dtype=np.uint64)
    block = values.numpy()
    _, expected_largest = count_float32(block, block.view(np.uint32), packed, expected_row)
    assert largest == expected_largest
    np.testing.assert_allclose(row, expected_row, rtol=1e-12, atol=1e-9)
    assert_equal_bits(histogram.histogram(), packed_histogram(block if prunable else []))


@pytest.mark.parametrize("scale", [1e-200, 1e-75, 1e75, 1e200])
def test_magnitudes_whose_fourth_powers_overflow_or_underflow_are_rejected(scale, rng):
    with pytest.raises(wmgp.InputError, match=r"^b\.weight: expected a largest magnitude between 1e-70 and 1e\+70"):
        wmgp.analyze({"a.weight": np.zeros(4), "b.weight": rng.standard_normal(50) * scale})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [10, 200_000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_infinity_are_rejected_by_name(bad, size, dtype, rng):
    good, wrong = rng.standard_normal((2, size)).astype(dtype)
    wrong[size // 2] = bad
    with pytest.raises(wmgp.InputError, match=r"^layer\.weight: .*NaN or infinity$"):
        wmgp.analyze({"first.weight": good, "layer.weight": wrong})
    with pytest.raises(wmgp.InputError, match=r"^token: "):
        wmgp.analyze({"first.weight": good, "token": wrong}, pool="all")
    outside = wmgp.analyze({"first.weight": good, "token": wrong})  # outside the pool: left out, with a warning
    assert outside.n_parameters == size and "left out for NaN or infinity" in outside.warnings[0]


@pytest.mark.parametrize("size", [10, 200_000])
@pytest.mark.parametrize(("dtype", "bits"), [("float32", 0x7FA00000), ("bfloat16", 0x7FA0), ("float16", 0x7D00)])
def test_a_signalling_nan_is_rejected_without_a_warning(dtype, bits, size):
    weight = torch.ones(size, dtype=getattr(torch, dtype))
    weight.view(torch.int32 if dtype == "float32" else torch.int16)[size // 2] = bits
    for function in (wmgp.analyze, wmgp.kurtosis_of_kurtoses, lambda source: wmgp.global_masks(source, 0.5)):
        with pytest.raises(wmgp.InputError, match=r"^w\.weight: .*NaN or infinity$"):
            function({"w.weight": weight})
    with pytest.raises(wmgp.InputError, match="NaN or infinity$"):
        wmgp.kurtosis(weight)
    assert np.isnan(wmgp.cosine_similarity({"w.weight": weight}, {"w.weight": weight}))
