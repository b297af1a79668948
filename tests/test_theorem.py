"""The statements and numbers of the page "The theorem, with its proof", and of "Errata"."""

import re
from itertools import combinations
from math import e, erf, exp, log, pi, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from torch.nn.utils import prune

import wmgp
from wmgp.pareto import safe_modifier

BOOK = Path(__file__).parents[1] / "book"
GRID = np.arange(101) / 100
X0: Any = optimize.brentq(lambda x: 2 * x**3 + x - 1, 0, 1, xtol=1e-15)
P0 = 1 - X0**2

small = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=8).filter(
    lambda entries: any(value for value, _ in entries)
)
magnitudes = st.lists(st.floats(0, 1e3, allow_subnormal=False), min_size=1, max_size=60).filter(lambda v: max(v) > 1e-3)
shares = st.floats(0.05, 1)  # the pool's share of the energy


def equal_distance(p):
    """Squared distance to utopia of equal magnitudes."""
    return (1 - p) ** 2 + (1 - np.sqrt(1 - p)) ** 2


def pruned_energy(values, share=1.0):
    """The pruned energy of L1 pruning as a function of the amount, linear between whole numbers of values."""
    energies = np.sort(np.square(np.asarray(values, dtype=float)))
    shares_lost = np.concatenate([[0], np.cumsum(energies)]) * share / energies.sum()
    return lambda p: np.interp(p, np.linspace(0, 1, energies.size + 1), shares_lost)


def distance(pruned_energy, p):
    """Squared distance to utopia."""
    return (1 - p) ** 2 + (1 - np.sqrt(np.maximum(1 - pruned_energy(p), 0))) ** 2


def masks(pool, k):
    """All sets of k positions of the pool."""
    return [list(chosen) for chosen in combinations(pool, k)]


def grid_answer(n):
    """The optimal amount of n equal magnitudes on the one-percent grid, with pruned counts rounded."""
    return GRID[np.argmin((1 - GRID) ** 2 + (1 - np.sqrt(1 - np.round(GRID * n) / n)) ** 2)]


def kurtosis_about_zero(values):
    """N sum v^4 / (sum v^2)^2."""
    squares = np.square(np.asarray(values, dtype=float))
    return squares.size * (squares**2).sum() / squares.sum() ** 2


# The theorem


@given(small)
def test_the_best_masks_prune_the_smallest_magnitudes(entries):
    values = np.array([value for value, _ in entries])
    pool = [i for i, (_, prunable) in enumerate(entries) if prunable]
    for k in range(len(pool) + 1):
        sets = masks(pool, k)
        kept = [int((values**2).sum() - (values[chosen] ** 2).sum()) for chosen in sets]  # integers: no rounding
        ordered = [
            all(abs(values[i]) <= abs(values[j]) for i in chosen for j in pool if j not in chosen) for chosen in sets
        ]
        assert [energy == max(kept) for energy in kept] == ordered


@given(small)
def test_cosine_is_kept_energy(entries):
    values = torch.tensor([float(value) for value, _ in entries], dtype=torch.float64)
    chosen = [i for i, (_, prunable) in enumerate(entries) if prunable]
    pruned = values.clone()
    pruned[chosen] = 0
    expected = sqrt(1 - float((values[chosen] ** 2).sum() / (values**2).sum()))
    if pruned.any():
        assert wmgp.cosine_similarity({"v": values}, {"v": pruned}) == pytest.approx(expected, abs=1e-12)
    else:
        assert expected == 0


def test_no_vector_with_the_same_zeros_comes_closer():
    rng = np.random.default_rng(0)
    v = rng.standard_normal(50)
    zeros = np.argsort(np.abs(v))[:30]
    u = v + rng.standard_normal((2000, 50)) * np.logspace(-3, 1, 2000)[:, None]
    u[:, zeros] = 0
    cosines = u @ v / (np.linalg.norm(u, axis=1) * np.linalg.norm(v))
    best = sqrt(1 - (v[zeros] ** 2).sum() / (v**2).sum())
    assert cosines.max() <= best + 1e-12
    assert cosines.max() == pytest.approx(best, abs=1e-4)


# Random pruning


@given(small)
def test_random_pruning_expectation_and_variance_by_enumeration(entries):
    values = np.array([float(value) for value, _ in entries])
    pool = [i for i, (_, prunable) in enumerate(entries) if prunable]
    energy, pool_energy = (values**2).sum(), (values[pool] ** 2).sum()
    for k in range(len(pool) + 1 if pool_energy else 0):
        squares = np.array([1 - (values[chosen] ** 2).sum() / energy for chosen in masks(pool, k)])
        p, rho = k / len(pool), pool_energy / energy
        assert squares.mean() == pytest.approx(1 - p * rho, abs=1e-12)
        assert np.sqrt(np.maximum(squares, 0)).mean() <= sqrt(max(1 - p * rho, 0)) + 1e-7
        if len(pool) > 1:
            k0 = kurtosis_about_zero(values[pool])
            expected = rho**2 * p * (1 - p) * (k0 - 1) / (len(pool) - 1)
            assert squares.var() == pytest.approx(expected, abs=1e-12)


def test_random_pruning_in_a_network():
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Linear(500, 400)
    masks_kept = wmgp.global_masks(model, 0.7, method="random", generator=generator)
    pruned = {name: value * masks_kept[name] for name, value in model.state_dict().items()}
    cosine = wmgp.cosine_similarity(model.state_dict(), pruned)
    energies = np.concatenate([value.double().numpy().ravel() for value in model.state_dict().values()])
    scatter = sqrt(0.7 * 0.3 * (kurtosis_about_zero(energies) - 1) / (energies.size - 1))
    assert abs(cosine**2 - 0.3) < 5 * scatter
    assert 1 - 0.99**2 == pytest.approx(0.02, abs=5e-4)  # the amount of random pruning at cosine 0.99


# The front and the floor


@given(magnitudes, shares)
def test_distance_and_its_square_are_convex(values, share):
    squared = distance(pruned_energy(values, share), np.linspace(0, 1, 401))
    for d in (squared, np.sqrt(squared)):
        assert np.diff(d, 2).min() >= -1e-9


@given(magnitudes, shares)
def test_every_distance_falls_at_least_as_fast_as_for_equal_magnitudes(values, share):
    p = np.linspace(0, 0.75, 301)
    assert np.diff(distance(pruned_energy(values, share), p) - equal_distance(p)).max() <= 1e-12


@given(magnitudes, shares)
def test_floor_in_the_continuum(values, share):
    p = np.linspace(0, P0, 200)
    assert np.diff(distance(pruned_energy(values, share), p)).max() < 0


def test_floor_root():
    assert 2 * X0**3 + X0 - 1 == pytest.approx(0, abs=1e-14)
    found: Any = optimize.minimize_scalar(equal_distance, bounds=(0, 1), method="bounded", options={"xatol": 1e-10})
    assert found.x == pytest.approx(P0, abs=1e-6)
    text = (BOOK / "theorem.md").read_text(encoding="utf-8")
    assert str(X0)[:9] in text and str(P0)[:9] in text


def normal_point(t):
    p = erf(t / sqrt(2))
    return p, sqrt(1 - p + t * sqrt(2 / pi) * exp(-(t**2) / 2))


def laplace_point(t):
    return 1 - exp(-t), sqrt(exp(-t) * (1 + t + t**2 / 2))


OPTIMA = {
    "all equal": (lambda p: (p, sqrt(1 - p)), 1, np.ones_like),
    "uniform": (lambda p: (p, sqrt(1 - p**3)), 1, lambda q: q),
    "normal": (normal_point, 6, lambda q: stats.norm.ppf(0.5 + q / 2)),
    "Laplace": (laplace_point, 20, lambda q: -np.log1p(-q)),
}


@pytest.mark.parametrize("name", OPTIMA)
def test_optimum_of_a_distribution(name):
    point, bound, quantile = OPTIMA[name]
    found: Any = optimize.minimize_scalar(
        lambda t: (1 - point(t)[0]) ** 2 + (1 - point(t)[1]) ** 2,
        bounds=(0, bound), method="bounded", options={"xatol": 1e-12},
    )  # fmt: skip
    printed = re.search(rf"\* - {name}\n  - ([\d.]+)\n  - ([\d.]+)", (BOOK / "theorem.md").read_text(encoding="utf-8"))
    assert printed is not None
    assert point(found.x) == pytest.approx([float(number) for number in printed.groups()], abs=1e-6)

    n = 2_000_000
    weights = torch.from_numpy(quantile((np.arange(n) + 0.5) / n))
    front = wmgp.pareto_front({"weight": weights}, amounts=np.linspace(0, 1, 10001))
    assert wmgp.optimal_amount(front) == pytest.approx(point(found.x)[0], abs=1e-4)


@given(magnitudes, st.floats(0, 1e3))
def test_floor_on_the_grid_without_rounding(values, kept_out):
    repeated = torch.tensor(values, dtype=torch.float64).repeat(100)  # 100 divides the pool: nothing is rounded
    source = {"weight": repeated, "embedding": torch.tensor([kept_out], dtype=torch.float64)}
    assert wmgp.optimal_amount(wmgp.pareto_front(source)) >= 0.65


def test_equal_magnitudes_attain_the_floor():
    assert wmgp.optimal_amount(wmgp.pareto_front({"weight": torch.ones(1000)})) == 0.65
    assert wmgp.analyze({"weight": torch.ones(1000)}).optimal.amount == 0.65


def test_rounding_breaks_the_floor():
    def h0(p):
        return (1 - sqrt(1 - p)) ** 2

    delta: Any = optimize.brentq(lambda d: h0(0.65 + d) - h0(0.64 - d) - (0.36**2 - 0.35**2), 0, 0.01, xtol=1e-15)
    assert int(np.ceil(1 / (2 * delta))) == 2148 and round(delta, 9) == 0.000232837
    for a in GRID[1:65]:
        assert h0(0.65 + delta) - h0(a - delta) <= (1 - a) ** 2 - 0.35**2 + 1e-12
    assert max(n for n in range(1, 5000) if grid_answer(n) < 0.65) == 1910
    assert wmgp.optimal_amount(wmgp.pareto_front({"weight": torch.ones(1910)})) < 0.65
    assert wmgp.optimal_amount(wmgp.pareto_front({"weight": torch.ones(1)})) == 0.5
    text = (BOOK / "theorem.md").read_text(encoding="utf-8")
    assert all(number in text for number in ("2148", "1910", "0.000232837"))


# Kurtosis


@given(magnitudes)
def test_kurtosis_caps_the_front(values):
    p = np.linspace(0, 1, 201)
    kept = 1 - pruned_energy(values)(p)
    assert (kept**2 <= kurtosis_about_zero(values) * (1 - p) + 1e-9).all()


def test_high_kurtosis_may_not_help():
    sizes = (10**3, 10**5, 10**7)
    one_outlier = [np.append(np.ones(n - 1), n ** (3 / 8)) for n in sizes]
    kurtoses = [kurtosis_about_zero(values) for values in one_outlier]
    gains = [
        (1 - pruned_energy(values)(0.8)) - 0.2 for values in one_outlier
    ]  # kept energy above that of equal magnitudes
    assert kurtoses[0] < kurtoses[1] < kurtoses[2] and kurtoses[2] > 1000
    assert gains[0] > gains[1] > gains[2] > 0 and gains[2] < 0.02


@given(magnitudes)
def test_kurtosis_gives_neff_and_pq_index(values):
    v = np.asarray(values)
    k0, scores = kurtosis_about_zero(v), v**2
    assert scores.sum() ** 2 / (scores**2).sum() / v.size == pytest.approx(1 / k0)
    pq = 1 - v.size ** (1 / 4 - 1 / 2) * np.linalg.norm(v, 2) / np.linalg.norm(v, 4)
    assert pq == pytest.approx(1 - k0 ** (-1 / 4), abs=1e-12)


def test_student_t_against_laplace():
    student, laplace = stats.t(5), stats.laplace()
    assert student.stats("k") + 3 == pytest.approx(9) and laplace.stats("k") + 3 == pytest.approx(6)
    q = (np.arange(1_000_000) + 0.5) / 1_000_000
    heavy = wmgp.analyze({"weight": torch.from_numpy(student.ppf(q))}, amounts=1001)
    light = wmgp.analyze({"weight": torch.from_numpy(laplace.ppf(q))}, amounts=1001)
    assert heavy.kurtosis > 8 > 7 > light.kurtosis
    assert light.optimal.amount > heavy.optimal.amount
    for cosine in (0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999):
        assert light.at_cosine(cosine).amount > heavy.at_cosine(cosine).amount


# The safe rule


def test_safe_modifier_jumps_at_e():
    assert safe_modifier(e * (1 - 1e-9)) == pytest.approx(log(2), abs=1e-6)
    assert safe_modifier(e * (1 + 1e-9)) == pytest.approx(1, abs=1e-6)


@given(st.floats(1.001, 2, exclude_max=True))
def test_safe_modifier_exceeds_one(k2):
    assert safe_modifier(k2) > 1
    assert wmgp.safe_amount(0.8, k2) == 0.8


def test_safe_modifier_has_no_limit():
    assert safe_modifier(1 + 1e-9) > 1e8


@pytest.mark.parametrize("seed", range(3))
def test_k2_of_two_tensors_is_one(seed):
    rng = np.random.default_rng(seed)
    pair = {f"{i}.weight": rng.standard_t(3 + i, 500) for i in range(2)}
    kurtoses = [stats.kurtosis(values, fisher=False) for values in pair.values()]
    assert stats.kurtosis(kurtoses, fisher=False) == pytest.approx(1, abs=1e-9)
    assert wmgp.safe_amount(0.8, 1.0) is None
    assert wmgp.analyze({name: torch.from_numpy(values) for name, values in pair.items()}).safe is None


def test_k2_of_three_tensors_is_constant():
    lists = np.random.default_rng(0).pareto(1, (1000, 3))
    assert stats.kurtosis(lists, axis=1, fisher=False) == pytest.approx(1.5)


def test_constant_tensor_has_no_kurtosis():
    assert np.isnan(wmgp.kurtosis(torch.ones(8)))
    assert np.isnan(stats.kurtosis([wmgp.kurtosis(torch.ones(8)), 3.0, 5.0], fisher=False))


@pytest.mark.parametrize("n", [2, 3, 5, 10, 62, 158])
def test_bound_of_kurtosis_of_kurtoses(n):
    bound = n - 2 + 1 / (n - 1)
    assert wmgp.kurtosis(torch.tensor([7.0] + [3.0] * (n - 1))) == pytest.approx(bound)
    rng = np.random.default_rng(n)
    lists = np.concatenate([rng.standard_normal((2000, n)), rng.pareto(0.3, (2000, n))])
    assert stats.kurtosis(lists, axis=1, fisher=False).max() <= bound * (1 + 1e-9)


# Arithmetic and networks


def test_float32_cosine_is_wrong():
    v = torch.randn(11_000_000, generator=torch.Generator().manual_seed(0)) * 0.02
    pruned = torch.where(v.abs() > 0.02, v, torch.zeros(()))
    published = float(torch.dot(v, pruned) / (v.norm() * pruned.norm()))
    exact = sqrt(float(pruned.double().square().sum() / v.double().square().sum()))
    assert abs(published - exact) > 1e-6
    assert wmgp.cosine_similarity({"v": v}, {"v": pruned}) == pytest.approx(exact, abs=1e-12)


def test_rescaling_keeps_the_outputs():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64))
    x = torch.randn(32, 64)
    before, outputs = wmgp.analyze(model), model(x)
    with torch.no_grad():
        for value in model[0].parameters():
            value *= 16  # a power of two: no rounding
        model.get_parameter("2.weight").div_(16)
    after = wmgp.analyze(model)
    torch.testing.assert_close(model(x), outputs, rtol=1e-5, atol=1e-6)
    assert abs(after.kurtosis - before.kurtosis) > 0.1
    assert np.abs(after.front.cosine - before.front.cosine).max() > 0.05
    assert after.optimal.amount != before.optimal.amount


def test_attention_projections_are_kept():
    model = torch.nn.MultiheadAttention(8, 2)
    kept_out = model.in_proj_weight.numel() + model.in_proj_bias.numel()
    result = wmgp.analyze(model)
    assert result.n_parameters == sum(value.numel() for value in model.parameters())
    assert result.n_parameters - result.n_prunable == kept_out
    assert "in_proj_weight" not in wmgp.global_masks(model, 0.5)


def test_integer_amount_prunes_one_weight():
    pruned = {type(amount): prune.l1_unstructured(torch.nn.Linear(4, 4), "weight", amount) for amount in (1, 1.0)}
    assert int((pruned[int].weight_mask == 0).sum()) == 1
    assert int((pruned[float].weight_mask == 0).sum()) == 16


def test_prune_remove_changes_the_order():
    layer = torch.nn.Linear(4, 4)
    before = [name for name, _ in layer.named_parameters()]
    prune.remove(prune.l1_unstructured(layer, "weight", 0.5), "weight")
    assert before == ["weight", "bias"] and [name for name, _ in layer.named_parameters()] == ["bias", "weight"]


def test_untrained_networks_get_an_answer():
    torch.manual_seed(0)
    assert wmgp.analyze(torch.nn.Sequential(torch.nn.Linear(100, 100), torch.nn.Linear(100, 10))).optimal.amount >= 0.65


# The pages


def test_errata_name_tests_that_exist():
    named = re.findall(r"`(test_\w+)`", (BOOK / "errata.md").read_text(encoding="utf-8"))
    assert len(named) > 15
    assert [name for name in named if not callable(globals().get(name))] == []
