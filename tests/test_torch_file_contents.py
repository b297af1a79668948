"""Which part of a torch file is the network, what is ignored, and what each refusal says to open instead."""

import argparse
import pathlib
import pickle
import re
import runpy
import subprocess
import sys
import warnings
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import numpy as safetensors_numpy
from safetensors.torch import save_file
from torch import nn

import wmgp
from wmgp.io.checkpoints import open_checkpoint
from wmgp.io.writing import save_pruned
from wmgp.parameters import collect_with_warnings


def state(width: int, seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return dict(nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)).state_dict())


def n_values(width: int) -> int:
    return width * width + width + 10 * width + 10


def saved_at(tmp_path, saved, **options) -> pathlib.Path:
    torch.save(saved, tmp_path / "x.pt", **options)
    return tmp_path / "x.pt"


def refusal(path, key: str | None = None) -> str:
    with pytest.raises(wmgp.InputError) as caught:
        open_checkpoint(path, key)
    message = str(caught.value)
    assert message.isprintable() and message.startswith(f"{path}: ")
    return message


def adam(width: int) -> dict[str, Any]:
    model = nn.Linear(width, width)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(3, width)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


# -- The largest mapping is the network ----------------------------------------------------------------------------

BIG, SMALL = state(30), state(20, seed=1)
LARGEST = {  # saved object -> the key of the network, and what the warnings name
    "alone": (BIG, None, []),
    "a loose matrix beside it": (
        {"state_dict": BIG, "confusion": torch.rand(9, 9)},
        "state_dict",
        ["confusion [9, 9]"],
    ),
    "a larger loose tensor": ({"model": BIG, "history": torch.rand(300, 9)}, "model", ["history [300, 9]"]),
    "loose tensors and text": (
        {"model": BIG, "arch": "mlp", "mean": torch.rand(3, 1), "std": torch.rand(3)},
        "model",
        ["mean [3, 1], std [3]"],
    ),
    "two networks": ({"netD": SMALL, "netG": BIG}, "netG", [f"netD ({n_values(20):,} values, --key netD)"]),
    "parts": ({"encoder": SMALL, "decoder": BIG}, "decoder", ["--key encoder"]),
    "an ensemble": ([SMALL, BIG, state(20, seed=2)], "1", ["--key 0", "--key 2"]),
    "a list of one": ({"state_dict": [BIG]}, "state_dict.0", []),
    "a list and an epoch": ({"nets": (3, BIG)}, "nets.1", []),
    "deep": ({"a": {"b": [{"c": BIG}]}, "d": SMALL}, "a.b.0.c", ["--key d)"]),
    "numbers for names": ({0: SMALL, 1: {"model": BIG}}, "1.model", ["--key 0)"]),
    "an optimizer": (
        {"model": SMALL, "optimizer": adam(60)},
        "model",
        ["optimizer state in the file is ignored: optimizer"],
    ),
    "moments by name": (
        {"model": SMALL, "optim": {"exp_avg": BIG, "exp_avg_sq": BIG}},
        "model",
        ["optimizer state in the file is ignored: optim"],
    ),
    "moments of each": (
        {"model": SMALL, "named": {name: {"exp_avg": t, "exp_avg_sq": t} for name, t in BIG.items()}},
        "model",
        ["optimizer state in the file is ignored: named.0.weight"],
    ),
    "the top level": ({**BIG, "ema": SMALL}, None, ["--key ema"]),
    "data beside it": ({"net": SMALL, "features": {"train": torch.rand(99, 99)}}, "net", ["features.train [99, 99]"]),
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("case", LARGEST)
def test_the_largest_mapping_is_the_network_and_the_rest_is_named(tmp_path, case, legacy):
    saved, key, named = LARGEST[case]
    opened = open_checkpoint(saved_at(tmp_path, saved, _use_new_zipfile_serialization=not legacy))
    assert opened.key == key
    found = " | ".join(opened.warnings)
    assert all(name in found for name in named) and bool(named) == bool(found), found
    assert collect_with_warnings(tmp_path / "x.pt").warnings[: len(opened.warnings)] == list(opened.warnings)


@pytest.mark.parametrize("case", LARGEST)
def test_every_key_in_a_warning_opens_a_network(tmp_path, case):
    path = saved_at(tmp_path, LARGEST[case][0])
    for key in re.findall(r"--key (\S+?)\)", " ".join(open_checkpoint(path).warnings)):
        opened = open_checkpoint(path, key)
        assert opened.key == key and opened.warnings == ()
        assert sum(t.numel() for t in opened.tensors.values()) == n_values(20)


TIES = {
    "model and average": {"model": BIG, "ema": state(30, seed=2), "epoch": 3},
    "an average with a counter": {"model": BIG, "ema": {**state(30, seed=2), "decay": torch.tensor(0.9)}},
    "an ensemble": [BIG, state(30, seed=2), state(30, seed=3)],
    "a cascade": {"state_dict": [BIG, state(30, seed=2)], "epoch": 3},
    "the top level": {**BIG, "ema": state(30, seed=2)},
}


@pytest.mark.parametrize("case", TIES)
def test_networks_of_one_size_are_listed_and_every_key_works(tmp_path, case):
    path = saved_at(tmp_path, TIES[case])
    listed = refusal(path).partition("choose one of its state dicts with --key: ")[2].split(", ")
    assert len(listed) >= 2
    sums = {float(open_checkpoint(path, key).tensors["0.weight"].sum()) for key in listed}
    assert len(sums) == len(listed)
    assert f"no state dict under the key 'nothing'; choose one of its state dicts with --key: {listed[0]}" in refusal(
        path, "nothing"
    )


def test_a_network_that_two_names_share_is_one_network(tmp_path):
    opened = open_checkpoint(saved_at(tmp_path, {"model": BIG, "best": BIG}))
    assert opened.key == "model" and opened.warnings == ()
    assert open_checkpoint(tmp_path / "x.pt", "best").tensors.keys() == BIG.keys()


def test_a_key_opens_what_is_no_network_by_itself(tmp_path):
    path = saved_at(tmp_path, {"model": BIG, "table": torch.rand(3, 3), "stats": {"mean": torch.rand(3)}})
    assert list(open_checkpoint(path, ".").tensors) == ["table"]
    assert list(open_checkpoint(path, "stats").tensors) == ["mean"]
    for key in ("", "mo", "model.0", "table", "model.0.weight", ".."):
        assert "choose one of its state dicts with --key: ., model, stats" in refusal(path, key)


UNNAMED = [torch.rand(3, 3), [torch.rand(3, 3)], (1, torch.rand(9, 3), torch.rand(9, 1)), {0: torch.rand(3, 3)}]


@pytest.mark.parametrize("saved", UNNAMED, ids=["tensor", "list", "tuple", "numbers"])
def test_tensors_without_names_are_refused_with_a_remedy(tmp_path, saved):
    path = saved_at(tmp_path, saved)
    assert "no state dict: expected a mapping of names" in refusal(path)
    assert 'name its tensors, as torch.save({"NAME.weight": tensor}, NEW) does' in refusal(path)


def test_entries_that_are_no_tensors_are_named(tmp_path):
    extra = {
        "betas": (0.9, 0.99),
        "parts": [torch.ones(2)],
        "dtype": torch.float16,
        "epoch": 3,
        "arch": "mlp",
        "x": None,
    }
    path = saved_at(tmp_path, {"model": {**BIG, **extra, "0._extra_state": (1, 2)}})
    first, second = open_checkpoint(path).warnings
    assert first == "entries that are no tensors are ignored: betas (tuple), parts (list), dtype (dtype)"
    assert second == "tensors beside the network are ignored: model.parts.0 [2]"
    assert open_checkpoint(path, "model").warnings == (first,)


# -- Writing keeps what was ignored -----------------------------------------------------------------------------------


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def test_a_pruned_file_keeps_what_was_ignored(tmp_path):
    saved = {
        "netD": SMALL,
        "netG": OrderedDict(BIG),
        "list": [SMALL["0.weight"] * 2, {"a": torch.arange(3)}],
        "optimizer": adam(5),
        "loose": torch.rand(200, 200),
        "epoch": 3,
        4: (1, "x"),
    }
    opened = open_checkpoint(saved_at(tmp_path, saved))
    assert opened.key == "netG"
    masks = {name: np.arange(t.numel()) % 2 == 0 for name, t in BIG.items()}
    save_pruned(opened, tmp_path / "y.pt", masks.items())
    new = torch.load(tmp_path / "y.pt", weights_only=True)
    assert list(new) == list(saved) and type(new["netG"]) is OrderedDict
    for name, tensor in BIG.items():
        kept = torch.from_numpy(masks[name]).view(tensor.shape)
        assert torch.equal(new["netG"][name], torch.where(kept, tensor, 0))
    for name in ("netD", "list", "optimizer", "loose", "epoch", 4):
        assert same(new[name], saved[name]), name


def shared_object() -> tuple[dict[str, Any], list[torch.Tensor]]:
    weight = torch.rand(20, 20)
    return {"model": {"a.weight": weight, "b.weight": torch.rand(9, 9)}, "copy": {"a.weight": weight}}, [weight]


def shared_memory() -> tuple[dict[str, Any], list[torch.Tensor]]:
    flat = torch.rand(500)
    views = {
        "a.weight": flat[:400].view(20, 20),
        "b.weight": flat[400:].view(10, 10),
        "tied.weight": flat[:400].view(20, 20),
    }
    return {"flat": flat, "model": views}, [flat]


def shared_parameter() -> tuple[dict[str, Any], list[torch.Tensor]]:
    weight = nn.Parameter(torch.rand(20, 20))
    return {"model": {"a.weight": weight, "t.weight": weight.t()}, "backbone": [weight]}, [weight]


@pytest.mark.parametrize("make", [shared_object, shared_memory, shared_parameter])
def test_memory_shared_with_ignored_tensors_is_not_pruned_there(tmp_path, make):
    saved, [ignored] = make()
    before = ignored.detach().clone()
    opened = open_checkpoint(saved_at(tmp_path, saved), "model")
    mask = np.arange(400) % 2 == 0
    save_pruned(opened, tmp_path / "y.pt", [("a.weight", mask)])
    new = torch.load(tmp_path / "y.pt", weights_only=True)
    kept = torch.from_numpy(mask).view(20, 20)
    pruned = torch.where(kept, saved["model"]["a.weight"], 0)
    assert torch.equal(new["model"]["a.weight"], pruned)
    assert type(new["model"]["a.weight"]) is type(saved["model"]["a.weight"])
    [other] = [value for name, value in new.items() if name != "model"]
    other = other[0] if isinstance(other, list) else other["a.weight"] if isinstance(other, dict) else other
    assert torch.equal(other, before)
    if "tied.weight" in new["model"]:
        assert new["model"]["tied.weight"].data_ptr() == new["model"]["a.weight"].data_ptr()
    if "t.weight" in new["model"]:
        assert torch.equal(new["model"]["t.weight"], pruned.t())


def test_the_prune_of_a_key_leaves_the_top_level(tmp_path):
    saved = {**SMALL, "best": BIG}
    opened = open_checkpoint(saved_at(tmp_path, saved), ".")
    save_pruned(opened, tmp_path / "y.pt", [("0.weight", np.zeros(400, dtype=bool))])
    new = torch.load(tmp_path / "y.pt", weights_only=True)
    assert not new["0.weight"].any() and torch.equal(new["best"]["0.weight"], BIG["0.weight"])


# -- Parts of a distributed training ----------------------------------------------------------------------------------

EMPTY = torch.empty(0, dtype=torch.float16)
ZERO_3 = {
    "nothing whole": {f"layers.{i}.weight": EMPTY for i in range(4)},
    "small tensors whole": {
        **{f"layers.{i}.weight": EMPTY for i in range(4)},
        **{f"layers.{i}.bias": torch.rand(64) for i in range(9)},
    },
    "a small matrix whole": {
        **{f"layers.{i}.weight": EMPTY for i in range(3)},
        "c.weight": torch.rand(2, 9),
        "c.bias": torch.rand(9),
    },
}


@pytest.mark.parametrize("case", ZERO_3)
def test_weights_that_zero_3_has_moved_elsewhere_are_refused(tmp_path, case):
    tensors = {name: tensor.clone() for name, tensor in ZERO_3[case].items()}
    save_file(tensors, tmp_path / "x.safetensors")
    first = next(name for name, tensor in tensors.items() if not tensor.numel())
    for path in (saved_at(tmp_path, tensors), tmp_path / "x.safetensors", saved_at(tmp_path, {"module": tensors})):
        assert f"tensors are empty, {first} the first" in refusal(path) and "zero_to_fp32.py" in refusal(path)
    with pytest.raises(wmgp.InputError, match=r"^dict: \d+ tensors are empty, .*zero_to_fp32\.py"):
        wmgp.analyze(tensors)


def test_an_empty_tensor_among_whole_ones_is_accepted(tmp_path):
    assert open_checkpoint(saved_at(tmp_path, {**BIG, "k_bias": torch.empty(0)})).warnings == ()
    assert wmgp.analyze({**BIG, "rows.weight": torch.empty(0, 9)}).n_parameters == n_values(30)


def test_the_optimizer_states_of_deepspeed_are_refused(tmp_path):
    groups = {"optimizer_state_dict": {"fp32_flat_groups": [torch.rand(99)], "zero_stage": 3}, "ds_version": "0.14"}
    assert "zero_to_fp32.py" in refusal(saved_at(tmp_path, groups))
    assert "zero_to_fp32.py" in refusal(saved_at(tmp_path, {**groups, "ds_config": argparse.Namespace()}))


def test_checkpoints_of_torch_distributed_are_refused_with_a_command_that_works(tmp_path, monkeypatch):
    dcp = pytest.importorskip("torch.distributed.checkpoint")
    folder = tmp_path / "dcp"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about saving without a process group
        dcp.save({"model": BIG}, checkpoint_id=str(folder), no_dist=True)
    [part] = folder.glob("*.distcp")
    messages = [refusal(path) for path in (folder, part, folder / ".metadata")]
    [command] = {message.partition("python -m ")[2].partition(" and name")[0] for message in messages}
    module, *arguments = command.split()
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runpy.run_module(module, run_name="__main__")
    assert open_checkpoint(tmp_path / "model.pt").tensors.keys() == BIG.keys()
    (folder / ".metadata").rename(folder / "renamed")
    assert "torch.distributed.checkpoint" in refusal(folder / "renamed")


DTENSORS = """
import sys, torch, torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
mesh = init_device_mesh("cpu", (1,))
tensors = {"a.bias": torch.ones(3), "a.weight": distribute_tensor(torch.rand(4, 3), mesh, [Shard(0)])}
torch.save(tensors, sys.argv[1]); torch.save({"model": tensors, "epoch": 1}, sys.argv[2])
dist.destroy_process_group()
"""


def test_distributed_tensors_in_a_file_are_refused_by_name(tmp_path):
    """The file is read in a process that has not imported torch.distributed.tensor."""
    paths = [tmp_path / "x.pt", tmp_path / "y.pt"]
    subprocess.run([sys.executable, "-c", DTENSORS, *map(str, paths)], check=True, capture_output=True)
    for path, name in zip(paths, ("a.weight", "model.a.weight"), strict=True):
        command = [sys.executable, "-m", "wmgp", "analyze", str(path)]
        command = [sys.executable, "-c", "import sys; from wmgp.cli import main; main(sys.argv[1:])", *command[3:]]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 2 and run.stderr.count("\n") == 1
        assert f"{name!r} is a DTensor" in run.stderr and "get_model_state_dict" in run.stderr


# -- Objects that need code: the advice is carried out --------------------------------------------------------------


class Net(nn.Module):
    def __init__(self, width: int = 30):
        super().__init__()
        self.m = nn.Linear(width, width)


NOT_CLOSED = "ignore::pytest.PytestUnraisableExceptionWarning"  # the file that the advice opens


def advised(path) -> dict[str, Any]:
    """Carry out the advice of a refusal, and return the tensors of the file that it writes."""
    message = refusal(path)
    assert "would run code" in message
    load, save = re.search(r"saved = (.*), then (.*)$", message).groups()  # pyright: ignore[reportOptionalMemberAccess]
    names = {
        "safetensors": SimpleNamespace(numpy=safetensors_numpy),
        "torch": torch,
        "pickle": pickle,
        "numpy": np,
        "PATH": path,
    }
    saved = eval(load, {**names, "PATH": path})
    exec(save, {**names, "saved": saved, "NEW": path.with_suffix(".new")})
    return dict(open_checkpoint(path.with_suffix(".new")).tensors)


NEEDS_CODE = {
    "a module": Net(),
    "a module under a name": {"epoch": 3, "model": Net(), "ema": None},
    "two modules": {"student": Net(), "teacher": Net(3), "optimizer": adam(40)},
    "modules in a list": {"nets": [Net(2), Net()]},
    "a state dict beside a Namespace": {"state_dict": Net().state_dict(), "args": argparse.Namespace(lr=1)},
    "a state dict beside a path": {"net": {"model": Net().state_dict()}, "root": pathlib.PurePosixPath("/x")},
    "a state dict with a Namespace": {**Net().state_dict(), "args": argparse.Namespace(lr=1)},
    'a name with "quotes"': {'the "best"': Net(), "args": argparse.Namespace()},
    "arrays": {name: t.numpy() for name, t in Net().state_dict().items()},
    "arrays under a name": {"model": {name: t.numpy() for name, t in Net().state_dict().items()}, "author": "x"},
}


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle 2", "pickle 4", "pickle 5"])
@pytest.mark.parametrize("case", NEEDS_CODE)
@pytest.mark.filterwarnings("ignore:TypedStorage", NOT_CLOSED)
def test_the_advice_for_objects_that_need_code_works(tmp_path, case, how):
    path = tmp_path / "x.pt"
    if how.startswith("pickle"):
        path.write_bytes(pickle.dumps(NEEDS_CODE[case], protocol=int(how[-1])))
    else:
        torch.save(NEEDS_CODE[case], path, _use_new_zipfile_serialization=how == "zip")
    tensors = advised(path)
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {"m.weight": (30, 30), "m.bias": (30,)}


@pytest.mark.filterwarnings("ignore:TypedStorage", NOT_CLOSED)
def test_a_plain_pickle_of_a_state_dict_is_refused_with_advice_that_works(tmp_path):
    (tmp_path / "x.pt").write_bytes(pickle.dumps(BIG))
    assert advised(tmp_path / "x.pt").keys() == BIG.keys()


def test_a_program_of_torch_export_is_refused_with_advice_that_works(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        program = torch.export.export(nn.Linear(30, 10), (torch.rand(2, 30),))
        torch.export.save(program, tmp_path / "x.pt2")
        assert "torch.export.load and save its state_dict" in refusal(tmp_path / "x.pt2")
        torch.save(torch.export.load(tmp_path / "x.pt2").state_dict, tmp_path / "y.pt")
    assert open_checkpoint(tmp_path / "y.pt").tensors.keys() == {"weight", "bias"}
