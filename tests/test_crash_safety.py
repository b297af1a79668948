"""Crashes, signals, full disks and races leave the old output or none; errors are one line."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import wmgp
from wmgp import cli
from wmgp.io import writing
from wmgp.io.atomic import staging_dir, write_atomic
from wmgp.io.checkpoints import open_checkpoint
from wmgp.io.writing import save_pruned

pytestmark = pytest.mark.slow

PROGRAM = "import sys; from wmgp.cli import main; main(sys.argv[1:])"
KINDS = ["safetensors", "pt", "shards"]


def source(folder: Path, kind: str) -> Path:
    state = {"a.weight": torch.arange(1.0, 2001.0), "b.weight": torch.arange(1.0, 9.0)}
    path = folder / f"source.{kind}"
    if kind == "shards":
        path.mkdir()
        for name, values in state.items():
            save_file({name: values}, path / f"{name}.safetensors")
        table = {name: f"{name}.safetensors" for name in state}
        (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    else:
        save_file(state, path) if kind == "safetensors" else torch.save(state, path)
    return path


def masks(then=lambda: None):
    """Prune the first half of a.weight; call `then` before b.weight."""
    yield "a.weight", np.arange(2000) >= 1000
    then()
    yield "b.weight", np.ones(8, dtype=bool)


def content(path: Path) -> dict[Path, bytes]:
    files = path.rglob("*") if path.is_dir() else [path]
    return {file.relative_to(path): file.read_bytes() for file in files if file.is_file()}


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def half_a_copy(source, target):
    Path(target).write_bytes(Path(source).read_bytes()[:50])
    die()


def dies(fault: str, path: Path) -> list[tuple[Any, str, Any]]:
    """Return the patches that kill the process: (module, name, replacement)."""
    if fault == "copying":
        written = (torch, "save", lambda _, target, **__: half_a_copy(path, target))
        return [(shutil, "copyfile", half_a_copy), written]
    return [(writing, "_move_into_place", die)] if fault == "placing" else []


def killed(opened, out: Path, masks, force: bool) -> None:
    """Write the output in a forked process, which is killed."""
    child = os.fork()
    if child == 0:
        try:
            save_pruned(opened, out, masks, force)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", ["copying", "between masks", "placing"])
def test_a_killed_write_leaves_the_output_unchanged(tmp_path, monkeypatch, kind, fault, force):
    """The output is unchanged; the next run succeeds and leaves no temporary files."""
    opened, out = open_checkpoint(source(tmp_path, kind)), tmp_path / f"out.{kind}"
    if force:
        save_pruned(opened, out, [])
    before = content(out) if force else None
    for fatal in dies(fault, opened.path):
        monkeypatch.setattr(*fatal)
    killed(opened, out, masks(die if fault == "between masks" else lambda: None), force)
    assert (content(out) if out.exists() else None) == before
    assert list(tmp_path.glob(".wmgp-*"))
    monkeypatch.undo()
    save_pruned(opened, out, masks(), force)
    found = open_checkpoint(out).tensors["a.weight"]
    assert np.count_nonzero(found.numpy() if kind == "pt" else found.tensor().numpy()) == 1000
    assert set(tmp_path.iterdir()) == {opened.path, out}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_run_killed_while_it_replaces_a_folder_keeps_the_old_one(tmp_path, monkeypatch):
    """A folder cannot be replaced atomically: the old one is first moved aside."""
    opened, out = open_checkpoint(source(tmp_path, "shards")), tmp_path / "out"
    save_pruned(opened, out, [])
    before = content(out)
    monkeypatch.setattr(os, "replace", die)
    killed(opened, out, masks(), force=True)
    monkeypatch.undo()
    save_pruned(opened, out, masks())
    [kept] = tmp_path.glob(".wmgp-*/replaced")
    assert content(kept) == before != content(out)


def test_concurrent_runs_use_separate_staging_folders(tmp_path):
    with staging_dir(tmp_path) as first:
        with staging_dir(tmp_path) as second:
            assert first.is_dir() and second.is_dir() and first != second
        assert list(tmp_path.iterdir()) == [first]
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_atomic(path, b"old")
    monkeypatch.setattr(os, "replace", lambda *names: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(OSError, match="no"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_threads_can_write_the_same_file(tmp_path):
    path = tmp_path / "file.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: write_atomic(path, bytes([i]) * 100), range(200)))
    found = path.read_bytes()
    assert len(found) == 100 and len(set(found)) == 1 and list(tmp_path.iterdir()) == [path]


@pytest.fixture
def heard():
    """Deliver Ctrl-C here and to child processes, even if the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["analyze", "prune"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_no_output(tmp_path, monkeypatch, capfd, kind, command, sent):
    """Ctrl-C exits with code 130 and `kill` with 143; both print no more than warnings and leave no files."""
    path = source(tmp_path, kind)

    def interrupt(*_, **__):
        os.kill(os.getpid(), sent)
        time.sleep(5)

    if command == "analyze":
        monkeypatch.setattr("wmgp.analysis.measure", interrupt)
    else:
        monkeypatch.setattr(writing, "_move_into_place", interrupt)
    options = [str(tmp_path / "out"), "--amount", "0.5"] if command == "prune" else ["--json"]
    with pytest.raises(SystemExit) as caught:
        cli.main([command, str(path), *options])
    printed = capfd.readouterr()
    assert caught.value.code == 128 + sent and not printed.err
    assert all(line.startswith("warning: ") for line in printed.out.splitlines())
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    with pytest.raises(SystemExit) as caught:
        cli.main([command, str(path), *options])
    assert not caught.value.code


def large(path: Path, n: int) -> Path:
    """Write a sparse file of n float32 values."""
    header = json.dumps({"w.weight": {"dtype": "F32", "shape": [n], "data_offsets": [0, 4 * n]}}).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header + np.ones(1000, dtype="<f4").tobytes())
        file.truncate(8 + len(header) + 4 * n)
    return path


INTERRUPTED = f"""
import os, signal, wmgp.io.safetensors_files
release, once = wmgp.io.safetensors_files.MappedFile.release, iter([signal.SIGINT])
def released(*arguments):
    release(*arguments)
    for interrupt in once: os.kill(os.getpid(), interrupt)
wmgp.io.safetensors_files.MappedFile.release = released
{PROGRAM}
"""


@pytest.mark.usefixtures("heard")
def test_an_interrupt_stops_reading_threads(tmp_path):
    """Reading would take many seconds; it stops after the first block."""
    path = large(tmp_path / "x.safetensors", 1 << 34)  # 64 GiB, sparse on disk
    run = subprocess.run([sys.executable, "-c", INTERRUPTED, "analyze", str(path)], capture_output=True, timeout=100)
    assert (run.returncode, run.stdout, run.stderr) == (130, b"", b"")


CHANGING = """
import os, sys, wmgp
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
path, how = sys.argv[1:]
def progress(done, total):
    if done == 1 << 20:
        before = os.stat(path)
        if how == "shrinks": os.truncate(path, 4096)
        if how == "grows": os.truncate(path, before.st_size + 1)
        if how == "is written over":
            with open(path, "r+b") as file: file.seek(-4, 2); file.write(b"abcd")
        if how == "is replaced": os.replace(path + ".new", path)
        if how == "is deleted": os.remove(path)
try: print(wmgp.analyze(path, progress=progress).n_parameters)
except wmgp.InputError as error: print(error)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs one thread, so that the moment is known")
@pytest.mark.parametrize("how", ["shrinks", "grows", "is written over", "is replaced", "is deleted"])
def test_a_file_that_changes_while_it_is_read_does_not_crash(tmp_path, how):
    """A replaced or deleted file is still read to its end; other changes are a one-line error."""
    path = large(tmp_path / "x.safetensors", 3 << 20)
    shutil.copyfile(path, f"{path}.new")
    run = subprocess.run([sys.executable, "-c", CHANGING, path, how], capture_output=True, text=True)
    stays = how in ("is replaced", "is deleted")
    wanted = f"{3 << 20}" if stays else f"{path}: the file was changed while it was read"
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{wanted}\n", "")


@pytest.mark.parametrize("kind", ["pt", "legacy"])
def test_a_torch_file_may_be_overwritten_after_it_is_read(tmp_path, kind):
    path = tmp_path / "latest.pt"
    torch.save({"w.weight": torch.arange(1.0, 3000.0)}, path, _use_new_zipfile_serialization=kind == "pt")
    tensors = open_checkpoint(path).tensors
    os.truncate(path, 10)
    assert wmgp.analyze(tensors).n_parameters == 2999 and tensors["w.weight"][-1] == 2999


@pytest.mark.parametrize("how", ["replaced", "touched"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_source_that_changes_while_it_is_pruned_is_refused(tmp_path, kind, how):
    path = source(tmp_path, kind)
    file = path / "b.weight.safetensors" if kind == "shards" else path

    def change():
        if how == "touched":
            os.utime(file, ns=(1, 1))
        else:
            shutil.copyfile(file, tmp_path / "new")
            os.replace(tmp_path / "new", file)

    with pytest.raises(wmgp.InputError, match=f"{file.name}: the file was changed while it was"):
        save_pruned(open_checkpoint(path), tmp_path / "out", masks(change))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_later_of_two_runs_does_not_overwrite_the_output(tmp_path, monkeypatch, kind, links):
    """The output does not exist when either run starts."""
    opened, out = open_checkpoint(source(tmp_path, kind)), tmp_path / "out"

    def unsupported(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:  # as on a file system without hard links
        monkeypatch.setattr(os, "link", unsupported)
    with pytest.raises(wmgp.InputError, match="out: exists already; --force replaces it"):
        save_pruned(opened, out, masks(lambda: save_pruned(opened, out, [])))
    assert open_checkpoint(out).tensors.keys() == opened.tensors.keys()
    if kind == "safetensors":
        assert load_file(out)["a.weight"].count_nonzero() == 2000
    assert {path.name for path in tmp_path.iterdir()} == {f"source.{kind}", "out"}


def test_a_failed_replacement_restores_the_old_folder(tmp_path, monkeypatch):
    opened, out = open_checkpoint(source(tmp_path, "shards")), tmp_path / "out"
    save_pruned(opened, out, [])
    before = content(out)

    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(wmgp.InputError, match="out: cannot be written: Input/output error"):
        save_pruned(opened, out, masks(), force=True)
    assert content(out) == before and len(list(tmp_path.iterdir())) == 2


def unprivileged(arguments: list[Any], said: Path) -> int:
    """Run the command in a fork without privileges; write its output to `said` and return its exit code."""
    child = os.fork()
    if child == 0:
        try:
            stream = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            sys.stdout = sys.stderr = os.fdopen(stream, "w")
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            cli.main([str(argument) for argument in arguments])
        except SystemExit as error:
            sys.stderr.flush()
            os._exit(int(error.code or 0))
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_missing_permissions_are_one_line_errors(tmp_path):
    """A read-only folder and an unreadable file: the system's error in one line, and no output."""
    folder = Path(tempfile.mkdtemp())  # pytest's folders belong to one user
    try:
        path, secret = source(folder, "safetensors"), folder / "secret.safetensors"
        shutil.copyfile(path, secret)
        with pytest.raises(SystemExit):  # imports modules that the fork may not be able to read
            cli.main(["prune", str(path), str(tmp_path / "out"), "--amount", "0.5"])
        for one, mode in ((path, 0o644), (secret, 0), (folder, 0o555)):
            one.chmod(mode)
        for arguments, named in (
            (["prune", path, folder / "out", "--amount", "0.5"], "out: cannot be written: Permission denied"),
            (["analyze", secret], "secret.safetensors: cannot be read: Permission denied"),
        ):
            assert unprivileged(arguments, tmp_path / "said") == 2
            *warned, said = (tmp_path / "said").read_text().splitlines()
            assert said.startswith("wmgp: error: ") and said.endswith(named)
            assert all(line.startswith("warning: ") for line in warned)
        assert {file.name for file in folder.iterdir()} == {path.name, secret.name}
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_analyze_works_without_a_writable_numba_cache(tmp_path):
    """Package and home are not writable: numba gets a temporary cache folder, which is deleted."""
    package = Path(wmgp.__file__).parent
    shutil.copytree(package, tmp_path / "wmgp", ignore=shutil.ignore_patterns("__pycache__", "experiments", "figures"))
    (tmp_path / "wmgp" / "__pycache__").write_text("in the way")
    (tmp_path / "tmp").mkdir()
    path = large(tmp_path / "x.safetensors", 1 << 17)
    environment = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    environment |= {"HOME": "/dev/null", "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(tmp_path)}
    code = "import sys, wmgp; print(wmgp.__file__, wmgp.analyze(sys.argv[1]).n_parameters)"
    command = [sys.executable, "-c", code, path]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert (run.stderr, run.stdout) == ("", f"{tmp_path}/wmgp/__init__.py {1 << 17}\n")
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's disk that is always full")
def test_output_to_a_full_disk_is_a_one_line_error(tmp_path):
    path = source(tmp_path, "safetensors")
    with open("/dev/full", "w") as full:
        program = [sys.executable, "-c", PROGRAM, "analyze", str(path), "--json", "--amounts", "20000"]
        run = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (run.returncode, run.stderr) == (2, "wmgp: error: output: cannot be written: No space left on device\n")
