"""LAMP and normalised L1 of large pools: counting prunes exactly what sorting every score prunes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import wmgp
from wmgp._histogram import measurement, scores

METHODS = ["lamp", "l1_normalized"]
AMOUNTS = [0, 1e-4, 0.1, 0.5, 0.9, 0.999, 1]
# Each row draws the values of one tensor: n, a generator.
SHAPES = {
    "normal": lambda n, rng: rng.standard_normal(n),
    "small": lambda n, rng: rng.standard_normal(n) * 1e-20,
    "heavy tails": lambda n, rng: rng.standard_t(2, n) * 10,
    "zeros": lambda n, rng: rng.standard_normal(n) * (rng.random(n) < 0.3),
    "uniform": lambda n, rng: rng.uniform(-1, 1, n),
    "wide": lambda n, rng: np.exp(rng.uniform(-40, 40, n)),
}


def kept(source, amount: float, method: str) -> np.ndarray:
    return np.concatenate([mask.numpy().ravel() for mask in wmgp.global_masks(source, amount, method).values()])


def both(monkeypatch, source, amount: float, method: str) -> tuple[np.ndarray, np.ndarray]:
    """The masks by counting and by sorting."""
    monkeypatch.setattr(measurement, "SORTED_BELOW", 0)
    counted = kept(source, amount, method)
    monkeypatch.setattr(measurement, "SORTED_BELOW", 10**12)
    return counted, kept(source, amount, method)


@pytest.mark.parametrize("counts_every_tensor", [False, True], ids=["", "small tensors too"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_counting_prunes_the_same_values_as_sorting(rng, monkeypatch, method, dtype, counts_every_tensor):
    if counts_every_tensor:
        monkeypatch.setattr(scores, "MIN_VALUES", 0)
    shapes = [shape for shape in SHAPES if dtype != torch.float16 or shape not in ("small", "wide")]
    state = {f"{shape}.weight": torch.from_numpy(SHAPES[shape](70_001, rng)).to(dtype) for shape in shapes}
    state |= {"few.weight": torch.tensor([3.0, -1.0, 2.0], dtype=dtype), "none.weight": torch.zeros(0, dtype=dtype)}
    for amount in AMOUNTS:
        counted, by_sorting = both(monkeypatch, state, amount, method)
        assert (counted != by_sorting).sum() == 0, amount
        assert (~counted).sum() == round(amount * counted.size)


@pytest.mark.parametrize("method", METHODS)
def test_equal_tensors_and_ties_are_pruned_in_the_same_order(rng, monkeypatch, method):
    """Small integers: every score is exact or equal to another."""
    monkeypatch.setattr(scores, "MIN_VALUES", 0)
    values = rng.integers(-3, 4, 2000).astype(np.float32)
    state = {"a.weight": values, "b.weight": values.copy(), "c.weight": np.zeros(500, dtype=np.float32)}
    for amount in np.linspace(0, 1, 41):
        counted, by_sorting = both(monkeypatch, state, float(amount), method)
        np.testing.assert_array_equal(counted, by_sorting)


@settings(max_examples=100)
@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, 1e-3]), max_size=8), min_size=1, max_size=4).filter(
        lambda tensors: any(any(values) for values in tensors) and sum(not values for values in tensors) < 3
    ),
    st.floats(0, 1),
    st.sampled_from(METHODS),
)
def test_no_pruned_score_is_above_a_kept_one(tensors, amount, method):
    """By the definitions of the scores, in exact order of magnitude within a tensor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measurement, "SORTED_BELOW", 0)
        patch.setattr(scores, "MIN_VALUES", 0)
        source = {f"{i}.weight": np.array(values, dtype=np.float32) for i, values in enumerate(tensors)}
        mask = kept(source, amount, method)
    expected = []
    for values in tensors:
        order = np.argsort(np.abs(values), kind="stable")
        square = np.square(values)[order] if len(values) else np.zeros(0)
        tail = np.cumsum(square[::-1])[::-1] if method == "lamp" else np.full(len(values), square.sum())
        score = np.empty(len(values))
        score[order] = square / np.where(tail > 0, tail, 1)
        expected.append(score)
    pooled = np.concatenate(expected)
    assert (~mask).sum() == round(amount * mask.size)
    assert pooled[~mask].max(initial=0) <= pooled[mask].min(initial=np.inf) * (1 + 1e-12)


@pytest.mark.parametrize("n", [1_000, 200_000])
@pytest.mark.parametrize("method", METHODS)
def test_nan_in_the_pool_is_refused_and_named(rng, method, n):
    values = rng.standard_normal(n).astype(np.float32)
    values[3] = np.nan
    source = {"a.weight": rng.standard_normal(150_000).astype(np.float32), "b.weight": values}
    with pytest.raises(wmgp.InputError, match=r"^b\.weight: expected finite values, found NaN or infinity$"):
        wmgp.global_masks(source, 0.5, method)
