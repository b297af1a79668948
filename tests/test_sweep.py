"""Sweeps: complete, resumed, killed, shared, on three backends; invalid input; and the command."""

import copy
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from sweeping import few
from torch import nn
from torch.nn.utils import prune as torch_prune

import wmgp
from wmgp import InputError
from wmgp import cli as wmgp_cli
from wmgp.experiments import data, models
from wmgp.experiments.results import provenance, tables
from wmgp.experiments.sweep import backends, cli, job, presets, resume, runner, worker
from wmgp.experiments.sweep.presets import Sweep
from wmgp.experiments.training import augmentation, cuda_graphs, loop, recipes, sgd
from wmgp.experiments.training.sgd import REFERENCE, Recipe
from wmgp.pruning_methods import METHODS

HERE = Path(__file__).parent
TWO_METHODS = ("l1", "random")
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"}


def cells(table):
    """The sorted rows without their times."""
    rows = tables.read(table).drop(columns="seconds")
    return rows.sort_values(["seed", "method", "amount"]).reset_index(drop=True)


def same(a, b):
    left, right = cells(a), cells(b)
    return list(left.columns) == list(right.columns) and left.equals(right)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The table of an uninterrupted sweep in this process."""
    table = tmp_path_factory.mktemp("whole") / "sweep.csv"
    assert runner.run([few(TWO_METHODS)], table, device="cpu") == 32
    return table


def start(table, backend, jobs, methods, *more):
    """Start the same sweep in a separate process."""
    arguments = [sys.executable, HERE / "sweeping.py", table, backend, str(jobs), ",".join(methods), *more]
    return subprocess.Popen(arguments, env=ENVIRONMENT, start_new_session=True, stderr=subprocess.PIPE, text=True)


def finish(process, seconds):
    """Wait for the process to succeed; after a timeout, kill its process group."""
    try:
        error = process.communicate(timeout=seconds)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    assert process.returncode == 0, error


# -- rows -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_has_every_row_with_the_values_of_its_job(whole):
    rows: Any = tables.read(whole)
    assert list(rows.columns) == list(tables.SWEEP) and set(tables.COLUMNS) < set(rows.columns)
    keys = set(zip(rows["seed"], rows["method"], rows["amount"], strict=True))
    assert len(rows) == 32 and keys == {(s, m, a) for s in (0, 1) for m in TWO_METHODS for a in presets.grid(7)}
    assert set(rows["data"]) == {"few"} and set(rows["network"]) == {"mine"} and rows["run"].nunique() == 2
    mine = few(TWO_METHODS)
    assert mine.load is not None and mine.config is not None
    images = mine.load(True), mine.load(False)
    parent = models.build("lenet5", 1)
    loop.train(parent, images[0], 2, 1, mine.config.recipe)
    row = rows[(rows["seed"] == 1) & (rows["method"] == "random") & (rows["amount"] == round(4 / 7, 10))].iloc[0]
    before = loop.evaluate(parent, images[1])
    expected = job.prune_and_finetune(
        parent, before, "random", row["amount"], *images, worker.FINE_TUNING_SEED_OFFSET + 1, mine.config.tuning
    )
    for name in set(expected) - {"seconds"}:
        assert row[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-6), name


@pytest.mark.slow
def test_overlapping_sweeps_give_every_row_once(whole, tmp_path):
    """Settings include neither amounts nor methods, so both sweeps use the same parents."""
    asked = few(TWO_METHODS)
    halves = [replace(asked, amounts=asked.amounts[:3]), replace(asked, amounts=asked.amounts[2:], seeds=(0,))]
    told = []
    rows = runner.run(halves, tmp_path / "sweep.csv", device="cpu", progress=lambda *what: told.append(what))
    assert rows == 2 * 2 * 3 + 2 * 5 and ("parents", 3, 3) in told
    expected = cells(whole)
    expected = expected[(expected["seed"] == 0) | (expected["amount"] <= asked.amounts[2])].reset_index(drop=True)
    assert cells(tmp_path / "sweep.csv").equals(expected)


@pytest.mark.slow
def test_the_provenance_of_a_run_has_all_settings(whole):
    for run, recorded in provenance.provenance(whole).items():
        rows = tables.read(whole)
        assert set(rows.loc[rows["run"] == run, "seed"]) == {recorded["seed"]}
        assert len(recorded["parent_sha256"]) == len(recorded["source_sha256"]) == 64
        assert {"data_sha256", "recipe", "tuning", "parent_epochs", "start", "device", "commit"} <= set(recorded)


@pytest.mark.slow
def test_the_same_seeds_give_the_same_rows(whole, tmp_path):
    assert runner.run([few(TWO_METHODS)], tmp_path / "again.csv", device="cpu") == 32
    assert same(whole, tmp_path / "again.csv")


def test_metrics_of_a_completely_pruned_network(whole):
    """All outputs are 0: the loss is ln 10, the prediction is always class 0, and the cosine is undefined."""
    rows: Any = tables.read(whole)
    last = rows[rows["amount"] == 1]
    assert len(last) == 4 and last["min_survival"].eq(0).all() and last["cosine"].isna().all()
    assert last["loss"].to_numpy() == pytest.approx(np.log(10), abs=1e-6)
    load = few(TWO_METHODS).load
    assert load is not None
    images = load(False)
    assert last["accuracy"].to_numpy() == pytest.approx((images.labels == 0).double().mean().item())


# -- interrupted and shared sweeps ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_interrupted_sweep_resumes(whole, tmp_path):
    table = tmp_path / "sweep.csv"
    lines = whole.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:20]) + lines[20][:30])  # nineteen rows and a truncated row
    table.with_suffix(".json").write_bytes(whole.with_suffix(".json").read_bytes())
    assert runner.run([few(TWO_METHODS)], table, device="cpu") == 13
    assert same(whole, table)
    before = table.read_bytes()
    assert runner.run([few(TWO_METHODS)], table, device="cpu") == 0 and table.read_bytes() == before


@pytest.mark.slow
def test_a_killed_sweep_resumes(whole, tmp_path):
    table = tmp_path / "sweep.csv"
    process = start(table, "loky", 2, TWO_METHODS)
    deadline = time.monotonic() + 100
    while not table.exists() or table.read_bytes().count(b"\n") < 4:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = table.read_bytes().count(b"\n") - 1
    assert 3 <= kept < 32
    assert runner.run([few(TWO_METHODS)], table, device="cpu") == 32 - kept
    assert same(whole, table)


@pytest.mark.slow
def test_a_terminated_sweep_ends_its_workers(tmp_path):
    """Otherwise, loky's workers would keep running for minutes, each with a network and a data set."""
    program = "import sys; from wmgp.cli import main; main(sys.argv[1:])"
    asked = ["sweep", "--preset", "quick", "--jobs", "2", "--device", "cpu", "--out", str(tmp_path / "sweep.csv")]
    run = subprocess.Popen([sys.executable, "-c", program, *asked], env=ENVIRONMENT, start_new_session=True)
    try:
        wait_until(lambda: list(tmp_path.glob("parents/*")), 120)
        run.terminate()
        assert run.wait(60) == 128 + signal.SIGTERM
        wait_until(lambda: not alive(run.pid), 30)
    finally:
        if alive(run.pid):
            os.killpg(run.pid, signal.SIGKILL)


def wait_until(there, seconds):
    ends = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < ends
        time.sleep(0.1)


def alive(group):
    """Return True if a process of the group still exists."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_two_sweeps_share_a_table(whole, tmp_path):
    """Both measure l1; the table has no duplicate rows."""
    table = tmp_path / "sweep.csv"
    both = [start(table, "loky", 1, methods) for methods in (TWO_METHODS, ("l1",))]
    for process in both:
        finish(process, 150)
    assert same(whole, table)


@pytest.mark.slow
def test_threads_of_a_process_give_the_same_rows(tmp_path):
    """Dropout draws from the random state that all threads share, so one job runs at a time."""

    def build(seed):
        return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 20), nn.Dropout(0.5), nn.ReLU(), nn.Linear(20, 10))

    asked = replace(few(TWO_METHODS), amounts=(0.5, 0.9), seeds=(0, 1, 2, 3), build=build)
    for backend in ("sequential", "threading"):
        assert runner.run([asked], tmp_path / f"{backend}.csv", 4, "cpu", backend) == 16
        shutil.rmtree(tmp_path / "parents")
    assert same(tmp_path / "sequential.csv", tmp_path / "threading.csv")


def test_a_row_is_added_once(whole, tmp_path):
    table = tmp_path / "copy.csv"
    table.write_bytes(whole.read_bytes())
    row = tables.read(whole).iloc[3].to_dict()
    tables.append_row(table, row, unless=("run", "method", "amount"))
    assert table.read_bytes() == whole.read_bytes()
    tables.append_row(table, {**row, "amount": 0.123}, unless=("run", "method", "amount"))
    assert len(table.read_text().splitlines()) == 34


def test_a_corrupt_line_stops_a_sweep_before_it_starts(whole, tmp_path):
    table = tmp_path / "sweep.csv"
    lines = whole.read_text().splitlines(keepends=True)
    table.write_text("".join([*lines[:5], lines[5].replace(",l1,", ",", 1), *lines[6:]]))
    table.with_suffix(".json").write_bytes(whole.with_suffix(".json").read_bytes())
    before = table.read_bytes()
    with pytest.raises(InputError, match=r"sweep\.csv, line 6: expected 21 columns, found 20"):
        runner.run([few(TWO_METHODS)], table, device="cpu")
    assert table.read_bytes() == before
    other = tmp_path / "other.csv"
    header, rest = whole.read_text().split("\n", 1)
    other.write_text(f"{header},rule\n{rest}".replace("\n", ",optimal\n").replace("rule,optimal", "rule"))
    other.with_suffix(".json").write_bytes(whole.with_suffix(".json").read_bytes())
    with pytest.raises(InputError, match=r"other\.csv: expected a table of the columns network, data.*loss_parent$"):
        runner.run([few(TWO_METHODS)], other, device="cpu")


@pytest.mark.slow
def test_a_full_disk_is_reported_in_one_line_and_keeps_the_rows(whole, tmp_path, monkeypatch):
    table, append, room = tmp_path / "sweep.csv", tables.append_row, iter(range(3))

    def full(*arguments, **more):
        if next(room, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(*arguments, **more)

    monkeypatch.setattr(resume, "append_row", full)
    with pytest.raises(InputError, match=r"sweep\.csv: No space left on device$"):
        runner.run([few(TWO_METHODS)], table, device="cpu")
    assert len(tables.read(table)) == 3
    monkeypatch.setattr(resume, "append_row", append)
    assert runner.run([few(TWO_METHODS)], table, device="cpu") == 29
    assert same(whole, table)


# -- other processes ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "package"), [("loky", "joblib"), ("dask", "distributed"), ("ray", "ray")])
def test_a_killed_worker_does_not_change_the_rows(whole, tmp_path, backend, package):
    pytest.importorskip(package)
    table = tmp_path / "sweep.csv"
    process = start(table, backend, 2, TWO_METHODS, "kill")
    finish(process, 240)
    assert (tmp_path / "pids" / "killed").exists()
    assert len(list((tmp_path / "pids").iterdir())) >= 3  # two workers and the file `killed`
    assert same(whole, table)


def fail_at_three(n):
    if n == 3:
        raise ValueError("three")
    return n


def test_an_exception_in_a_task_is_raised(recwarn):
    with backends.use_backend("threading", 2):
        assert sorted(backends.run_tasks(fail_at_three, [(n,) for n in (1, 2, 4, 5)])) == [1, 2, 4, 5]
        with pytest.raises(ValueError, match="three"):
            list(backends.run_tasks(fail_at_three, [(n,) for n in range(9)]))
    assert not recwarn.list


def test_a_task_that_kills_every_worker_is_abandoned(monkeypatch):
    tries = []

    def broken(work, tasks):
        tries.append(len(tasks))
        raise RuntimeError("a worker died")
        yield

    monkeypatch.setattr(backends, "_run_remaining", broken)
    with pytest.raises(InputError, match=r"workers failed 3 times without a result \(RuntimeError: a worker died\)"):
        list(backends.run_tasks(fail_at_three, [(0,)]))
    assert tries == [1, 1, 1]


def test_a_missing_package_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match="backend 'dask': distributed is missing: pip install 'wmgp"):
        with backends.use_backend("dask", 1):
            pass


@pytest.mark.slow
def test_the_example_in_the_book_runs(tmp_path):
    """The first program of the page on sweeps, run twice over fewer amounts and seeds."""
    page = (HERE.parent / "book" / "sweeps.md").read_text(encoding="utf-8")
    program = page.split("```python\n")[1].split("```")[0]
    assert len(program.splitlines()) <= 25
    for long, short in (("grid(20)", "grid(2)"), ("(0, 1)", "(3,)"), ("epochs=20", "epochs=8"), ("jobs=2", "jobs=1")):
        assert long in program
        program = program.replace(long, short)
    (tmp_path / "mine.py").write_text(program)
    for added in (6, 0):
        command = [sys.executable, "-W", "error", "mine.py"]
        done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, f"{added} rows added\n"), done.stderr
    rows: Any = tables.read(tmp_path / "results" / "mlp.csv")
    assert set(rows["network"]) == {"mlp"} and rows["accuracy_parent"].min() > 0.8


# -- data and networks ----------------------------------------------------------------------------------------------


def test_an_interrupted_download_leaves_no_files_and_is_reported_in_one_line(tmp_path, monkeypatch):
    from torchvision import datasets

    def broken(root, train=True, download=False):
        folder = Path(root, "MNIST", "raw")
        folder.mkdir(parents=True)
        (folder / "train-images-idx3-ubyte.gz").write_bytes(b"half")
        raise URLError("no network")

    monkeypatch.setenv("WMGP_DATA", str(tmp_path))
    monkeypatch.setattr(datasets, "MNIST", broken)
    with pytest.raises(InputError, match=r"data 'mnist': .*expected MNIST there.*could not be downloaded") as caught:
        data.load("mnist", True)
    assert "no network" in str(caught.value) and "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_complete_download_is_moved_into_the_data_folder(tmp_path, monkeypatch):
    from torchvision import datasets

    class Made:
        data = torch.zeros(2, 28, 28, dtype=torch.uint8)
        targets = torch.tensor([1, 2])

        def __init__(self, root, train=True, download=False):
            raw = Path(root, "MNIST", "raw")
            assert raw.exists() != download
            if download:
                raw.mkdir(parents=True)

    monkeypatch.setenv("WMGP_DATA", str(tmp_path))
    monkeypatch.setattr(datasets, "MNIST", Made)
    assert data.load("mnist", True).labels.tolist() == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]
    assert data.load("mnist", False).labels.tolist() == [1, 2]


def test_normalised_pixels_by_hand():
    images = np.array([0, 255], dtype=np.uint8).reshape(2, 1, 1, 1)
    plain = data.image_data_from_arrays("x", images, np.array([0, 1]))
    assert plain.batch(torch.tensor([1, 0]))[0].flatten().tolist() == [1, 0]
    normalised = replace(plain, mean=(0.25,), std=(0.5,))
    assert normalised.batch(torch.tensor([0, 1]))[0].flatten().tolist() == [-0.5, 1.5]


def test_imagenet_weights_get_a_new_last_layer(monkeypatch):
    from torchvision import models as torchvision_models

    def get_model(name, weights):
        assert (name, weights) == ("mobilenet_v2", "IMAGENET1K_V1")
        return nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.ReLU(), nn.Linear(6, 1000)))

    monkeypatch.setattr(torchvision_models, "get_model", get_model)
    one, two = models.build("mobilenet_v2", 3, "IMAGENET1K_V1"), models.build("mobilenet_v2", 3, "IMAGENET1K_V1")
    last = [network.get_parameter("1.1.weight") for network in (one, two)]
    assert last[0].shape == (10, 6) and torch.equal(*last)
    monkeypatch.undo()
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *a, **k: (_ for _ in ()).throw(URLError("no")))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", torch.hub.load_state_dict_from_url)
    with pytest.raises(InputError, match="network 'resnet18': weights IMAGENET1K_V1: .*expected torchvision's file in"):
        models.build("resnet18", 0, "IMAGENET1K_V1")


# -- batches and recipes --------------------------------------------------------------------------------------------


def test_crops_and_flips_are_pieces_of_the_padded_image(rng):
    images = rng.integers(1, 256, (40, 2, 5, 6), dtype=np.uint8)
    made = data.image_data_from_arrays("x", images, np.arange(40) % 10)
    [(batch, labels)] = augmentation.batches(made, 40, torch.Generator().manual_seed(0), crop=2, flip=True)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert labels.tolist() == made.labels[order].tolist()
    padded, found = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2))), set()
    pixels = (batch * 255).round().byte().numpy()
    for image, source in zip(pixels, padded[order.numpy()], strict=True):
        pieces = {
            (down, right, turned): source[:, down : down + 5, right : right + 6][:, :, :: -1 if turned else 1]
            for down in range(5) for right in range(5) for turned in (False, True)
        }  # fmt: skip
        [place] = [place for place, piece in pieces.items() if np.array_equal(piece, image)]
        found.add(place)
    assert {turned for *_, turned in found} == {False, True}
    assert {down for down, *_ in found} == {right for _, right, _ in found} == set(range(5))


def test_every_network_has_its_recipes():
    for network in models.NETWORKS:
        assert recipes.experiment_config(network, "cifar10", "reference").recipe == REFERENCE or network in (
            "resnet18",
            "vgg11_bn",
        )
        assert recipes.experiment_config(network, "cifar10", "strong").tuning.learning_rate == REFERENCE.learning_rate
        assert recipes.experiment_config(network, "cifar10", device="cuda").tuning.bfloat16 == (
            not network.startswith("lenet")
        )
    assert recipes.experiment_config("lenet5", "mnist") == recipes.ExperimentConfig(REFERENCE, 25)
    assert recipes.experiment_config("lenet5", "digits") == recipes.DIGITS_CONFIG
    assert not recipes.experiment_config("mobilenet_v2", "cifar10", device="cpu").recipe.bfloat16
    assert recipes.experiment_config("mobilenet_v2", "cifar10", "imagenet").weights == "IMAGENET1K_V1"
    with pytest.raises(InputError, match="recipe 'imagenet': expected one of reference, strong for network 'lenet5'"):
        recipes.experiment_config("lenet5", "mnist", "imagenet")


def test_the_one_cycle_learning_rate_is_a_triangle():
    recipe = Recipe(0.4, one_cycle=True)
    rates = [recipe.learning_rate_at(step, 16) for step in range(16)]
    assert rates[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4]) and rates[4] == 0.4 and rates[-1] == pytest.approx(0.4 / 12)
    assert np.diff(rates[4:]) == pytest.approx(-0.4 / 12)
    assert [REFERENCE.learning_rate_at(step, 9) for step in (0, 8)] == [0.001, 0.001]
    assert [recipe.learning_rate_at(step, steps) for step, steps in ((0, 1), (1, 2))] == pytest.approx([0.4, 0.4])


def test_settings_omit_unused_options():
    assert REFERENCE.settings() == {"learning_rate": 0.001, "momentum": 0.9, "weight_decay": 0.0, "batch_size": 256}
    assert replace(REFERENCE, bfloat16=True).settings() == {**REFERENCE.settings(), "bfloat16": True}


class Small(nn.Sequential):
    """A convolution, batch normalisation and a linear layer, initialised with a fixed seed."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(nn.Conv2d(1, 4, 5, stride=3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))


@pytest.mark.parametrize("recipe", [
    Recipe(0.05, 0.9, 0.01, 64),
    Recipe(0.1, 0.9, 5e-4, 64, nesterov=True, one_cycle=True, crop=2, flip=True),
    Recipe(0.05, 0.9, 0.01, 64, channels_last=False),
], ids=["plain", "strong", "contiguous"])  # fmt: skip
def test_masked_steps_equal_steps_with_torch_prune(recipe):
    """Both networks see the same batches; each epoch is one step."""
    images = replace(data.load("digits", True))
    images = data.image_data_from_arrays("few", images.images[:64].numpy(), images.labels[:64].numpy())
    ours, torchs, steps = Small(), Small(), ([], [])
    masks = wmgp.global_masks(ours, 0.6)
    wmgp.apply_masks(ours, masks)
    for name, mask in masks.items():
        module, _, parameter = name.rpartition(".")
        torch_prune.custom_from_mask(torchs.get_submodule(module), parameter, mask)

    def keep(model, into):
        return lambda epoch: into.append({name: p.detach().clone() for name, p in model.named_parameters()})

    loop.train(ours, images, 5, 1, recipe, masks, keep(ours, steps[0]))
    loop.train(torchs, images, 5, 1, recipe, None, keep(torchs, steps[1]))
    assert len(steps[0]) == 5
    for mine, theirs in zip(*steps, strict=True):
        for name, mask in masks.items():
            torch.testing.assert_close(mine[name], theirs[f"{name}_orig"] * mask, rtol=1e-4, atol=1e-6)
            assert not mine[name][~mask].any() and not torch.signbit(mine[name][~mask]).any()


def test_evaluation_during_training_keeps_pruned_weights_at_zero():
    """Training holds references to the weights' storage, so evaluation must not move it."""
    images = data.load("digits", True)
    images = data.image_data_from_arrays("few", images.images[:64].numpy(), images.labels[:64].numpy())
    model = Small()
    masks = wmgp.global_masks(model, 0.6)
    wmgp.apply_masks(model, masks)

    def look(epoch):
        loop.evaluate(model, images)

    loop.train(model, images, 2, 0, Recipe(0.05, 0.9, 0.01, 64, channels_last=False), masks, after_epoch=look)
    weights = dict(model.named_parameters())
    assert not any(weights[name][~mask].any() for name, mask in masks.items())


def test_dropout_depends_only_on_the_seed():
    """Earlier draws have no effect, and the global random state does not change."""
    images, trained = data.load("digits", True), []
    for seed, drawn in ((1, 0), (1, 5), (2, 0)):
        model = nn.Sequential(*Small(), nn.Dropout(0.5), nn.Linear(10, 10))
        torch.manual_seed(drawn)
        before = torch.get_rng_state()
        nn.init.ones_(model.get_parameter("6.weight"))
        loop.train(model, images, 1, seed, Recipe(0.05, batch_size=512))
        assert torch.equal(torch.get_rng_state(), before)
        trained.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(trained[0], trained[1]) and not torch.equal(trained[0], trained[2])


def test_a_replayed_step_equals_a_plain_step():
    """A recorded step reads every batch from the same buffers. Batches of another shape use a plain step."""
    taken, batches, recorded = ([], []), [torch.full((n,), float(i)) for i, n in enumerate((4, 4, 4, 4, 2, 4, 4))], []

    def record(step, inputs):
        recorded.append(inputs)
        return lambda: step(*inputs)

    def step_into(into):
        return lambda x, y: into.append((x.clone(), y.clone()))

    replayed = cuda_graphs.GraphedStep(step_into(taken[1]), record)
    for batch in batches:
        step_into(taken[0])(batch, -batch)
        replayed(batch, -batch)
    assert len(recorded) == 1 and len(taken[1]) == len(batches)
    for plain, played in zip(*taken, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(plain, played, strict=True))


def test_networks_trained_together_equal_networks_trained_alone():
    """On the CPU the weights are bitwise equal. Each network has its own masks."""
    images, recipe = data.load("digits", True).first(300), Recipe(0.05, 0.9, 0.01, 64, one_cycle=True)
    alone, together = [[Small() for _ in range(3)] for _ in range(2)]
    masks = [wmgp.prune(model, 0.3 * number, "random", generator=number) for number, model in enumerate(alone)]
    for model, mask in zip(alone, masks, strict=True):
        loop.train(model, images, 2, 4, recipe, mask)
    for model, mask in zip(together, masks, strict=True):
        wmgp.apply_masks(model, mask)
    loop.train_side_by_side(together, images, 2, 4, recipe, masks)
    for one, other in zip(alone, together, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_tensor_learning_rate_gives_the_same_steps_as_a_number():
    """The optimizer for CUDA graphs, run on the CPU, reads its learning rate at every step."""
    recipe = Recipe(0.1, 0.9, 5e-4, nesterov=True)
    plain, fused = Small(), Small()
    rate = torch.tensor(0.1)
    optimizers = sgd.make_optimizer(plain, recipe, 0.1), sgd.make_optimizer(fused, recipe, rate)
    inputs = torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for step in range(4):
        optimizers[0].param_groups[0]["lr"] = 0.1 / (step + 1)
        rate.fill_(0.1 / (step + 1))
        for model, optimizer in zip((plain, fused), optimizers, strict=True):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()  # a diverging loss would amplify rounding errors
            optimizer.step()
    for a, b in zip(plain.parameters(), fused.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_bfloat16_training_keeps_float32_weights_and_pruned_zeros():
    images = data.load("digits", True)
    model = Small()
    before, masks = copy.deepcopy(model), wmgp.prune(model, 0.5)
    loop.train(model, images, 3, 0, Recipe(0.05, batch_size=32, bfloat16=True), masks)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert not any(p[~masks[name]].any() for name, p in model.named_parameters())
    test = data.load("digits", False)
    assert loop.evaluate(model, test).accuracy > loop.evaluate(before, test).accuracy + 0.5


# -- invalid input, and the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("wrong", "said"), [
    ({"methods": ("l7",)}, "method 'l7': expected one of l1"),
    ({"amounts": (0.5, 1.5)}, r"amount 1.5: expected a share in \[0, 1\]"),
    ({"network": "lenet"}, "network 'lenet': expected one of lenet5"),
    ({"network": "resnet18"}, r"network 'resnet18': expected images of \(3, 32, 32\)"),
    ({"data": "mnits"}, "data 'mnits': expected one of digits"),
    ({"recipe": "best"}, "recipe 'best': expected one of reference, strong"),
    ({"seeds": ()}, "at least one method, one amount and one seed"),
    ({"build": lambda seed: Small()}, "expected a config, because `build` is set"),
])  # fmt: skip
def test_invalid_sweeps_are_refused_and_write_no_files(tmp_path, wrong, said):
    with pytest.raises(InputError, match=said):
        runner.run([replace(Sweep(), **wrong)], tmp_path / "sweep.csv", device="cpu")
    assert not list(tmp_path.iterdir())


def run(capsys, *arguments):
    code = wmgp_cli._run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.slow
def test_the_command_runs_a_preset_and_adds_missing_rows(tmp_path, capsys):
    table = tmp_path / "results" / "tiny.csv"
    code, out, err = run(capsys, "sweep", "--preset", "tiny", "--jobs", 1, "--device", "cpu", "--out", table)
    assert (code, out) == (0, f"6 rows added to {table}\n") and err == "parents: 1 done\njobs: 6 done\n"
    more = "--methods", "l1", "lamp", "--amounts", "0:1:0.5", "0.9"
    code, out, _ = run(capsys, "sweep", "--preset", "tiny", *more, "--jobs", 1, "--device", "cpu", "--out", table)
    assert (code, out) == (0, f"5 rows added to {table}\n")
    rows = tables.read(table)
    assert set(rows.loc[rows["method"] == "lamp", "amount"]) == {0, 0.5, 0.9, 1}
    code, out, _ = run(capsys, "sweep", "--preset", "tiny", "--jobs", 1, "--device", "cpu", "--out", table)
    assert (code, out) == (0, f"{table} has every row already\n")


@pytest.mark.slow
def test_longer_fine_tuning_is_another_run_of_the_same_parent(tmp_path, capsys):
    table, tiny = tmp_path / "results" / "tiny.csv", ("--preset", "tiny", "--methods", "l1", "--amounts", "0.9")
    for more in ((), ("--tuning-epochs", 3), ("--tuning-epochs", 0)):
        code, out, _ = run(capsys, "sweep", *tiny, *more, "--jobs", 1, "--device", "cpu", "--out", table)
        assert (code, out) == (0, f"1 rows added to {table}\n")
    rows: Any = tables.read(table)
    runs = provenance.provenance(table)
    assert rows["epochs"].tolist() == [1, 3, 0] and len(set(rows["run"])) == 3
    assert len({run["parent_sha256"] for run in runs.values()}) == 1
    assert rows["accuracy"][2] == rows["accuracy_pruned"][2] and len(set(rows["loss"])) == 3
    assert len(list(table.parent.rglob("lenet5-digits-seed0.safetensors"))) == 1


@pytest.mark.parametrize(("arguments", "said"), [
    ((), "--network or --preset: expected one of them"),
    (("--preset", "huge"), "--preset huge: expected one of paper, cpu, quick, tiny"),
    (("--preset", "tiny", "--network", "resnet18"), "--network resnet18: not in preset tiny"),
    (("--preset", "tiny", "--amounts", "0:2:0.5"), "--amounts 0:2:0.5: expected shares in [0, 1]"),
    (("--preset", "tiny", "--amounts", "0:1:0"), "--amounts 0:1:0: expected shares"),
    (("--preset", "tiny", "--amounts", "half"), "--amounts half: expected shares"),
    (("--preset", "tiny", "--seeds", "3-1"), "--seeds 3-1: expected FIRST-LAST"),
    (("--preset", "tiny", "--seeds", "-1"), "--seeds"),
    (("--preset", "tiny", "--seeds", "one"), "--seeds one: expected whole numbers"),
    (("--preset", "tiny", "--backend", "spark"), "--backend spark: expected loky, dask or ray"),
    (("--preset", "tiny", "--seeds", "0-99999999999"), "--seeds 0-99999999999: expected at most 100,000 seeds"),
    (("--preset", "tiny", "--device", "gpu"), "device 'gpu'"),
    (("--preset", "tiny", "--device", "meta"), "device 'meta'"),
    (("--preset", "tiny", "--device", "meta", "--jobs", "1"), "device 'meta'"),
    (("--network", "lenet5", "--data", "mnist"), "data 'mnist': set WMGP_DATA"),
])  # fmt: skip
def test_invalid_options_are_refused_in_one_line(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.delenv("WMGP_DATA", raising=False)
    code, out, err = run(capsys, "sweep", *arguments, "--out", tmp_path / "t.csv")
    assert (code, out) == (2, "") and said in err and err.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("out", "said"), [
    ("", "expected a table, NAME.csv; this is a folder, a device or a pipe"),
    ("x.json", "x.json: expected a table, NAME.csv; its provenance goes to NAME.json beside it"),
    ("results/x", "results/x: expected a table, NAME.csv"),
    ("/dev/null", "/dev/null: expected a table, NAME.csv; this is a folder, a device or a pipe"),
    ("pipe.csv", "pipe.csv: expected a table, NAME.csv; this is a folder, a device or a pipe"),
])  # fmt: skip
def test_an_invalid_table_path_is_refused_before_training(tmp_path, capsys, monkeypatch, out, said):
    def train(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr(runner, "run", train)
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.csv")
    code, printed, err = run(capsys, "sweep", "--preset", "tiny", "--jobs", 1, "--out", out)
    assert (code, printed) == (2, "") and said in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.csv"]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_parent_with_low_accuracy_gives_one_warning(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(recipes.MIN_PARENT_ACCURACY, ("lenet5", "digits"), 0.999)
    tiny = "--preset", "tiny", "--jobs", 1, "--device", "cpu"
    code, out, err = run(capsys, "sweep", *tiny, "--out", tmp_path / "t.csv")
    assert code == 0 and out.startswith("6 rows added")
    said = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert len(said) == 1 and "warning: lenet5 on digits, seed 0: the parent's accuracy is" in said[0]
    assert said[0].endswith("expected at least 100%: its prunes are no evidence")


def test_options_are_parsed():
    assert cli.repeat_options(["--methods", "l1", "random", "--out", "x"]) == [
        "--methods", "l1", "--methods", "random", "--out", "x",
    ]  # fmt: skip
    assert cli.parse_amounts(["0:1:0.05"]) == presets.grid(20) == tuple(i / 20 for i in range(21))
    assert (
        cli.parse_amounts(["0:1:0.01"]) == presets.PERCENT_GRID and cli.parse_amounts(["0.5", "0:0.3:0.1"])[-1] == 0.3
    )
    assert cli.parse_seeds(["0-3", "7", "2"]) == (0, 1, 2, 3, 7)


def test_presets_use_known_methods_and_networks():
    for name, each in presets.PRESETS.items():
        for one in each:
            assert set(one.methods) <= set(METHODS) and (one.build or one.network in models.NETWORKS), name
            assert one.config or recipes.experiment_config(one.network, one.data, one.recipe)
    [quick] = presets.PRESETS["quick"]
    assert quick.data == "digits"  # needs no download
