"""MobileNetV2 on a sample of ImageNet, without training: on a made-up sample, with random weights."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from torch import nn

from studies.when_it_fails import imagenet_sample
from wmgp import InputError
from wmgp.experiments.data import image_data_from_arrays
from wmgp.experiments.results import provenance, tables
from wmgp.experiments.training import history, loop
from wmgp.pruning_methods import METHODS


@pytest.fixture
def sample(tmp_path, monkeypatch):
    """Three pictures of 40 x 40 pixels as if in a parquet file below WMGP_DATA: their pixels, [3, 40, 40, 3]."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    cells = []
    for picture in pixels:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        cells.append({"bytes": file.getvalue(), "path": ""})
    folder = tmp_path / imagenet_sample.FOLDER
    folder.mkdir()
    (folder / "part-0.parquet").touch()
    table = pd.DataFrame({"image": cells, "label": [0, 999, 5]})
    monkeypatch.setattr(pd, "read_parquet", lambda path: table)  # reading parquet needs another package
    monkeypatch.setenv("WMGP_DATA", str(tmp_path))
    return pixels


def test_images_are_normalised_for_the_weights(sample):
    data = imagenet_sample.load()
    assert data.labels.tolist() == [0, 999, 5] and data.classes == 1000
    np.testing.assert_array_equal(data.images.permute(0, 2, 3, 1).numpy(), sample)
    image = data.normalize(data.images)[1, 2, 3, 4].item()
    assert image == pytest.approx((sample[1, 3, 4, 2] / 255 - 0.406) / 0.225, rel=1e-5)


@pytest.mark.slow
def test_each_method_and_amount_has_a_row_without_training(sample, tmp_path, monkeypatch, capsys):
    from torchvision.models import mobilenet_v2

    fresh = mobilenet_v2(weights=None)
    monkeypatch.setattr(imagenet_sample, "mobilenet_v2", lambda: fresh)
    out = tmp_path / "out" / "rows.csv"
    with pytest.warns(UserWarning, match="expected at least 70%: its prunes are no evidence"):
        imagenet_sample.main(["--steps", "1", "--jobs", "1", "--out", str(out)])
    rows: Any = tables.read(out)
    assert sorted(zip(rows["method"], rows["amount"], strict=True)) == sorted((m, a) for m in METHODS for a in (0, 1))
    assert set(rows["epochs"]) == {0} and rows["accuracy"].equals(rows["accuracy_pruned"])
    nothing = rows[rows["amount"] == 0]
    assert nothing["accuracy"].equals(nothing["accuracy_parent"]) and nothing["agreement"].eq(1).all()
    [facts] = provenance.provenance(out).values()
    assert (
        facts["start"] == "IMAGENET1K_V1" and facts["parent_epochs"] == 0 and "10 rows added" in capsys.readouterr().out
    )
    [record] = history.read_parent_records(out.parent)
    assert record["parent_sha256"] == facts["parent_sha256"] and record["epochs"] == 0
    assert not list(out.parent.rglob("*.npz")), "nothing lies on a way without training"


def test_a_missing_sample_is_a_one_line_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WMGP_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match="2"):
        imagenet_sample.main(["--out", str(tmp_path / "rows.csv")])
    assert "expected parquet files of images" in capsys.readouterr().err.splitlines()[-1]
    (tmp_path / imagenet_sample.FOLDER).mkdir()
    (tmp_path / imagenet_sample.FOLDER / "part-0.parquet").touch()
    monkeypatch.setattr(pd, "read_parquet", lambda path: pd.DataFrame({"picture": [1], "label": [0]}))
    with pytest.raises(InputError, match="expected columns img or image, and label; found no image"):
        imagenet_sample.load()


def test_batches_of_large_images_are_small(monkeypatch):
    seen = []

    class Sizes(nn.Module):
        def forward(self, images):
            seen.append(len(images))
            return images.flatten(1)[:, :10]

    monkeypatch.setattr(loop, "EVALUATION_BATCH_PIXELS", 2 * 8 * 8)
    data = image_data_from_arrays("squares", np.zeros((5, 1, 8, 8), dtype=np.uint8), np.zeros(5))
    loop.evaluate(Sizes(), data)
    assert seen == [2, 2, 1]
