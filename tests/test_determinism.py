"""Results are bitwise equal for any threads, blocks and shards, and equal to recorded ones for known networks.

`python tests/test_determinism.py` records golden/histograms.json again, from the available files.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import wmgp
from wmgp import cli
from wmgp._histogram import blocks, half_precision, measurement
from wmgp._histogram.measurement import measure
from wmgp.io.checkpoints import open_checkpoint
from wmgp.parameters import collect

GOLDEN = Path(__file__).with_name("golden") / "histograms.json"
PARENTS = Path(__file__).parent.parent / "results" / "parents"
NAMES = ["lenet5-mnist-seed0", "lenet5-fashion_mnist-seed0", "lenet_small-cifar10-jpeg-seed0"]
FILES = {
    "mobilenet_v2-b0353104.pth": Path(torch.hub.get_dir(), "checkpoints", "mobilenet_v2-b0353104.pth"),
    **{name: PARENTS / f"{name}.safetensors" for name in NAMES},
}


def digest(path_or_tensors) -> str:
    """The sha256 of the histogram: bins, counts, sums of the low bits and of their squares, as 64-bit integers."""
    histogram, sha = measure(collect(path_or_tensors)).histogram, hashlib.sha256()
    for field in ("bins", "count", "low", "square"):
        sha.update(np.ascontiguousarray(getattr(histogram, field), dtype="<i8").tobytes())
    return sha.hexdigest()


def golden(path: Path) -> dict[str, Any]:
    a = wmgp.analyze(path)
    assert a.safe is not None
    return {
        "file": hashlib.sha256(path.read_bytes()).hexdigest(),
        "histogram": digest(path),
        "n_parameters": a.n_parameters,
        "n_prunable": a.n_prunable,
        "kurtosis": a.kurtosis,
        "kurtosis_of_kurtoses": a.kurtosis_of_kurtoses,
        "optimal": [a.optimal.amount, a.optimal.cosine, a.optimal.threshold],
        "safe": [a.safe.amount, a.safe.cosine, a.safe.threshold],
        "cosine 0.99": [a.at_cosine(0.99).amount, a.at_cosine(0.99).n_pruned],
    }


@pytest.mark.parametrize("name", FILES)
def test_known_networks_give_the_recorded_results(name, histogram):
    """Histograms are bitwise equal on any machine; sums of floats agree to thirteen digits."""
    recorded, path = json.loads(GOLDEN.read_text())[name], FILES[name]
    if not path.is_file():
        pytest.skip(
            f"no {path.name}: set TORCH_HOME to a folder that has it" if path.suffix == ".pth" else f"no {path}"
        )
    found = golden(path)
    if found["file"] != recorded["file"]:
        pytest.skip(f"{path.name} differs from the recorded file")
    for key, value in recorded.items():
        assert found[key] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-13)), key


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(1)
    tensors = {
        f"layer{i}.weight": torch.tensor(rng.standard_t(3, n)) for i, n in enumerate((300_000, 70_001, 9, 150_000))
    }
    kinds = (torch.float32, torch.bfloat16, torch.float32, torch.float16)
    return {name: t.to(kind) for (name, t), kind in zip(tensors.items(), kinds, strict=True)} | {"token": torch.ones(5)}


@pytest.fixture
def threads(monkeypatch):
    """Set the number of threads of the package, torch and numba."""
    before = torch.get_num_threads(), numba.get_num_threads()

    def set_to(n: int) -> None:
        monkeypatch.setattr(blocks.os, "sched_getaffinity", lambda _: set(range(n)))
        torch.set_num_threads(n)
        numba.set_num_threads(min(n, before[1]))

    yield set_to
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_reports_and_prunes_are_bitwise_equal_with_any_number_of_threads(tmp_path, state, threads, ending, monkeypatch):
    monkeypatch.setattr(blocks, "CHUNK", 1 << 16)  # several blocks per thread
    source, reports, prunes = tmp_path / f"x.{ending}", set(), set()
    save_file(state, source) if ending == "safetensors" else torch.save(state, source)
    for n in (1, 2, 4):
        threads(n)
        reports.add(wmgp.analyze(source).to_json())
        with pytest.raises(SystemExit) as caught:
            cli.main(["prune", str(source), str(tmp_path / "out"), "--amount", "optimal", "--force"])
        assert not caught.value.code
        pruned = open_checkpoint(tmp_path / "out").tensors
        values = [t if ending == "pt" else t.tensor() for t in pruned.values()]
        prunes.add(b"".join(t.view(torch.uint8).numpy().tobytes() for t in values))
    assert len(reports) == len(prunes) == 1


def test_histograms_are_bitwise_equal_with_blocks_of_any_size(state, monkeypatch, histogram):
    found, kurtoses = set(), []
    for size in (1 << 12, 9_973, 1 << 16, 1 << 20):
        monkeypatch.setattr(blocks, "CHUNK", size)
        monkeypatch.setattr(half_precision, "CHUNK", size)
        a = wmgp.analyze(state)
        found.add((digest(state), a.optimal.amount, a.optimal.threshold, a.optimal.n_pruned))
        kurtoses.append([a.kurtosis, a.kurtosis_of_kurtoses, *a.front.cosine])
    assert len(found) == 1
    np.testing.assert_allclose(kurtoses, [kurtoses[0]] * 4, rtol=1e-12)


def test_fronts_are_bitwise_equal_for_any_order_of_shards(tmp_path, state, histogram):
    names, fronts, prunes = list(state), set(), set()
    for number, order in enumerate(([0, 1, 2, 3, 4], [4, 2, 0, 3, 1], [3, 1, 4, 0, 2])):
        folder = tmp_path / str(number)
        folder.mkdir()
        parts = {f"{i}.safetensors": names[i] for i in order}
        for file, name in parts.items():
            save_file({name: state[name]}, folder / file)
        table = {name: file for file, name in parts.items()}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
        a = wmgp.analyze(folder)
        fronts.add((digest(folder), a.front.cosine.tobytes(), a.front.threshold.tobytes()))
        prunes.add(tuple(a.tensors.sort_values("name").pruned_at_optimal))
    assert len(fronts) == 1 and len(prunes) == 1


if __name__ == "__main__":
    measurement.SORTED_BELOW = 0
    results = {name: golden(path) for name, path in FILES.items()}
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(results, indent=1) + "\n")
