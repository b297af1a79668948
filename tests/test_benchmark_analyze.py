"""The benchmark of `analyze`: its table, and equal results on both sides."""

import numpy as np
import pytest

from benchmarks import analyze as benchmark
from benchmarks import synthetic_checkpoints, timing

pytestmark = pytest.mark.slow


def test_rows_become_a_table():
    big, small = ("a case", 1_234_567, "a peer", 0.5, 100.0), ("small", 0, "other", 2.0, 1.0, 99.6)
    rows = [benchmark.make_row(*big), benchmark.make_row(*small)]
    shown = benchmark.markdown_table(timing.csv_table(rows, "abc", benchmark.COLUMNS)).splitlines()
    assert shown[2] == "| a case | 1,234,567 | 0.5 | a peer | 200 |  |"
    assert shown[3] == "| small |  | 2 | other | 0.5 | 100 MiB |"


def test_written_files_are_valid(tmp_path):
    load_file = pytest.importorskip("safetensors.numpy").load_file
    synthetic_checkpoints.write_checkpoint(tmp_path / "m.safetensors", "float32", [100] * 3)
    tensors = load_file(tmp_path / "m.safetensors")
    assert list(tensors) == ["0.weight", "1.weight", "2.weight"]
    assert all(t.dtype == np.float32 and t.std() > 0.5 for t in tensors.values())


def test_both_sides_compute_the_same():
    import wmgp
    from wmgp.experiments import published_method

    net = benchmark.heavy_tailed("shufflenet_v2_x0_5")
    theirs = published_method.front(net, benchmark.AMOUNTS, exact=True)
    np.testing.assert_allclose(wmgp.pareto_front(net, benchmark.AMOUNTS).cosine, theirs.numpy(), atol=1e-9)
