"""Checkpoint files: recognised by content, refused in one line, written with the pruned weights at zero."""

import builtins
import errno
import json
import os
import pickle
import resource
import shutil
import struct
import subprocess
import sys
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import wmgp
from wmgp.errors import InputError
from wmgp.io.checkpoints import open_checkpoint
from wmgp.io.safetensors_files import MappedTensor
from wmgp.io.writing import save_pruned

FLOATS = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def one_line(message) -> str:
    text = str(message)
    assert text and "\n" not in text and "\x1b" not in text
    return text


def refused(path, *words, key=None):
    """Check that open_checkpoint refuses the path in one line with its name and all words."""
    with pytest.raises(InputError) as caught:
        open_checkpoint(path, key)
    text = one_line(caught.value)
    assert Path(path).name in text
    for word in words:
        assert word in text, text


def tensors() -> dict[str, torch.Tensor]:
    """A tensor of every floating dtype and some that cannot be analysed; names not in alphabetical order."""
    generator = torch.Generator().manual_seed(0)
    floats = {f"z.{name}": torch.randn(5, 7, generator=generator).to(dtype) for name, dtype in FLOATS.items()}
    return {
        **floats,
        "count": torch.arange(4),
        "flag": torch.tensor([True, False]),
        "b.complex": torch.ones(3, dtype=torch.complex64),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5),
    }


def safetensors_bytes(header: dict[str, Any] | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(start: int, stop: int, shape=None) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape or [(stop - start) // 4], "data_offsets": [start, stop]}


def shards(folder: Path, index: bool = True) -> Path:
    """Two shards; with an index, the second is in a subfolder."""
    second = "more/b.safetensors" if index else "b.safetensors"
    (folder / second).parent.mkdir(parents=True, exist_ok=True)
    save_file({"one.weight": torch.arange(1.0, 7.0).reshape(2, 3)}, folder / "a.safetensors", {"shard": "a"})
    save_file({"two.weight": torch.arange(1.0, 5.0), "n": torch.arange(2)}, folder / second)
    if index:
        table = {"two.weight": second, "one.weight": "a.safetensors", "n": second}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    return folder


class Evil:
    """Unpickling this would create a file."""

    def __init__(self, witness):
        self.witness = str(witness)

    def __reduce__(self):
        return builtins.open, (self.witness, "w")


# Reading


def test_safetensors_gives_every_tensor_in_the_files_order(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(tensors(), path)
    opened = open_checkpoint(path)
    with safe_open(path, "pt") as file:
        written = {name: file.get_tensor(name) for name in file.offset_keys()}
    assert (opened.format, opened.key, list(opened.tensors)) == ("safetensors", None, list(written))
    for name, tensor in opened.tensors.items():
        assert tensor.shape == tuple(written[name].shape) and tensor.n == written[name].numel()
        assert f"torch.{tensor.dtype}" == str(written[name].dtype)
        assert tensor.tensor().dtype == written[name].dtype
        assert torch.equal(tensor.tensor(), written[name])


@pytest.mark.parametrize("dtype", FLOATS)
def test_bits_are_a_read_only_view_of_the_file(tmp_path, dtype):
    values = tensors()[f"z.{dtype}"]
    save_file({"w": values}, tmp_path / "x.safetensors")
    stored = open_checkpoint(tmp_path / "x.safetensors").tensors["w"]
    bits = stored.bits(3, 20)
    wanted = values.flatten()[3:20].contiguous().view(torch.uint8).numpy().tobytes()
    assert bits.dtype.kind == "u" and bits.tobytes() == wanted
    assert not bits.flags.writeable and not bits.flags.owndata
    stored.release()
    assert bits.tobytes() == wanted and stored.bits(4, 4).size == 0


def test_unaligned_bits_are_copied(tmp_path):
    data = np.arange(3, dtype="<f4").tobytes()
    header = json.dumps({"w": entry(0, 12)}).encode()
    header += b" " * (1 - len(header) % 4)  # the values begin at an odd byte
    (tmp_path / "x.safetensors").write_bytes(safetensors_bytes(header, data))
    bits = open_checkpoint(tmp_path / "x.safetensors").tensors["w"].bits(0, 3)
    assert bits.flags.aligned and bits.view("<f4").tolist() == [0, 1, 2]


def test_bits_can_be_read_by_several_threads_at_once(tmp_path):
    save_file({"w": torch.arange(200_000.0)}, tmp_path / "x.safetensors")
    stored = open_checkpoint(tmp_path / "x.safetensors").tensors["w"]

    def total(start: int) -> float:
        stored.release()
        return float(stored.bits(start, start + 1000).view("<f4").sum(dtype=np.float64))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(total, range(0, 200_000, 1000))) == 199_999 * 200_000 / 2


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of peak memory")
def test_release_frees_memory(tmp_path):
    """Read 256 MB tensor by tensor in a fresh process: resident memory grows by less than two tensors."""
    path = tmp_path / "x.safetensors"
    names = [f"w{i}" for i in range(8)]
    size = 32 << 20
    header = {name: entry(i * size, (i + 1) * size) for i, name in enumerate(names)}
    with path.open("wb") as file:
        file.write(safetensors_bytes(header))
        file.truncate(file.tell() + len(names) * size)
    # VmHWM counts this process only; ru_maxrss starts at the peak of the parent process.
    code = (
        "import re, sys; from pathlib import Path; from wmgp.io.checkpoints import open_checkpoint\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1]) << 10\n"
        "opened = open_checkpoint(sys.argv[1]); before = peak()\n"
        "for t in opened.tensors.values(): t.bits(0, t.n).max(); t.release()\n"
        "print(peak() - before)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert size / 2 < int(run.stdout) < 2 * size


@pytest.mark.parametrize("name", ["x.safetensors", "x.bin", "x"])
def test_files_are_recognised_by_content_not_by_extension(tmp_path, name):
    save_file({"w": torch.ones(2)}, tmp_path / name)
    assert open_checkpoint(tmp_path / name).format == "safetensors"
    with (tmp_path / name).open("wb") as file:  # given a path, torch would choose by the extension
        torch.save({"w": torch.ones(2)}, file)
    assert open_checkpoint(str(tmp_path / name)).format == "torch"


@pytest.mark.parametrize("length", [ord("{"), 0x80, 0x504B, 0x04034B50])
def test_the_headers_length_may_look_like_another_format(tmp_path, length):
    """Lengths with the first bytes of JSON, a pickle or a zip archive."""
    header = json.dumps({"w": entry(0, 8)}).encode().ljust(length)
    (tmp_path / "x").write_bytes(safetensors_bytes(header, bytes(8)))
    assert open_checkpoint(tmp_path / "x").tensors["w"].shape == (2,)


@pytest.mark.parametrize("name", ["", "model.safetensors.index.json"])
def test_shards_are_read_by_folder_or_by_index(tmp_path, name):
    opened = open_checkpoint(shards(tmp_path) / name)
    assert opened.format == "sharded safetensors"
    assert list(opened.tensors) == ["two.weight", "one.weight", "n"]
    assert opened.tensors["two.weight"].tensor().tolist() == [1, 2, 3, 4]


def test_shards_are_read_without_an_index(tmp_path):
    opened = open_checkpoint(shards(tmp_path, index=False))
    assert {"one.weight", "two.weight", "n"} == set(opened.tensors)
    assert [file.name for file in opened.files] == ["a.safetensors", "b.safetensors"]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", [torch.nn.Parameter, torch.Tensor])
def test_old_and_new_torch_files_are_read(tmp_path, legacy, kind):
    state = {"w": torch.nn.Parameter(torch.ones(2, 3)) if kind is torch.nn.Parameter else torch.ones(2, 3)}
    torch.save(state, tmp_path / "x.pt", _use_new_zipfile_serialization=not legacy)
    opened = open_checkpoint(tmp_path / "x.pt")
    assert opened.key is None and torch.equal(opened.tensors["w"], torch.ones(2, 3))


def training_checkpoint() -> dict[str, Any]:
    """A training checkpoint: a model's state dict, an optimizer's and metrics."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "net": {"model": model.state_dict()},
        "optimizer": optimizer.state_dict(),
        "named_state": {"0.weight": {"exp_avg": torch.ones(2, 3), "exp_avg_sq": torch.ones(2, 3)}},
        "metrics": {"loss": torch.tensor(0.3), "best": torch.tensor(0.2)},
        "class_weights": torch.ones(2),
    }


def test_the_one_nested_state_dict_is_found(tmp_path):
    saved = training_checkpoint()
    torch.save(saved, tmp_path / "x.pt")
    for key in (None, "net.model"):
        opened = open_checkpoint(tmp_path / "x.pt", key)
        assert opened.key == "net.model" and list(opened.tensors) == list(saved["net"]["model"])


def test_several_state_dicts_of_one_size_need_a_key(tmp_path):
    saved = training_checkpoint()
    saved["ema"] = {name: tensor * 7 for name, tensor in saved["net"]["model"].items()}
    torch.save(saved, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "--key", "net.model, ema")
    refused(tmp_path / "x.pt", "'nothing'", "net.model, ema", key="nothing")
    expected = {name: tensor.tolist() for name, tensor in saved["ema"].items()}
    assert {n: t.tolist() for n, t in open_checkpoint(tmp_path / "x.pt", "ema").tensors.items()} == expected


def test_a_state_dict_at_the_top_level_has_priority(tmp_path):
    torch.save({"w": torch.ones(2, 2), "extra": {"v": torch.ones(3)}}, tmp_path / "x.pt")
    assert list(open_checkpoint(tmp_path / "x.pt").tensors) == ["w"]


# Refusing


GOOD = safetensors_bytes({"w": entry(0, 400)}, bytes(400))


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"abc", "not a checkpoint"),
        (GOOD[:4], "not a checkpoint"),
        (GOOD[:20], "truncated"),
        (GOOD[:-1], "truncated"),
        (GOOD + b"x", "longer"),
        (struct.pack("<Q", 10**12) + GOOD[8:], "header"),
        (struct.pack("<Q", 5000) + GOOD[8:], "header"),
        (struct.pack("<Q", 9) + GOOD[8:], "header"),
        (safetensors_bytes({"w": entry(0, 8), "v": entry(4, 12)}, bytes(12)), "overlap"),
        (safetensors_bytes({"w": entry(0, 8), "v": entry(12, 20)}, bytes(20)), "gap"),
        (safetensors_bytes({"w": entry(0, 8, [3])}, bytes(8)), "safetensors"),
        (safetensors_bytes({"w": entry(0, 8, [2**40, 2**40])}, bytes(8)), "safetensors"),
        (safetensors_bytes({"w": {**entry(0, 8), "dtype": "F99"}}, bytes(8)), "F99"),
        (safetensors_bytes(b"{" * 5000), "safetensors"),
        (b'{"weights": 1}', "weight_map"),
        (b'{"weight_map": {"w": 3}}', "weight_map"),
        (b'{"a":' * 50_000, "weight_map"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"<!DOCTYPE html><html></html>", "HTML"),
        (b"\x89HDF\r\n\x1a\n" + bytes(90), "HDF5"),
        (b"GGUF" + bytes(90), "GGUF"),
        (b"\x93NUMPY\x01\x00" + bytes(90), "NumPy"),
        (b"\x89PNG\r\n\x1a\n" + bytes(90), "PNG"),
        (b"PK\x03\x04" + bytes(90), "truncated"),
        (pickle.dumps({"w": 1}), "would run code"),
        (b"\x80", "truncated"),
    ],
)
def test_broken_or_foreign_files_are_refused(tmp_path, content, word):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    refused(path, word)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_truncated_torch_files_are_refused(tmp_path, legacy, share):
    path = tmp_path / "x.pt"
    torch.save({"w": torch.randn(100, 100)}, path, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(path)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle", "newer pickle"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, how):
    witness, path = tmp_path / "witness", tmp_path / "x.pt"
    saved = {"w": torch.ones(2), "e": Evil(witness)}
    if how in ("zip", "legacy"):
        torch.save(saved, path, _use_new_zipfile_serialization=how == "zip")
    else:
        path.write_bytes(pickle.dumps({"e": Evil(witness)}, protocol=2 if how == "pickle" else 5))
    refused(path, "refused", "would run code")
    assert not witness.exists()


def test_numpy_scalars_are_refused_with_a_remedy(tmp_path):
    """numpy builds scalars of any bytes and dtypes of any state, which allows arbitrary pointers."""
    path = tmp_path / "x.pt"
    torch.save({"state_dict": {"w.weight": torch.ones(2, 2)}, "best": np.float64(0.5)}, path)
    refused(path, "would run code (numpy", 'torch.save(saved["state_dict"], NEW)')


@pytest.mark.parametrize("legacy", [False, True])
def test_a_later_pickle_protocol_is_named(tmp_path, legacy):
    path, state = tmp_path / "x.pt", {"w.weight": torch.ones(3, 2)}
    for protocol in (4, 5):
        torch.save(state, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
        refused(path, f"pickle_protocol={protocol}", "torch.save's default")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.save(state, path, pickle_protocol=3, _use_new_zipfile_serialization=not legacy)
        assert list(open_checkpoint(path).tensors) == ["w.weight"]


@pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning")
def test_nested_tensors_are_refused_by_name(tmp_path):
    pieces = [torch.ones(2, 3), torch.ones(1, 3)]
    torch.save({"a.weight": torch.ones(3, 3), "b.weight": torch.nested.nested_tensor(pieces)}, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "'b.weight' is nested")


def test_an_expanded_tensor_is_pruned_value_by_value_and_without_a_warning(tmp_path):
    """Expanded values share memory; after pruning each has its own, also under a second name."""
    row = torch.arange(1.0, 5.0).expand(3, 4)
    torch.save({"a.weight": row, "tied": row, "b.weight": torch.ones(2, 2)}, tmp_path / "x.pt")
    kept = np.arange(12) >= 5
    save_pruned(open_checkpoint(tmp_path / "x.pt"), tmp_path / "y.pt", [("a.weight", kept)])
    new = torch.load(tmp_path / "y.pt", weights_only=True)
    for name in ("a.weight", "tied"):
        assert torch.equal(new[name], torch.where(torch.from_numpy(kept).view(3, 4), row, 0))
    assert new["a.weight"].data_ptr() == new["tied"].data_ptr() and new["b.weight"].all()


def test_a_whole_module_is_refused_by_name(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "torch.nn.modules.linear.Linear", "state_dict")


def test_torchscript_is_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's deprecation warning for TorchScript
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "TorchScript")


def test_other_archives_are_refused(tmp_path):
    np.savez(tmp_path / "x.npz", w=np.ones(3))
    refused(tmp_path / "x.npz", ".npz")
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("model/readme", "hello")
    refused(tmp_path / "x.pt", "zip archive without a checkpoint")


@pytest.mark.parametrize("saved", [[torch.ones(2)], {"n": torch.arange(3)}, {"loss": torch.tensor(0.5)}, 3, {}])
def test_torch_files_without_a_state_dict_are_refused(tmp_path, saved):
    torch.save(saved, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "no state dict")


def test_missing_files_and_folders_without_checkpoints_are_refused(tmp_path):
    refused(tmp_path / "nothing.pt", "no such file")
    refused(tmp_path, "no *.safetensors")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "neither a file nor a folder")


def test_a_key_is_refused_for_safetensors(tmp_path):
    save_file({"w": torch.ones(2)}, tmp_path / "x")
    refused(tmp_path / "x", "torch file", key="model")


def test_missing_permission_is_a_one_line_error(tmp_path, monkeypatch):
    """The error is simulated because privileged users never get it."""
    path = tmp_path / "x.safetensors"
    save_file({"w": torch.ones(2)}, path)

    def denied(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", denied)
    refused(path, "Permission denied")


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({"one.weight": "gone.safetensors"}, "'gone.safetensors' is missing"),
        ({"other.weight": "a.safetensors"}, "'other.weight'"),
        ({"one.weight": "../a.safetensors"}, "not inside"),
        ({"one.weight": "/etc/passwd"}, "not inside"),
        ({"one.weight": "C:\\a.safetensors"}, "not inside"),
        ({"one.weight": ""}, "not inside"),
    ],
)
def test_an_invalid_index_is_refused(tmp_path, table, word):
    shards(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": table}))
    refused(index, word)


def test_ambiguous_folders_are_refused(tmp_path):
    shards(tmp_path, index=False)
    shutil.copy(tmp_path / "a.safetensors", tmp_path / "c.safetensors")
    refused(tmp_path, "'one.weight'", "a.safetensors", "c.safetensors")
    for name in ("one", "two"):
        (tmp_path / f"{name}.safetensors.index.json").write_text('{"weight_map": {}}')
    refused(tmp_path, "several indices")


def test_an_index_among_the_shards_is_named(tmp_path):
    (tmp_path / "a.bin").write_text('{"weight_map": {"w": "b.bin"}}')
    (tmp_path / "i.index.json").write_text('{"weight_map": {"w": "a.bin"}}')
    with pytest.raises(InputError, match=r"a\.bin: .*another index"):
        open_checkpoint(tmp_path)


# Writing


def masks_for(opened, seed: int = 0) -> dict[str, np.ndarray]:
    """A mask for every floating tensor that can be analysed, about half of it pruned."""
    rng = np.random.default_rng(seed)
    floats = {name: t for name, t in opened.tensors.items() if str(t.dtype).removeprefix("torch.") in FLOATS}
    return {name: rng.random(t.n if isinstance(t, MappedTensor) else t.numel()) < 0.5 for name, t in floats.items()}


def assert_pruned(new: dict[str, Any], old: dict[str, Any], masks: dict[str, np.ndarray]) -> None:
    """Check names, order, dtypes and shapes; masked values are zero, all other bytes unchanged."""
    assert list(new) == list(old)
    for name, tensor in old.items():
        assert new[name].dtype == tensor.dtype and new[name].shape == tensor.shape
        kept = torch.from_numpy(masks[name]) if name in masks else torch.ones(tensor.numel(), dtype=torch.bool)
        before, after = tensor.flatten(), new[name].flatten()
        assert torch.equal(after[kept].view(torch.uint8), before[kept].view(torch.uint8))
        assert not after[~kept].view(torch.uint8).any()


def read(path) -> dict[str, torch.Tensor]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.offset_keys()}


def test_pruned_safetensors_keep_everything_else(tmp_path):
    source, out = tmp_path / "x.safetensors", tmp_path / "y.safetensors"
    save_file(tensors(), source, {"format": "pt", "note": "kept"})
    opened = open_checkpoint(source)
    masks = masks_for(opened)
    before = source.read_bytes()
    save_pruned(opened, out, iter(masks.items()))
    assert_pruned(read(out), read(source), masks)
    header = 8 + struct.unpack("<Q", before[:8])[0]
    assert out.read_bytes()[:header] == before[:header]
    assert source.read_bytes() == before and {p.name for p in tmp_path.iterdir()} == {source.name, out.name}


@pytest.mark.parametrize("index", [True, False])
def test_pruned_shards_keep_their_files_and_metadata(tmp_path, index):
    source, out = shards(tmp_path / "source", index), tmp_path / "out"
    (source / "notes.txt").write_text("not copied")
    opened = open_checkpoint(source)
    masks = masks_for(opened)
    save_pruned(opened, out, masks.items())
    wanted = {p.relative_to(source) for p in source.rglob("*")} - {Path("notes.txt")}
    assert {p.relative_to(out) for p in out.rglob("*")} == wanted
    for file in opened.files:
        assert_pruned(load_file(out / file.relative_to(source)), load_file(file), masks)
    with safe_open(out / "a.safetensors", "pt") as file:
        assert file.metadata() == {"shard": "a"}
    if index:
        name = "model.safetensors.index.json"
        assert (out / name).read_bytes() == (source / name).read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"source", "out"}


@pytest.mark.parametrize("legacy", [False, True])
def test_pruned_torch_files_keep_the_whole_object(tmp_path, legacy):
    source, out = tmp_path / "x.pt", tmp_path / "y.pt"
    saved = training_checkpoint()
    torch.save(saved, source, _use_new_zipfile_serialization=not legacy)
    before = source.read_bytes()
    opened = open_checkpoint(source)
    masks = masks_for(opened)
    originals = {name: tensor.clone() for name, tensor in opened.tensors.items()}
    save_pruned(opened, out, masks.items())
    new = torch.load(out, weights_only=True)
    assert_pruned(dict(new["net"]["model"]), dict(saved["net"]["model"]), masks)
    assert new["net"]["model"]._metadata == saved["net"]["model"]._metadata
    assert list(new) == list(saved) and new["epoch"] == 3 and new["metrics"] == saved["metrics"]
    assert torch.equal(new["optimizer"]["state"][0]["exp_avg"], saved["optimizer"]["state"][0]["exp_avg"])
    assert all(torch.equal(opened.tensors[name], tensor) for name, tensor in originals.items())
    assert source.read_bytes() == before
    assert out.read_bytes()[:2] == before[:2]


def test_ties_and_strides_are_kept(tmp_path):
    shared = torch.arange(1.0, 7.0).reshape(2, 3)
    torch.save({"a": shared, "b": shared, "t": torch.arange(1.0, 7.0).reshape(2, 3).t()}, tmp_path / "x.pt")
    mask = np.array([True, False, True, False, True, True])
    save_pruned(open_checkpoint(tmp_path / "x.pt"), tmp_path / "y.pt", [("a", mask), ("t", mask)])
    new = torch.load(tmp_path / "y.pt", weights_only=True)
    assert new["a"].data_ptr() == new["b"].data_ptr() and new["b"].tolist() == [[1, 0, 3], [0, 5, 6]]
    assert new["t"].stride() == (1, 3) and new["t"].tolist() == [[1, 0], [2, 0], [3, 6]]


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_weights_pruned_by_torch_are_zeroed_in_weight_orig(tmp_path, ending):
    source, out = tmp_path / f"x.{ending}", tmp_path / f"y.{ending}"
    state = {"weight_orig": torch.arange(1.0, 5.0), "weight_mask": torch.tensor([1.0, 1.0, 0.0, 1.0])}
    save_file(state, source) if ending == "safetensors" else torch.save(state, source)
    save_pruned(open_checkpoint(source), out, [("weight", np.array([False, True, False, True]))])
    new = load_file(out) if ending == "safetensors" else torch.load(out, weights_only=True)
    assert new["weight_orig"].tolist() == [0, 2, 0, 4] and new["weight_mask"].tolist() == [1, 1, 0, 1]


def saved_source(tmp_path, kind: str) -> Path:
    if kind == "shards":
        return shards(tmp_path / "source")
    path = tmp_path / f"source.{kind}"
    state = {"w": torch.arange(1.0, 2001.0)}
    save_file(state, path) if kind == "safetensors" else torch.save(state, path)
    return path


def refuses_to_write(opened, out, *words, force=False, masks=None):
    """Check that save_pruned refuses in one line with all words and leaves the folder unchanged."""
    folder = opened.path.parent
    before = {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}
    with pytest.raises(InputError) as caught:
        save_pruned(opened, out, masks_for(opened).items() if masks is None else masks, force)
    text = one_line(caught.value)
    assert all(word in text for word in words), text
    assert {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*")} == before


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", ["safetensors", "pt", "shards"])
@pytest.mark.parametrize("link", ["itself", "symbolic", "roundabout"])
def test_out_must_not_be_the_source(tmp_path, kind, link, force):
    source = saved_source(tmp_path, kind)
    out = source
    if link == "symbolic":
        out = tmp_path / "link"
        out.symlink_to(source)
    if link == "roundabout":
        (tmp_path / "sub").mkdir()
        out = tmp_path / "sub" / ".." / source.name
    refuses_to_write(open_checkpoint(source), out, out.name, "source itself", force=force)


def test_out_must_not_be_a_hard_link_to_the_source(tmp_path):
    source = saved_source(tmp_path, "pt")
    os.link(source, tmp_path / "y.pt")
    refuses_to_write(open_checkpoint(source), tmp_path / "y.pt", "source itself", force=True)


@pytest.mark.parametrize("kind", ["safetensors", "pt", "shards"])
def test_an_existing_output_needs_force(tmp_path, kind):
    source = saved_source(tmp_path, kind)
    opened = open_checkpoint(source)
    out = tmp_path / source.name.replace("source", "out")
    save_pruned(opened, out, [])
    refuses_to_write(opened, out, out.name, "--force")
    masks = masks_for(opened)
    save_pruned(opened, out, masks.items(), force=True)
    name = next(name for name, mask in masks.items() if not mask.all())
    new = open_checkpoint(out).tensors[name]
    flat = (new.tensor() if isinstance(new, MappedTensor) else new).flatten()
    assert not flat[~torch.from_numpy(masks[name])].any()
    assert {p.name for p in tmp_path.iterdir()} == {source.name, out.name}


def test_force_does_not_replace_a_folder_with_other_files(tmp_path):
    opened = open_checkpoint(saved_source(tmp_path, "shards"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    refuses_to_write(opened, tmp_path / "out", "more than shards", force=True)


@pytest.mark.parametrize(
    ("kind", "out", "word"),
    [
        ("safetensors", "out.pt", ".pt"),
        ("safetensors", "out.bin", ".bin"),
        ("pt", "out.safetensors", ".safetensors"),
        ("pt", "no/such/folder/out.pt", "does not exist"),
        ("shards", "out.safetensors", "folder"),
        ("shards", "out.safetensors.index.json", "folder"),
    ],
)
def test_out_must_fit_the_format(tmp_path, kind, out, word):
    refuses_to_write(open_checkpoint(saved_source(tmp_path, kind)), tmp_path / out, word)


@pytest.mark.parametrize("kind", ["safetensors", "shards"])
def test_a_file_and_a_folder_do_not_replace_each_other(tmp_path, kind):
    opened = open_checkpoint(saved_source(tmp_path, kind))
    out = tmp_path / "out"
    out.mkdir() if kind == "safetensors" else out.write_text("x")
    refuses_to_write(opened, out, "in the way", force=True)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", ["safetensors", "pt", "shards"])
def test_a_device_or_a_pipe_is_not_replaced(tmp_path, kind, force):
    opened = open_checkpoint(saved_source(tmp_path, kind))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for name in ("pipe", "link", "null"):
        refuses_to_write(opened, tmp_path / name, name, "neither a file nor a folder", force=force)


def test_force_replaces_a_link_and_not_its_target(tmp_path):
    opened = open_checkpoint(saved_source(tmp_path, "safetensors"))
    (tmp_path / "target").write_text("something dear")
    (tmp_path / "link").symlink_to("target")
    refuses_to_write(opened, tmp_path / "link", "--force")
    save_pruned(opened, tmp_path / "link", [], force=True)
    assert (tmp_path / "target").read_text() == "something dear" and not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("kind", ["safetensors", "pt", "shards"])
def test_a_mask_of_another_size_or_name_is_refused(tmp_path, kind):
    opened = open_checkpoint(saved_source(tmp_path, kind))
    name = next(iter(masks_for(opened)))
    refuses_to_write(opened, tmp_path / "out", name, masks=[(name, np.ones(1, bool))])
    refuses_to_write(opened, tmp_path / "out", "nothing", masks=[("nothing", np.ones(1, bool))])


@pytest.mark.parametrize("kind", ["safetensors", "pt", "shards"])
def test_an_error_between_masks_leaves_no_output(tmp_path, kind):
    opened = open_checkpoint(saved_source(tmp_path, kind))

    def masks():
        yield from masks_for(opened).items()
        raise InputError("the disk with the masks is gone")

    refuses_to_write(opened, tmp_path / "out", "gone", masks=masks())


@pytest.mark.parametrize("kind", ["safetensors", "pt", "legacy", "shards"])
def test_a_full_disk_is_a_one_line_error(tmp_path, kind):
    """A limit on file sizes makes the write fail as on a full disk."""
    source = saved_source(tmp_path, "pt" if kind == "legacy" else kind)
    if kind == "legacy":
        torch.save({"w": torch.ones(2000)}, source, _use_new_zipfile_serialization=False)
    opened = open_checkpoint(source)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
    try:
        refuses_to_write(opened, tmp_path / "out", "out", "cannot be written")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_space_left_is_a_one_line_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    opened = open_checkpoint(saved_source(tmp_path, "safetensors"))
    monkeypatch.setattr(shutil, "copyfile", full)
    refuses_to_write(opened, tmp_path / "out", "No space left on device")


def test_shards_of_torch_save_are_read_and_not_written(tmp_path):
    torch.save({"a.weight": torch.arange(6.0).reshape(2, 3)}, tmp_path / "one.bin")
    torch.save({"b.weight": torch.ones(4)}, tmp_path / "two.bin")
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"b.weight": "two.bin", "a.weight": "one.bin"}}))
    checkpoint = open_checkpoint(tmp_path)
    assert checkpoint.format == "sharded torch" and list(checkpoint.tensors) == ["b.weight", "a.weight"]
    assert wmgp.analyze(index).n_parameters == 10
    with pytest.raises(InputError, match="can be analysed, not pruned"):
        save_pruned(checkpoint, tmp_path / "out", [])
    assert not (tmp_path / "out").exists()
