"""The command line: its output, the files it writes, and one-line errors."""

import errno
import io
import json
import os
import pickle
import pty
import re
import resource
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import wmgp
from wmgp import cli

POINT = {"amount", "cosine", "pool_cosine", "threshold", "n_pruned", "distance"}
TENSOR = {"name", "shape", "dtype", "n", "zeros", "kurtosis", "energy"}
TENSOR |= {"pruned_at_careful", "pruned_at_safe", "pruned_at_optimal"}
ANALYSIS = {
    *("source", "pool", "n_parameters", "n_prunable", "kurtosis", "kurtosis_of_kurtoses"),
    *("front", "careful", "safe", "at_cosine_0.99", "optimal", "outside", "tensors"),
}
PROGRAM = "import sys; from wmgp.cli import main; main(sys.argv[1:])"


@pytest.fixture
def run(capsys):
    """Run the command in this process -> exit code, stdout, stderr."""

    def run(*arguments) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            cli.main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, printed.err

    return run


def weights(dtype=torch.float32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {"b.weight": (40, 30), "b.bias": (40,), "a.weight": (20, 40), "a.bias": (20,), "embedding": (5, 4)}
    floats = {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}
    return {**floats, "steps": torch.arange(3)}


def model(folder: Path, name: str = "x.safetensors", dtype=torch.float32) -> Path:
    path = folder / name
    if path.suffix == ".safetensors":
        save_file(weights(dtype), path, {"note": "kept"})
    else:
        torch.save(weights(dtype), path)
    return path


def everything(folder: Path) -> dict[Path, bytes | None]:
    return {p: p.read_bytes() if p.is_file() and not p.is_symlink() else None for p in folder.rglob("*")}


def one_error(result) -> str:
    """Return the error message; assert exit code 2, an empty stdout, and one line on stderr."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("wmgp: error: ") and err.endswith("\n") and err.count("\n") == 1 and "\x1b" not in err
    return err


# Printed output


def test_analyze_prints_the_report(run, tmp_path):
    path = model(tmp_path)
    code, out, err = run("analyze", path)
    assert (code, out, err) == (0, f"{wmgp.analyze(path)}\n", "")


def test_analyze_tensors(run, tmp_path):
    code, out, err = run("analyze", model(tmp_path), "--tensors")
    assert (code, err) == (0, "")
    assert all(re.search(rf"^{re.escape(name)} ", out, re.M) for name in weights() if name != "steps")


def strict(text: str) -> dict[str, Any]:
    """Parse JSON, and reject NaN and Infinity, which JSON does not have."""

    def refuse(constant: str):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("name", ["x.safetensors", "x.pt"])
def test_json_has_exactly_the_documented_names(run, tmp_path, name):
    path = model(tmp_path, name)
    code, out, err = run("analyze", path, "--json", "--tensors", "--amounts", 11, "--pool", "weights")
    assert (code, err) == (0, "")
    found, wanted = strict(out), wmgp.analyze(path, amounts=11, pool="weights")
    assert set(found) == ANALYSIS | {"warnings"} and set(found["front"]) == {"amount", "cosine"}
    assert all(set(found[name]) == POINT for name in ("careful", "safe", "at_cosine_0.99", "optimal"))
    assert (found["source"], found["pool"]) == (name, "weights")
    assert all(set(row) == TENSOR for row in found["tensors"])
    assert found == wanted.to_dict() and len(found["front"]["amount"]) == 11
    assert found["n_prunable"] == 40 * 30 + 20 * 40 + 5 * 4


def test_json_has_null_for_undefined_values(run, tmp_path):
    save_file({"a.weight": torch.randn(50), "b.weight": torch.ones(3)}, tmp_path / "x")
    code, out, _ = run("analyze", tmp_path / "x", "--json", "--amounts", 2)
    found = strict(out)
    assert code == 0 and found["kurtosis_of_kurtoses"] is None and found["safe"] is None
    assert found["tensors"][1]["kurtosis"] is None and found["tensors"][0]["pruned_at_safe"] is None
    assert found["optimal"]["amount"] == 0 and found["optimal"]["threshold"] is None


def test_a_terminal_gets_colours_and_a_pipe_does_not(tmp_path):
    leader, follower = pty.openpty()
    arguments = [sys.executable, "-c", PROGRAM, "analyze", str(model(tmp_path)), "--tensors"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    for name in ("NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    with subprocess.Popen(arguments, stdout=follower, stderr=subprocess.PIPE, env=environment) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                chunk = os.read(leader, 4096)
            except OSError:  # Linux raises this at the end of a closed terminal
                break
            if not chunk:
                break
            shown += chunk
        assert process.stderr is not None
        assert process.stderr.read() == b""
    os.close(leader)
    assert process.returncode == 0 and b"\x1b[1m" in shown and b"kurtosis of kurtoses" in shown and b"b.weight" in shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("seconds", [0.5, 1.5])
@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_a_progress_bar_after_a_second_on_a_terminal_only(monkeypatch, seconds, stream):
    shown = stream()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    clock = [100.0]
    monkeypatch.setattr(cli, "monotonic", lambda: clock[0])
    with cli._progress("analyzing") as update:
        clock[0] += seconds
        update(1, 4)
        update(2, 4)
    assert ("analyzing" in shown.getvalue()) == (seconds > 1 and stream is Terminal)


def test_help_and_version(run):
    for arguments, word in (
        (["--help"], "analyze"),
        (["analyze", "--help"], "--tensors"),
        (["prune", "--help"], "OUT"),
    ):
        code, out, err = run(*arguments)
        assert (code, err) == (0, "") and word in out
    assert run("--version") == (0, f"wmgp {wmgp.__version__}\n", "")


def test_plot_writes_a_file(run, tmp_path):
    source = model(tmp_path)
    for name, magic in (("a.png", b"\x89PNG"), ("b.SVG", b"<?xml"), ("c.pdf", b"%PDF")):
        code, out, err = run("analyze", source, "--plot", tmp_path / name, "--json")
        assert (code, err) == (0, "") and strict(out)
        assert (tmp_path / name).read_bytes().startswith(magic)
    assert {p.name for p in tmp_path.iterdir()} == {"a.png", "b.SVG", "c.pdf", source.name}


# Written files


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["x.safetensors", "x.pt"])
@pytest.mark.parametrize("amount", ["optimal", "safe", "careful", "0.7", "cosine=0.99", "0", "1"])
def test_prune_writes_the_exact_amount(run, tmp_path, name, dtype, amount):
    source, out = model(tmp_path, name, dtype), tmp_path / f"out{Path(name).suffix}"
    code, text, err = run("prune", source, out, "--amount", amount)
    assert (code, err) == (0, "") and text.endswith(f"wrote {out}\n")
    analysis = wmgp.analyze(source)
    choices = {"optimal": analysis.optimal, "safe": analysis.safe, "careful": analysis.careful}
    choices["cosine=0.99"] = analysis.at_cosine(0.99)
    promised = choices[amount] if amount in choices else analysis.at_amount(float(amount))
    assert promised is not None
    assert text.startswith(f"pruned {promised.n_pruned:,} of {analysis.n_prunable:,} values")
    read = load_file if name == "x.safetensors" else torch.load
    old, new = read(source), read(out)
    assert list(new) == list(old)
    for key, tensor in old.items():
        assert new[key].dtype == tensor.dtype and new[key].shape == tensor.shape
        assert torch.equal(new[key], torch.where(new[key] == 0, 0, tensor))
    pool = [key for key in old if key.endswith(("weight", "bias"))]
    zeros = sum(int((new[key] == 0).sum() - (old[key] == 0).sum()) for key in pool)
    already = sum(int((old[key] == 0).sum()) for key in pool)
    assert zeros == max(promised.n_pruned - already, 0)
    assert wmgp.cosine_similarity(old, new) == pytest.approx(promised.cosine, abs=1e-7)
    assert wmgp.analyze(out).at_cosine(1.0).n_pruned == promised.n_pruned
    assert torch.equal(new["steps"], old["steps"]) and torch.equal(new["embedding"], old["embedding"])


def test_prune_keeps_safetensors_metadata(run, tmp_path):
    run("prune", model(tmp_path), tmp_path / "out.safetensors", "--amount", "0.5")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata() == {"note": "kept"}


@pytest.mark.parametrize("method", ["l1_local", "l1_normalized", "lamp", "random"])
def test_prune_by_other_methods_prints_the_cosine(run, tmp_path, method):
    source, out = model(tmp_path), tmp_path / "out.safetensors"
    code, text, err = run("prune", source, out, "--amount", "0.3", "--method", method)
    cosine = wmgp.cosine_similarity(load_file(source), load_file(out))
    assert (code, err) == (0, "") and f"by {method}: cosine {cosine:.4f}\n" in text
    pruned = sum(int((tensor == 0).sum()) for tensor in load_file(out).values()) - 1  # steps begin at 0
    assert f"pruned {pruned:,} of" in text and pruned == pytest.approx(0.3 * wmgp.analyze(source).n_prunable, abs=2)


@pytest.mark.parametrize("method", ["l1", "l1_normalized"])
def test_pruning_everything_has_cosine_zero(run, tmp_path, method):
    save_file({"a.weight": torch.randn(5, 4)}, tmp_path / "x")
    code, text, err = run("prune", tmp_path / "x", tmp_path / "out", "--amount", "1", "--method", method)
    assert (code, err) == (0, "") and "cosine 0.0000" in text


def test_seed_determines_random_pruning(run, tmp_path):
    source = model(tmp_path)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("prune", source, tmp_path / name, "--amount", "0.5", "--method", "random", "--seed", seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()


def test_prune_shards(run, tmp_path):
    """The same weights in one file and in two prune to the same values."""
    source = tmp_path / "shards"
    source.mkdir()
    state = weights()
    parts = {"1.safetensors": list(state)[:2], "2.safetensors": list(state)[2:]}
    for file, names in parts.items():
        save_file({name: state[name] for name in names}, source / file)
    table = {name: file for file, names in parts.items() for name in names}
    (source / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    for path, out in ((source, "out"), (source / "model.safetensors.index.json", "again"), (model(tmp_path), "one")):
        code, text, err = run("prune", path, tmp_path / out, "--amount", "optimal")
        assert (code, err) == (0, "") and ("copy the other files yourself\n" in text) == (out != "one")
    whole = load_file(tmp_path / "one")
    for file, names in parts.items():
        for out in ("out", "again"):
            part = load_file(tmp_path / out / file)
            assert set(part) == set(names) and all(torch.equal(part[name], whole[name]) for name in names)


def test_nested_state_dicts_by_key(run, tmp_path):
    source, out = tmp_path / "x.pt", tmp_path / "y.pt"
    torch.save({"net": {"model": weights()}, "ema": weights(torch.float64), "epoch": 3}, source)
    message = one_error(run("analyze", source))
    assert "--key" in message and "net.model, ema" in message
    one_error(run("prune", source, out, "--amount", "0.5"))
    code, text, _ = run("analyze", source, "--key", "ema", "--json")
    assert code == 0 and {row["dtype"] for row in strict(text)["tensors"]} == {"float64"}
    for method in ("l1", "random"):
        assert run("prune", source, out, "--amount", "0.5", "--key", "net.model", "--force", "--method", method)[0] == 0
        new = torch.load(out, weights_only=True)
        assert new["epoch"] == 3 and all(torch.equal(new["ema"][k], v) for k, v in weights(torch.float64).items())
        assert (new["net"]["model"]["b.weight"] == 0).float().mean() > 0.4


# Bad input: one line, exit code 2, nothing written


def safetensors(header: dict[str, Any], data: bytes, length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(start: int, stop: int) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [(stop - start) // 4], "data_offsets": [start, stop]}


class Evil:
    def __init__(self, witness: Path):
        self.witness = str(witness)

    def __reduce__(self):
        return Path.touch, (Path(self.witness),)


def saved(state: dict[str, torch.Tensor], name: str = "x.safetensors"):
    return lambda folder: save_file(state, folder / name) or folder / name


def written(content: bytes, name: str = "x.safetensors"):
    return lambda folder: (folder / name).write_bytes(content) and folder / name or folder / name


def torch_saved(thing, name: str = "x.pt"):
    return lambda folder: torch.save(thing(folder), folder / name) or folder / name


def truncated(name: str):
    def make(folder: Path) -> Path:
        path = model(folder, name)
        path.write_bytes(path.read_bytes()[:-100])
        return path

    return make


def without_a_shard(folder: Path) -> Path:
    save_file({"a.weight": torch.ones(2)}, folder / "a.safetensors")
    table = {"a.weight": "a.safetensors", "b.weight": "b.safetensors"}
    (folder / "x.index.json").write_text(json.dumps({"weight_map": table}))
    return folder


def special(value: float):
    values = torch.randn(300)
    values[177] = value
    return {"good.weight": torch.randn(20), "bad.weight": values}


GOOD = safetensors({"w": entry(0, 400)}, bytes(400))
BAD_SOURCES = {
    "missing": (lambda folder: folder / "nothing.safetensors", "no such file"),
    "empty": (written(b""), "empty"),
    "folder without checkpoints": (lambda folder: folder, "no *.index.json"),
    "truncated safetensors": (truncated("x.safetensors"), "truncated"),
    "truncated torch": (truncated("x.pt"), "truncated"),
    "header length beyond the file": (written(safetensors({"w": entry(0, 4)}, bytes(4), 9999)), "header"),
    "absurd header length": (written(safetensors({"w": entry(0, 4)}, bytes(4), 2**62)), "header"),
    "overlap": (written(safetensors({"w": entry(0, 8), "v": entry(4, 12)}, bytes(12))), "overlap"),
    "text named safetensors": (written(b"These are my weights: 1, 2 and 3.\n"), "not a checkpoint"),
    "text named pt": (written(b"These are my weights: 1, 2 and 3.\n", "x.pt"), "not a checkpoint"),
    "git lfs pointer": (written(b"version https://git-lfs.github.com/spec/v1\n", "x.bin"), "git lfs pull"),
    "pickle that runs code": (torch_saved(lambda folder: {"w": Evil(folder / "witness")}), "would run code"),
    "plain pickle": (written(pickle.dumps({"w.weight": [1.0]}), "x.pt"), "would run code"),
    "whole module": (torch_saved(lambda _: torch.nn.Linear(2, 2)), "would run code"),
    "missing shard": (without_a_shard, "'b.safetensors' is missing"),
    "NaN": (saved(special(float("nan"))), "bad.weight"),
    "infinity": (saved(special(float("-inf"))), "bad.weight"),
    "NaN in float16": (saved({k: v.half() for k, v in special(float("nan")).items()}), "bad.weight"),
    "NaN in a torch file": (torch_saved(lambda _: special(float("nan"))), "bad.weight"),
    "nothing prunable": (saved({"embedding": torch.ones(3, 3)}), "no prunable"),
    "only empty tensors": (saved({"a.weight": torch.ones(0, 3)}), "no prunable"),
    "integers only": (saved({"a.weight": torch.arange(3)}), "floating"),
    "integers only, torch": (torch_saved(lambda _: {"a.weight": torch.arange(3)}), "no state dict"),
    "no tensors": (written(safetensors({}, b"")), "floating"),
    "float8": (saved({"a.weight": torch.ones(3).to(torch.float8_e4m3fn)}), "a.weight"),
    "zeros only": (saved({"a.weight": torch.zeros(3)}), "zero"),
    "no state dict": (torch_saved(lambda _: [1, 2]), "no state dict"),
}


@pytest.mark.parametrize("command", ["analyze", "prune"])
@pytest.mark.parametrize("case", BAD_SOURCES)
def test_invalid_sources_are_one_line_errors(run, tmp_path, command, case):
    make, word = BAD_SOURCES[case]
    source = make(tmp_path)
    before = everything(tmp_path)
    options = ["--plot", tmp_path / "plot.png"] if command == "analyze" else [tmp_path / "out", "--amount", "optimal"]
    message = one_error(run(command, source, *options))
    assert source.name in message and word in message
    assert everything(tmp_path) == before


BAD_USAGE = {
    "no command": ([], "command"),
    "unknown command": (["analyse", "SOURCE"], "analyse"),
    "no source": (["analyze"], "SOURCE"),
    "unknown option": (["analyze", "SOURCE", "--amunts", "3"], "--amunts"),
    "two sources": (["analyze", "SOURCE", "SOURCE"], "x.safetensors"),
    "one grid point": (["analyze", "SOURCE", "--amounts", "1"], "--amounts"),
    "grid in words": (["analyze", "SOURCE", "--amounts", "many"], "--amounts"),
    "half a grid point": (["analyze", "SOURCE", "--amounts", "10.5"], "--amounts"),
    "absurd grid": (["analyze", "SOURCE", "--amounts", "99999999999"], "--amounts"),
    "unknown pool": (["analyze", "SOURCE", "--pool", "biases"], "'biases'"),
    "key for safetensors": (["analyze", "SOURCE", "--key", "model"], "torch file"),
    "plot of no known kind": (["analyze", "SOURCE", "--plot", "FOLDER/x.docx"], "x.docx"),
    "plot without an ending": (["analyze", "SOURCE", "--plot", "FOLDER/plot"], "plot"),
    "plot nowhere": (["analyze", "SOURCE", "--plot", "FOLDER/no/such/x.png"], "x.png"),
    "no out": (["prune", "SOURCE", "--amount", "0.5"], "OUT"),
    "no amount": (["prune", "SOURCE", "FOLDER/out"], "--amount"),
    "amount above 1": (["prune", "SOURCE", "FOLDER/out", "--amount", "1.1"], "1.1"),
    "amount below 0": (["prune", "SOURCE", "FOLDER/out", "--amount", "-0.1"], "-0.1"),
    "amount nan": (["prune", "SOURCE", "FOLDER/out", "--amount", "nan"], "nan"),
    "amount in percent": (["prune", "SOURCE", "FOLDER/out", "--amount", "70%"], "70%"),
    "amount in words": (["prune", "SOURCE", "FOLDER/out", "--amount", "most"], "most"),
    "cosine above 1": (["prune", "SOURCE", "FOLDER/out", "--amount", "cosine=1.5"], "cosine=1.5"),
    "cosine of nothing": (["prune", "SOURCE", "FOLDER/out", "--amount", "cosine="], "cosine="),
    "something=0.5": (["prune", "SOURCE", "FOLDER/out", "--amount", "sine=0.5"], "sine=0.5"),
    "cosine by chance": (
        ["prune", "SOURCE", "FOLDER/out", "--amount", "cosine=0.9", "--method", "random"],
        "method l1 only",
    ),
    "carefully by chance": (
        ["prune", "SOURCE", "FOLDER/out", "--amount", "careful", "--method", "random"],
        "method l1 only",
    ),
    "out is a device": (["prune", "SOURCE", "/dev/null", "--amount", "0.5", "--force"], "neither a file nor a folder"),
    "unknown method": (["prune", "SOURCE", "FOLDER/out", "--amount", "0.5", "--method", "l2"], "'l2'"),
    "negative seed": (["prune", "SOURCE", "FOLDER/out", "--amount", "0.5", "--seed", "-1"], "--seed"),
    "out is the source": (["prune", "SOURCE", "SOURCE", "--amount", "0.5", "--force"], "the source itself"),
    "out links to the source": (["prune", "SOURCE", "FOLDER/link", "--amount", "0.5", "--force"], "the source itself"),
    "out exists": (["prune", "SOURCE", "FOLDER/old", "--amount", "0.5"], "--force"),
    "out of another format": (["prune", "SOURCE", "FOLDER/out.pt", "--amount", "0.5"], "out.pt"),
    "out nowhere": (["prune", "SOURCE", "FOLDER/no/such/out", "--amount", "0.5"], "does not exist"),
    "out is a folder": (["prune", "SOURCE", "FOLDER", "--amount", "0.5", "--force"], "in the way"),
}


@pytest.mark.parametrize("case", BAD_USAGE)
def test_invalid_usage_is_a_one_line_error(run, tmp_path, case):
    arguments, word = BAD_USAGE[case]
    source = model(tmp_path)
    (tmp_path / "link").symlink_to(source)
    (tmp_path / "old").write_bytes(b"something dear")
    before = everything(tmp_path)
    command = [a.replace("SOURCE", str(source)).replace("FOLDER", str(tmp_path)) for a in arguments]
    assert word in one_error(run(*command))
    assert everything(tmp_path) == before


def test_an_undefined_safe_amount_is_a_one_line_error(run, tmp_path):
    save_file({"a.weight": torch.randn(50)}, tmp_path / "x")
    message = one_error(run("prune", tmp_path / "x", tmp_path / "out", "--amount", "safe"))
    assert "no safe amount" in message and not (tmp_path / "out").exists()


def test_force_replaces_the_output(run, tmp_path):
    source, out = model(tmp_path), tmp_path / "out.safetensors"
    out.write_bytes(b"something old")
    assert run("prune", source, out, "--amount", "0.5", "--force")[0] == 0
    assert set(load_file(out)) == set(weights()) and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["x.safetensors", "x.pt"])
def test_a_full_disk_is_a_one_line_error(run, tmp_path, name):
    """A limit on file sizes makes the write fail as on a full disk."""
    source = model(tmp_path, name)
    run("prune", source, tmp_path / "out", "--amount", "0.5")  # compiles while the cache can be written
    (tmp_path / "out").unlink()
    before = everything(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        result = run("prune", source, tmp_path / "out", "--amount", "0.5")
        plotted = run("analyze", source, "--plot", tmp_path / "out.png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "out: cannot be written" in one_error(result)
    assert "out.png: cannot be written" in one_error(plotted)
    assert everything(tmp_path) == before


def test_no_space_and_no_permission_are_one_line_errors(run, tmp_path, monkeypatch):
    source = model(tmp_path)

    def failing(number: int):
        def fail(*_, **__):
            raise OSError(number, os.strerror(number))

        return fail

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", failing(errno.ENOSPC))
        assert "No space left" in one_error(run("prune", source, tmp_path / "out", "--amount", "0.5"))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", failing(errno.EACCES))
        assert "Permission denied" in one_error(run("analyze", source))
    assert list(tmp_path.iterdir()) == [source]


def test_hostile_names_stay_on_one_line(run, tmp_path):
    path = tmp_path / "a\nb\x1b[2J.safetensors"
    path.write_bytes(b"")
    assert "a\\nb\\x1b[2J" in one_error(run("analyze", path))


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [(KeyboardInterrupt(), 130, ""), (MemoryError(), 2, "wmgp: error: not enough memory\n")],
)
def test_interrupted_or_out_of_memory(run, tmp_path, monkeypatch, error, code, message):
    import wmgp.analysis

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(wmgp.analysis, "analyze", fail)
    assert run("analyze", model(tmp_path)) == (code, "", message)


def test_internal_errors_are_not_hidden(tmp_path, monkeypatch):
    import wmgp.analysis

    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(wmgp.analysis, "analyze", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["analyze", str(model(tmp_path))])


# In a separate process


def test_bad_input_in_a_separate_process(tmp_path):
    witness = tmp_path / "witness"
    torch.save({"w": Evil(witness)}, tmp_path / "x.pt")
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, "analyze", "x.pt"], cwd=tmp_path, capture_output=True, text=True
    )
    assert "would run code" in one_error((run.returncode, run.stdout, run.stderr)) and not witness.exists()


def test_a_reader_that_exits_early(tmp_path):
    arguments = [sys.executable, "-c", PROGRAM, "analyze", str(model(tmp_path)), "--json", "--amounts", "20000"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read(1) == b"{"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def modules_after(code: str, *arguments) -> set[str]:
    """Return the modules that are loaded after the code ran."""
    whole = f"import atexit, sys\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n{code}"
    arguments = [sys.executable, "-c", whole, *map(str, arguments)]
    run = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return set(run.stderr.split())


def test_unneeded_packages_are_not_imported(tmp_path):
    heavy = {"torch", "numba", "pandas", "matplotlib", "scipy"}
    source = model(tmp_path)
    assert not modules_after("import wmgp") & {*heavy, "numpy", "typer"}
    assert not modules_after(PROGRAM, "--help") & {*heavy, "numpy"}
    assert not modules_after(PROGRAM, "analyze", source, "--tensors") & {"torch", "pandas", "matplotlib"}
    for method in ("l1", "random"):
        arguments = ("prune", source, tmp_path / method, "--amount", "0.5", "--method", method)
        assert not modules_after(PROGRAM, *arguments) & {"torch", "pandas", "matplotlib"}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of peak memory")
def test_analyzing_a_gigabyte_takes_less_memory(tmp_path):
    """1 GB of float32 in 16 tensors: under 700 MB resident at the peak, and the right answer."""
    path, size = tmp_path / "x.safetensors", 1 << 26
    tile = np.random.default_rng(0).standard_normal(1 << 18, dtype=np.float32).tobytes()
    header = {f"layer{i}.weight": entry(i * size, (i + 1) * size) for i in range(16)}
    with path.open("wb") as file:
        file.write(safetensors(header, b""))
        for _ in range(16 * size // len(tile)):
            file.write(tile)
    output, peak = output_and_peak_memory("analyze", path, "--json")
    path.unlink()
    found = strict(output)
    assert found["n_parameters"] == 1 << 28 and found["optimal"]["amount"] == 0.8
    assert peak < 700e6


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's account of peak memory")
def test_pruning_a_tensor_takes_less_memory_than_the_tensor(tmp_path):
    """512 MB of float32 in a single tensor: only its mask (a quarter of the size) and blocks are in memory."""
    path, out, size = tmp_path / "x.safetensors", tmp_path / "out.safetensors", 1 << 29
    ones = np.ones(1 << 20, dtype="<f4")
    with path.open("wb") as file:
        file.write(safetensors({"layer.weight": entry(0, size)}, ones.tobytes()))
        file.truncate(file.tell() + size - ones.nbytes)
    output, peak = output_and_peak_memory("prune", path, out, "--amount", "0.999")
    assert "pruned 134,083,510 of 134,217,728 values" in output and out.stat().st_size == path.stat().st_size
    kept = np.memmap(out, dtype="<f4", mode="r", offset=out.stat().st_size - size)
    assert np.count_nonzero(kept[: 1 << 20]) == round(0.001 * (1 << 27))
    path.unlink()
    out.unlink()
    assert peak < size


def output_and_peak_memory(*arguments: object) -> tuple[str, int]:
    """Return the output of a command and its peak memory in bytes.

    VmHWM counts this process only; ru_maxrss starts at the peak of the parent process.
    """
    peak = "import atexit, sys\natexit.register(lambda: sys.stderr.write(open('/proc/self/status').read()))\n"
    command = [sys.executable, "-c", peak + PROGRAM, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    memory = re.search(r"VmHWM:\s+(\d+) kB", run.stderr)
    assert memory is not None
    return run.stdout, int(memory[1]) << 10
