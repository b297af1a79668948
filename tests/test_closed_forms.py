"""The closed-form fronts agree with tables, SciPy's distributions, numerical integrals and `analyze`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

import wmgp
from wmgp import closed_forms as cf

ALL = [
    cf.equal(),
    cf.uniform(),
    cf.normal(),
    cf.laplace(),
    cf.student_t(5),
    cf.student_t(12),
    cf.generalised_normal(0.7),
    cf.generalised_normal(6),
    cf.normal_mixture(0.1, 4),
    cf.two_levels(0.05, 5),
]
each = pytest.mark.parametrize("d", ALL, ids=lambda d: d.name)


@pytest.mark.parametrize(
    ("d", "amount", "cosine"),
    [
        (cf.equal(), 0.6521896, 0.5897545),
        (cf.uniform(), 0.7451371, 0.7656879),
        (cf.normal(), 0.8007836, 0.8053143),
        (cf.laplace(), 0.8435333, 0.8460946),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_known_optima(d, amount, cosine):
    assert (d.optimal.amount, d.optimal.cosine) == pytest.approx((amount, cosine), abs=6e-8)


@each
def test_the_optimum_is_the_least_distance(d):
    amounts = np.linspace(0, 1, 100_001)
    assert d.optimal.amount == pytest.approx(amounts[np.argmin(d.distance(amounts))], abs=1.01e-5)
    assert d.optimal.distance <= d.distance(amounts).min()


@each
def test_pruned_energy_is_the_integral_of_the_squared_magnitude(d):
    def square(p):
        return float(d.magnitude(np.array([p]))[0]) ** 2

    for p in (0.2, 0.5, 0.9, 0.99):
        jump = [0.95] if p > 0.95 else None  # the jump of two_levels
        assert d.pruned_energy(np.array([p]))[0] == pytest.approx(
            integrate.quad(square, 0, p, points=jump)[0], abs=1e-9
        )
    assert d.pruned_energy(np.array([0.0, 1.0])) == pytest.approx([0, 1], abs=1e-12)


@pytest.mark.parametrize(
    ("d", "law"),
    [
        (cf.uniform(), stats.uniform(-1, 2)),
        (cf.normal(), stats.norm()),
        (cf.laplace(), stats.laplace()),
        (cf.student_t(5), stats.t(5)),
        (cf.student_t(4.5), stats.t(4.5)),
        (cf.generalised_normal(0.7), stats.gennorm(0.7)),
        (cf.generalised_normal(6), stats.gennorm(6)),
    ],
    ids=lambda x: getattr(x, "name", ""),
)
def test_quantiles_and_kurtosis_agree_with_scipy(d, law):
    p = np.linspace(0, 0.999, 50)
    assert d.magnitude(p) == pytest.approx(law.ppf((1 + p) / 2) / law.std(), rel=1e-9, abs=1e-12)
    assert d.kurtosis == pytest.approx(law.stats("k") + 3)


def test_kurtosis_of_mixtures_by_hand():
    # a tenth of the weights twice as wide: mean square 0.9 + 0.4 = 1.3, mean fourth power 3 (0.9 + 1.6) = 7.5
    assert cf.normal_mixture(0.1, 2).kurtosis == pytest.approx(7.5 / 1.3**2)
    # a fifth of the weights three times as large: mean square 0.8 + 1.8 = 2.6, mean fourth power 0.8 + 16.2 = 17
    assert cf.two_levels(0.2, 3).kurtosis == pytest.approx(17 / 2.6**2)
    assert cf.two_levels(0.2, 3).pruned_energy(np.array([0.8, 0.9])) == pytest.approx([0.8 / 2.6, 1.7 / 2.6])


def test_special_cases_of_the_families():
    p = np.linspace(0, 0.999, 200)
    for one, other in (
        (cf.generalised_normal(1), cf.laplace()),
        (cf.generalised_normal(2), cf.normal()),
        (cf.normal_mixture(0.3, 1), cf.normal()),
        (cf.two_levels(0.3, 1), cf.equal()),
    ):
        assert one.cosine(p) == pytest.approx(other.cosine(p), abs=1e-12)
        assert one.kurtosis == pytest.approx(other.kurtosis)
    assert cf.student_t(1e6).cosine(p) == pytest.approx(cf.normal().cosine(p), abs=1e-5)


@each
def test_analyze_finds_the_same_front(d):
    a = wmgp.analyze({"weight": d.weights(200_000)})
    assert a.front.cosine == pytest.approx(d.cosine(a.front.amount), abs=2e-3 if d.name == "Student-t(5)" else 3e-4)
    assert a.optimal.amount == pytest.approx(d.optimal.amount, abs=0.0101)


@each
@pytest.mark.parametrize("cosine", [0.3, 0.9, 0.99, 0.9999])
def test_amount_at_inverts_the_front(d, cosine):
    assert d.cosine(d.amount_at(cosine)) == pytest.approx(cosine, abs=1e-9)


@each
def test_the_ends_of_the_front(d):
    assert d.cosine([0, 1]).tolist() == pytest.approx([1, 0], abs=1e-7)
    assert (d.amount_at(0), d.amount_at(1)) == (1, 0)
    assert d.cosine(np.full((2, 3), 0.5)).shape == (2, 3) and d.distance(0.5).shape == ()


def test_random_pruning_is_the_front_of_equal_magnitudes(rng):
    v = rng.standard_t(5, 4000)
    kept = np.array([rng.permutation(4000) < 1200 for _ in range(300)])  # 70% pruned
    squares = (kept * v**2).sum(axis=1) / (v**2).sum()
    assert squares.mean() == pytest.approx(float(cf.equal().cosine(0.7)) ** 2, abs=5 * squares.std() / np.sqrt(300))


def test_smallest_optimum_solves_its_equation_and_is_attained_by_equal_magnitudes():
    floor, equal = cf.smallest_optimum(), cf.equal().optimal
    assert (floor.amount, floor.cosine, floor.threshold, floor.distance) == pytest.approx(
        (equal.amount, equal.cosine, equal.threshold, equal.distance), abs=1e-12
    )
    assert 2 * floor.cosine**3 + floor.cosine - 1 == pytest.approx(0, abs=1e-12)
    assert floor.amount == pytest.approx(1 - floor.cosine**2, abs=1e-12)


@given(share=st.floats(1e-4, 0.999), ratio=st.floats(1, 1e3))
def test_two_levels_stay_above_the_smallest_optimum(share, ratio):
    assert cf.two_levels(share, ratio).optimal.amount >= cf.smallest_optimum().amount - 1e-9


@given(shape=st.floats(0.3, 50), df=st.floats(2.1, 1e4))
def test_families_stay_above_the_smallest_optimum(shape, df):
    assert cf.generalised_normal(shape).optimal.amount > cf.smallest_optimum().amount
    assert cf.student_t(df).optimal.amount > cf.smallest_optimum().amount


def test_student_t_has_higher_kurtosis_and_smaller_amounts_than_laplace():
    t, laplace = cf.student_t(5), cf.laplace()
    assert t.kurtosis == pytest.approx(9) and laplace.kurtosis == 6
    for cosine in (0.6, 0.8, 0.9, 0.99, 0.999):
        assert t.amount_at(cosine) < laplace.amount_at(cosine)
    assert t.optimal.amount < laplace.optimal.amount


def test_undefined_kurtosis_is_infinite():
    assert cf.student_t(4).kurtosis == cf.student_t(2.5).kurtosis == np.inf


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cf.student_t(2), "df 2: expected a finite number above 2"),
        (lambda: cf.student_t(float("inf")), "df inf"),
        (lambda: cf.student_t(float("nan")), "df nan"),
        (lambda: cf.generalised_normal(0), "shape 0: expected a finite number above 0"),
        (lambda: cf.normal_mixture(0, 2), "share 0, ratio 2: expected a share between 0 and 1"),
        (lambda: cf.two_levels(0.5, 0.9), "share 0.5, ratio 0.9: .* ratio of at least 1"),
        (lambda: cf.normal().amount_at(1.5), r"cosine 1.5: expected a value in \[0, 1\]"),
    ],
)
def test_invalid_arguments_are_errors(make, message):
    with pytest.raises(wmgp.InputError, match=message):
        make()
