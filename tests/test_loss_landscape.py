"""Loss landscapes: closed forms on a quadratic bowl, filter normalisation, and a small measurement."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import wmgp
from studies.loss_landscape import measure
from wmgp import InputError
from wmgp.experiments import data, models
from wmgp.experiments.results import array_files
from wmgp.experiments.statistics import surfaces
from wmgp.experiments.training import history, recipes

TICKS = np.array([-1.0, 0.0, 0.5, 2.0])


def bowl(weights):
    """Half the squared length of all weights."""
    return sum(float((w.double() ** 2).sum()) for w in weights.values()) / 2


def unit(i, j):
    direction = torch.zeros(2, 3)
    direction[i, j] = 1
    return {"w": direction}


def test_a_quadratic_bowl_around_its_lowest_point():
    """|a u + b v|^2 / 2 = (a^2 + b^2) / 2 for orthogonal unit directions."""
    surface = measure.loss_on_plane(bowl, {"w": torch.zeros(2, 3)}, (unit(0, 0), unit(1, 2)), TICKS)
    np.testing.assert_allclose(surface, (TICKS[:, None] ** 2 + TICKS**2) / 2)


def test_a_rotated_bowl_has_the_same_surface_in_rotated_directions(rng):
    """Any two orthogonal unit directions span the same circular bowl; a shift moves its minimum."""
    q, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    u, v = ({"w": torch.from_numpy(q[:, i].reshape(2, 3))} for i in (0, 1))
    centre = {"w": 0.75 * u["w"] - 2 * v["w"]}
    surface = measure.loss_on_plane(bowl, centre, (u, v), TICKS)
    np.testing.assert_allclose(surface, ((0.75 + TICKS[:, None]) ** 2 + (TICKS - 2) ** 2) / 2, atol=1e-12)
    assert surface.argmin() == np.ravel_multi_index((0, 3), surface.shape)


def test_a_line_through_the_bowl():
    start, end = {"w": torch.tensor([[2.0, 0.0]])}, {"w": torch.tensor([[0.0, 0.0]])}
    np.testing.assert_allclose(measure.loss_along_line(bowl, start, end, TICKS), 2 * (1 - TICKS) ** 2)


def test_filters_of_a_direction_have_the_norms_of_the_network():
    weights = {
        "conv": torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1)),
        "linear": torch.randn(3, 7, generator=torch.Generator().manual_seed(2)),
        "bias": torch.ones(4),
    }
    weights["conv"][2] = 0
    direction = measure.filter_normalized_direction(weights, torch.Generator().manual_seed(0))
    for name in ("conv", "linear"):
        lengths = (w[name].flatten(1).norm(dim=1) for w in (weights, direction))
        torch.testing.assert_close(*lengths)
    assert not direction["conv"][2].any() and not direction["bias"].any()
    assert torch.isfinite(direction["conv"]).all() and direction["conv"][0].any()
    again = measure.filter_normalized_direction(weights, torch.Generator().manual_seed(0))
    assert all(torch.equal(direction[name], again[name]) for name in weights)


def test_rescaled_weights_have_the_rescaled_direction():
    weights = {"w": torch.randn(4, 9, generator=torch.Generator().manual_seed(1))}
    plain, tenfold = (
        measure.filter_normalized_direction({"w": scale * weights["w"]}, torch.Generator().manual_seed(0))["w"]
        for scale in (1, 10)
    )
    torch.testing.assert_close(tenfold, 10 * plain)


def test_the_distance_is_the_largest_difference():
    assert surfaces.surface_distance(np.array([[1.0, -2], [0, 5]]), np.array([[1.0, 2], [-1, 4]])) == 4


@pytest.fixture(scope="module")
def few():
    whole = data.load("digits", False)
    return whole.first(50)


def test_surfaces_pass_through_the_initial_network_and_the_parent(few):
    parent, initial = models.build("lenet5", 1), models.build("lenet5", 2)
    line, plane = np.array([0.0, 1.0]), np.array([-0.5, 0.0])
    found = measure.measure(parent, initial, few, 7, line, plane)
    loss = measure.make_loss_function(parent, few)
    assert found["line"].shape == (3, 2) and found["plane"].shape == (3, 2, 2)
    assert found["line"][:, 0] == pytest.approx(loss(measure.float_state(initial)), abs=1e-6)
    np.testing.assert_allclose(found["line"][:, 1], found["plane"][:, 1, 1], atol=1e-6)
    assert found["plane"][0, 1, 1] == pytest.approx(loss(measure.float_state(parent)), abs=1e-9)
    assert surfaces.surface_distance(found["plane"][0], found["plane"][2]) > 0
    assert found["cosine"][0] == 1 and found["cosine"][1] == pytest.approx(0.99, abs=1e-4)
    assert found["amount"][1] == wmgp.analyze(parent).at_cosine(0.99).amount
    assert found["amount"][2] == pytest.approx(0.0199) and found["cosine"][2] == pytest.approx(0.99, abs=2e-3)


@pytest.mark.slow
def test_a_record_has_its_provenance(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "experiment_config", lambda *names: replace(recipes.DIGITS_CONFIG, epochs=1))
    monkeypatch.setattr(measure, "measure", lambda *a: {"line": np.zeros((3, 2)), "images": np.array(len(a[2]))})
    out = tmp_path / "made" / "landscape.npz"
    options = ["--data", "digits", "--seeds", "0", "3", "--images", "30", "--points", "5", "3", "--out", str(out)]
    measure.main(options)
    arrays, facts = array_files.read_arrays(out)
    assert arrays["seeds"].tolist() == facts["seeds"] == [0, 3] and arrays["line"].shape == (2, 3, 2)
    assert arrays["line_ticks"].tolist() == [0, 0.375, 0.75, 1.125, 1.5]
    assert arrays["plane_ticks"].tolist() == [-1, 0, 1]
    assert arrays["images"].tolist() == [30, 30] == [facts["images"]] * 2 and facts["parent_epochs"] == 1
    assert {"commit", "source_sha256", "data_sha256", "parent_sha256"} <= set(facts)
    assert capsys.readouterr().out == "seed 0\nseed 3\n"
    assert sorted(path.name for path in out.parent.iterdir()) == ["landscape.json", "landscape.npz", "parents"]
    parent, other = (record["parent_sha256"] for record in history.read_parent_records(out.parent))
    assert facts["parent_sha256"] == {"0": parent, "3": other}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--network", "resnet18", "--data", "nothing"], "data 'nothing': expected one of"),
        (["--points", "61", "30"], "points 30: expected an odd number"),
    ],
)
def test_invalid_arguments_are_refused(options, said, capsys, tmp_path):
    with pytest.raises(SystemExit):
        measure.main([*options, "--out", str(tmp_path / "x.npz")])
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_invalid_records_are_refused(tmp_path):
    broken = tmp_path / "a.npz"
    for content in (None, b"", b"PK\x03\x04 not a whole archive"):
        if content is not None:
            broken.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.npz: expected recorded arrays"):
            array_files.read_arrays(broken)
    np.savez(broken, x=np.ones(2))
    with pytest.raises(InputError, match=r"a\.npz: expected recorded arrays.*a\.json"):
        array_files.read_arrays(broken)
