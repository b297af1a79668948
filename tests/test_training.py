"""Data, networks, training, masked fine-tuning, saved parents, and the reference run, on small data sets."""

import copy
import io
import json
import time
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils import prune as torch_prune

import wmgp
from studies.reference_run import measure
from wmgp import InputError
from wmgp.experiments import data, models
from wmgp.experiments.results import provenance, tables
from wmgp.experiments.training import loop, parents, sgd
from wmgp.experiments.training.sgd import REFERENCE, Recipe


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", True).first(96), data.load("digits", False).first(64)


# -- data -----------------------------------------------------------------------------------------------------------


def test_digits_are_the_same_everywhere():
    train, test = data.load("digits", True), data.load("digits", False)
    assert train.images.shape == (1437, 1, 28, 28) and test.images.shape == (360, 1, 28, 28)
    assert train.images.dtype == torch.uint8 and train.labels.dtype == torch.int64
    assert set(train.labels.tolist()) == set(test.labels.tolist()) == set(range(10))
    assert train.sha256 == "c22ff1f3d6b12efcdf5480c172a4e838b026ca52cb84ef8d5deda2704e1bded3"
    assert test.sha256 == "0e02cc7e45644abd5aa682c187095702513effb244289bab3311953abd737e9a"


def test_digits_are_scaled_up_pixel_by_pixel():
    from sklearn.datasets import load_digits

    images = data.load("digits", False).images[:, 0].numpy()
    small = images[:, 3:26:3, 3:26:3]  # the middle of every block of three
    pixels, _ = load_digits(return_X_y=True)  # [1797, 64], 0 to 16
    sources = {np.round(np.asarray(image) * 255 / 16).astype(np.uint8).tobytes() for image in pixels}
    assert all(image.tobytes() in sources for image in small)
    assert not images[:, :2].any() and not images[:, :, -2:].any()


def test_a_batch_is_scaled_and_in_order(digits):
    train, _ = digits
    index = torch.tensor([5, 0, 5])
    images, labels = train.batch(index)
    assert images.dtype == torch.float32 and labels.tolist() == train.labels[[5, 0, 5]].tolist()
    torch.testing.assert_close(images, train.images[[5, 0, 5]] / 255)
    assert images.max() == 1


def offline(*arguments, **more):
    raise URLError("no network")


def test_missing_data_is_reported_in_one_line_with_instructions(monkeypatch, tmp_path):
    monkeypatch.delenv("WMGP_DATA", raising=False)
    for name in ("mnist", "fashion_mnist", "cifar10"):
        with pytest.raises(InputError, match=f"data '{name}': set WMGP_DATA to a folder that holds") as caught:
            data.load(name, True)
        assert "\n" not in str(caught.value)
    monkeypatch.setenv("WMGP_DATA", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.utils.urllib.request.urlopen", offline)
    for name in ("mnist", "fashion_mnist", "cifar10"):
        with pytest.raises(InputError, match=f"data '{name}': {tmp_path}") as caught:
            data.load(name, True)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="data 'minst': expected one of digits, mnist"):
        data.load("minst", True)


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(header + array.tobytes())


def test_idx_files_in_torchvisions_layout_are_read(monkeypatch, tmp_path, rng):
    monkeypatch.setenv("WMGP_DATA", str(tmp_path))
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    images, labels = rng.integers(0, 256, (5, 28, 28), dtype=np.uint8), rng.integers(0, 10, 5, dtype=np.uint8)
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
    read = data.load("fashion_mnist", True)
    assert read.name == "fashion_mnist" and read.labels.tolist() == labels.tolist()
    np.testing.assert_array_equal(read.images[:, 0].numpy(), images)
    (folder / "train-images-idx3-ubyte").write_bytes(b"")
    with pytest.raises(InputError, match="data 'fashion_mnist'"):
        data.load("fashion_mnist", True)


@pytest.mark.parametrize(("form", "name"), [("PNG", "cifar10"), ("JPEG", "cifar10-jpeg")])
def test_a_jpeg_copy_has_its_own_name(monkeypatch, tmp_path, rng, form, name):
    import pandas
    from PIL import Image

    images = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    cells = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, form)
        cells.append({"bytes": buffer.getvalue(), "path": None})
    table = pandas.DataFrame({"img": cells, "label": [3, 1, 9]})
    folder = tmp_path / "cifar10" / "plain_text"
    folder.mkdir(parents=True)
    (folder / "test-00000-of-00001.parquet").touch()
    monkeypatch.setattr(pandas, "read_parquet", lambda path: table)  # reading parquet needs another package
    monkeypatch.setenv("WMGP_DATA", str(tmp_path))
    read = data.load("cifar10", False)
    assert read.name == name and read.labels.tolist() == [3, 1, 9] and read.images.shape == (3, 3, 32, 32)
    if form == "PNG":
        np.testing.assert_array_equal(read.images.numpy(), images.transpose(0, 3, 1, 2))


def test_mnist_has_the_recorded_hash(data_folder):
    train, test = data.load("mnist", True), data.load("mnist", False)
    assert len(train) == 60_000 and len(test) == 10_000 and test.labels[:3].tolist() == [7, 2, 1]
    table = tables.locate("reference_run.csv")
    recorded = {tuple(sorted(run["data_sha256"].items())) for run in provenance.provenance(table).values()}
    assert recorded == {(("test", test.sha256), ("train", train.sha256))}


# -- networks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "n", "shape"), [("lenet5", 61_706, (1, 28, 28)), ("lenet_small", 62_006, (3, 32, 32))]
)
def test_lenets_have_the_expected_number_of_parameters(name, n, shape):
    model = models.build(name, 0)
    assert sum(p.numel() for p in model.parameters()) == n
    assert model(torch.zeros(2, *shape)).shape == (2, 10)


def test_relu_before_max_pooling_gives_the_same_network():
    """The published LeNet-5 has ReLU before pooling. Outputs and gradients are bitwise equal."""
    ours = models.build("lenet5", 0)
    order = [name for name, _ in ours.named_children()]
    for i in (1, 2):
        relu, pool = order.index(f"relu{i}"), order.index(f"pool{i}")
        order[relu], order[pool] = order[pool], order[relu]
    published = nn.Sequential(OrderedDict((name, copy.deepcopy(ours.get_submodule(name))) for name in order))
    x = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    outputs = [net(x) for net in (ours, published)]
    assert order.index("relu1") < order.index("pool1") and torch.equal(*outputs)
    for out in outputs:
        out.square().sum().backward()
    for name, p in ours.named_parameters():
        theirs = published.get_parameter(name).grad
        assert p.grad is not None and theirs is not None and torch.equal(p.grad, theirs)


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "mobilenet_v2"])
def test_torchvision_networks_have_ten_outputs(name):
    with torch.device("meta"):
        model = models.build(name, 0)
    assert list(model.parameters())[-1].shape == (10,)


def test_initialisation_depends_only_on_the_seed():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = models.build("lenet5", 1)
    assert torch.equal(torch.rand(3), expected)
    second, other = models.build("lenet5", 1), models.build("lenet5", 2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    with pytest.raises(InputError, match="network 'lenet': expected one of lenet5"):
        models.build("lenet", 0)


# -- training -------------------------------------------------------------------------------------------------------


def test_training_is_deterministic_and_depends_on_the_seed(digits):
    def trained(seed):
        model = models.build("lenet5", 0)
        loop.train(model, digits[0], 1, seed, Recipe(batch_size=16))
        return wmgp.experiments.results.provenance.weights_hash(model.state_dict())

    assert trained(0) == trained(0) != trained(1)


def test_training_equals_plain_torch(digits):
    """The same batches in a plain torch loop, with contiguous memory."""
    train, _ = digits
    recipe = Recipe(learning_rate=0.05, momentum=0.9, weight_decay=0.01, batch_size=40)
    ours, plain = models.build("lenet5", 0), models.build("lenet5", 0)
    loop.train(ours, train, 2, 7, recipe)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    generator = torch.Generator().manual_seed(7)
    sizes = []
    for _ in range(2):
        for index in torch.randperm(len(train), generator=generator).split(40):
            sizes.append(len(index))
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(plain(train.images[index] / 255), train.labels[index])
            loss.backward()
            optimizer.step()
    assert sizes == [40, 40, 16] * 2
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_masked_training_equals_training_with_torch_prune(digits):
    """Momentum and weight decay are on. Exactly the pruned weights are zero."""
    train, _ = digits
    recipe = Recipe(learning_rate=0.05, weight_decay=0.01, batch_size=32)
    parent = models.build("lenet5", 3)
    masks = wmgp.global_masks(parent, 0.7)
    ours, torchs = copy.deepcopy(parent), copy.deepcopy(parent)
    wmgp.apply_masks(ours, masks)
    loop.train(ours, train, 2, 1, recipe, masks)
    for name, mask in masks.items():
        module, _, parameter = name.rpartition(".")
        torch_prune.custom_from_mask(torchs.get_submodule(module), parameter, mask)
    loop.train(torchs, train, 2, 1, recipe)
    for name, parameter in ours.named_parameters():
        held = torchs.get_parameter(f"{name}_orig") * masks[name]  # torch's attribute lags by one step
        torch.testing.assert_close(parameter, held, rtol=1e-4, atol=1e-6)
        assert not parameter[~masks[name]].any() and not torch.equal(parameter, dict(parent.named_parameters())[name])
    assert sum(int((p == 0).sum()) for p in ours.parameters()) == round(0.7 * 61_706)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_pruned_weights_become_plus_zero(dtype):
    """NaN, infinities and -0 become +0. Kept weights keep all bits, in any memory format."""
    model = nn.Conv2d(4, 2, 3, dtype=dtype).to(memory_format=torch.channels_last)
    with torch.no_grad():
        model.weight.normal_(generator=torch.Generator().manual_seed(0))
        model.weight[0, 0, 0] = torch.tensor([np.nan, np.inf, -0.0])
    mask = torch.rand(model.weight.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    mask[0, 0, 0] = False
    before = model.weight.detach().clone()
    held = sgd._pruned_bits(model, {"weight": mask, "bias": torch.ones(2, dtype=torch.bool)})
    assert len(held) == 1, "nothing is to be done for the bias"
    sgd._zero_pruned_weights(held)
    assert torch.equal(model.weight[mask], before[mask])
    pruned = model.weight[~mask]
    assert torch.equal(pruned, torch.zeros_like(pruned)) and not torch.signbit(pruned).any()


def test_masks_must_name_parameters(digits):
    with pytest.raises(InputError, match=r"mask 'conv9\.weight'"):
        loop.train(models.build("lenet5", 0), digits[0], 1, 0, masks={"conv9.weight": torch.ones(1) > 0})


def test_evaluate_by_hand(digits):
    """The first logit is ln 9, all others are 0: class 0 has probability 1/2."""
    _, test = digits
    linear = nn.Linear(784, 10)
    model = nn.Sequential(nn.Flatten(), linear)
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.copy_(torch.tensor([np.log(9)] + [0.0] * 9))
    zeros = int((test.labels == 0).sum())
    outcome = loop.evaluate(model, test, batch_size=7)
    assert outcome.accuracy == zeros / len(test) and 0 < zeros < len(test)
    expected = (zeros * np.log(2) + (len(test) - zeros) * np.log(18)) / len(test)
    assert outcome.loss == pytest.approx(expected, rel=1e-6)
    assert outcome.logits.shape == (len(test), 10) and not model.training


def test_devices_are_chosen_by_name():
    assert loop.choose_device("cpu").type == "cpu"
    assert loop.choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("gpu", "cuda:99"):
        with pytest.raises(InputError, match=f"device '{name}'") as caught:
            loop.choose_device(name)
        assert "\n" not in str(caught.value)


# -- parents --------------------------------------------------------------------------------------------------------


def test_a_parent_is_trained_once_and_then_read(digits, tmp_path):
    done = []
    first = parents.load_or_train_parent("lenet5", digits[0], 4, 2, folder=tmp_path, after_epoch=done.append)
    again = parents.load_or_train_parent("lenet5", digits[0], 4, 2, folder=tmp_path, after_epoch=done.append)
    assert done == [1, 2]
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    initial = load_file(tmp_path / "lenet5-init-seed4.safetensors")
    assert all(torch.equal(initial[name], p) for name, p in models.build("lenet5", 4).named_parameters())
    kept = ["lenet5-digits-seed4.safetensors", "lenet5-init-seed4.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_a_parent_with_other_settings_is_refused(digits, tmp_path):
    train, test = digits
    parents.load_or_train_parent("lenet5", train, 0, 1, folder=tmp_path)
    for images, epochs, recipe, said in (
        (train, 2, REFERENCE, "trained with epochs 1, expected 2"),
        (train, 1, Recipe(momentum=0.5), "trained with momentum 0.9, expected 0.5"),
        (test, 1, REFERENCE, "trained with data_sha256"),
    ):
        with pytest.raises(InputError, match=said):
            parents.load_or_train_parent("lenet5", images, 0, epochs, recipe, tmp_path)
    path = tmp_path / "lenet5-digits-seed0.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="not a whole safetensors file"):
        parents.load_or_train_parent("lenet5", train, 0, 1, folder=tmp_path)


@pytest.mark.slow
def test_the_history_of_a_parent_is_recorded(digits, tmp_path):
    """Before, during and after training. For a loaded parent, the states during training are missing."""
    train, test = digits
    model = parents.load_or_train_parent("lenet5", train, 4, 2, folder=tmp_path, test=test)
    path = tmp_path / "lenet5-digits-seed4.json"
    record, way = json.loads(path.read_text()), np.load(path.with_suffix(".npz"))
    untrained = models.build("lenet5", 4)
    assert way["logits"].shape == (3, len(test), 10) and way["labels"].tolist() == test.labels.tolist()
    for place, net in ((0, untrained), (2, model)):
        outputs = loop.evaluate(net, test).logits.numpy().astype(np.float16)
        assert np.array_equal(way["logits"][place], outputs)
    for stage, net in (("initial", untrained), ("trained", model)):
        assert record[stage]["analysis"] == wmgp.analyze(net).to_dict()
        assert record[stage]["weights"]["optimal"] == wmgp.analyze(net, pool="weights").to_dict()["optimal"]
    assert record["accuracy"] == loop.evaluate(model, test).accuracy and record["epochs"] == 2
    assert record["parent_sha256"] == provenance.weights_hash(model.state_dict()) == str(way["parent_sha256"])
    assert float(record["seconds"]) > 0 and {"commit", "source_sha256", "test_sha256", "device", "cpu"} <= set(record)

    before = path.stat().st_mtime_ns
    parents.load_or_train_parent("lenet5", train, 4, 2, folder=tmp_path, test=test)
    assert path.stat().st_mtime_ns == before
    path.unlink()
    path.with_suffix(".npz").unlink()
    parents.load_or_train_parent("lenet5", train, 4, 2, folder=tmp_path, test=test)
    read = json.loads(path.read_text())
    assert not path.with_suffix(".npz").exists()
    assert all(read[name] == record[name] for name in ("initial", "trained", "accuracy", "seconds"))


class Stopped(Exception):
    """Raised to interrupt training."""


def stopping_at(last):
    def look(epoch):
        if epoch == last:
            raise Stopped

    return look


@pytest.mark.slow
@pytest.mark.parametrize("network", ["lenet5", "mobilenet_v2"])  # MobileNetV2 has dropout and batch norms
def test_an_interrupted_training_resumes(tmp_path, network):
    """Weights and history are bitwise equal. Epoch 2, which has no checkpoint yet, is repeated."""
    many = 32 if network == "mobilenet_v2" else 192
    images = torch.randint(256, (many, *models.IMAGE_SHAPES[network]), generator=torch.Generator().manual_seed(1))
    train = data.image_data_from_arrays("noise", images.byte().numpy(), (torch.arange(many) % 10).numpy())
    recipe = Recipe(weight_decay=1e-3, batch_size=16, nesterov=True, one_cycle=True, crop=1, flip=True)
    get = partial(parents.load_or_train_parent, network, train, 1, 3, recipe, test=train)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    never = get(folder=whole)
    with pytest.raises(Stopped):
        get(folder=parts, after_epoch=stopping_at(2))
    unfinished, done = parts / f"{network}-noise-seed1.unfinished", []
    assert unfinished.exists()
    again = get(folder=parts, after_epoch=done.append)
    assert done == [2, 3] and not unfinished.exists()
    assert provenance.weights_hash(again.state_dict()) == provenance.weights_hash(never.state_dict())
    name = f"{network}-noise-seed1.npz"
    assert np.array_equal(np.load(whole / name)["logits"], np.load(parts / name)["logits"])
    assert sorted(path.name for path in parts.iterdir()) == sorted(path.name for path in whole.iterdir())


def test_a_resumed_training_adds_the_seconds_of_both_parts(digits, tmp_path):
    def slowly(epoch):
        time.sleep(1)
        stopping_at(2)(epoch)

    with pytest.raises(Stopped):
        parents.load_or_train_parent("lenet5", digits[0], 1, 2, folder=tmp_path, after_epoch=slowly)
    parents.load_or_train_parent("lenet5", digits[0], 1, 2, folder=tmp_path)
    with safe_open(tmp_path / "lenet5-digits-seed1.safetensors", "pt") as file:
        assert float(file.metadata()["seconds"]) > 1


def test_a_checkpoint_of_another_network_is_ignored(digits, tmp_path):
    def of(width):
        return lambda seed: nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.Linear(width, 10))

    with pytest.raises(Stopped):
        parents.load_or_train_parent(
            "mine", digits[0], 1, 2, folder=tmp_path, initial=of(4), after_epoch=stopping_at(2)
        )
    done = []
    parents.load_or_train_parent("mine", digits[0], 1, 2, folder=tmp_path, initial=of(5), after_epoch=done.append)
    assert done == [1, 2]


@pytest.mark.parametrize("what", ["recipe", "seed's images", "version", "bytes", "history"])
def test_a_checkpoint_of_another_training_is_ignored(digits, tmp_path, monkeypatch, what):
    """A damaged checkpoint is ignored too. Training restarts and gives the same result as without one."""
    train, test = digits
    with pytest.raises(Stopped):
        parents.load_or_train_parent("lenet5", train, 1, 3, folder=tmp_path, after_epoch=stopping_at(3))
    path, done = tmp_path / "lenet5-digits-seed1.unfinished", []
    recipe = REFERENCE
    if what == "recipe":
        recipe = Recipe(momentum=0.5)
    elif what == "seed's images":
        train = replace(train, sha256="another")
    elif what == "version":
        monkeypatch.setattr(torch, "__version__", "1.0")
    elif what == "bytes":
        path.write_bytes(path.read_bytes()[:-1])
    watched = test if what == "history" else None
    again = parents.load_or_train_parent("lenet5", train, 1, 3, recipe, tmp_path, done.append, test=watched)
    assert done == [1, 2, 3] and not path.exists()
    never = parents.load_or_train_parent("lenet5", train, 1, 3, recipe)
    assert provenance.weights_hash(again.state_dict()) == provenance.weights_hash(never.state_dict())


def test_the_initial_weights_are_part_of_the_settings_of_a_parent(digits, tmp_path, monkeypatch):
    build = models.build
    monkeypatch.setattr(parents, "build", lambda name, seed, start: build(name, seed))
    parents.load_or_train_parent("lenet5", digits[0], 0, 1, folder=tmp_path, start="IMAGENET1K_V1", test=digits[1])
    assert json.loads((tmp_path / "lenet5-digits-seed0.json").read_text())["start"] == "IMAGENET1K_V1"
    with pytest.raises(InputError, match="trained with start IMAGENET1K_V1, expected scratch"):
        parents.load_or_train_parent("lenet5", digits[0], 0, 1, folder=tmp_path)


# -- the reference run ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_interrupted_reference_run_resumes(digits, tmp_path):
    train, test = digits
    table, recipe = tmp_path / "run.csv", Recipe(learning_rate=0.05, batch_size=16)
    measure.measure(table, 0, train, test, 3, recipe, tmp_path)
    whole = table.read_text().splitlines(keepends=True)
    assert len(whole) == 3
    measure.measure(table, 0, train, test, 3, recipe, tmp_path)
    assert table.read_text().splitlines(keepends=True) == whole
    table.write_text("".join(whole[:2]) + whole[2][:40])  # the second row is truncated
    measure.measure(table, 0, train, test, 3, recipe, tmp_path)
    once, twice = (line.split(",") for line in (whole[2], table.read_text().splitlines(keepends=True)[2]))
    timed = whole[0].split(",").index("seconds")
    assert [cell for i, cell in enumerate(once) if i != timed] == [cell for i, cell in enumerate(twice) if i != timed]


@pytest.mark.slow
def test_rows_of_the_reference_run_agree_with_a_separate_computation(digits, tmp_path):
    train, test = digits
    table, recipe = tmp_path / "run.csv", Recipe(learning_rate=0.05, batch_size=16)
    measure.measure(table, 1, train, test, 3, recipe, tmp_path)
    rows = tables.read(table).set_index("rule")
    parent = parents.load_or_train_parent("lenet5", train, 1, 3, recipe, tmp_path)
    analysis, outcome = wmgp.analyze(parent), loop.evaluate(parent, test)
    assert analysis.safe is not None
    for rule, point in (("optimal", analysis.optimal), ("safe", analysis.safe)):
        row, child = rows.loc[rule], copy.deepcopy(parent)
        masks = wmgp.prune(child, point.amount)
        pruned = loop.evaluate(child, test)
        assert row["amount"] == point.amount and row["k2"] == analysis.kurtosis_of_kurtoses
        assert (row["accuracy_parent"], row["loss_parent"]) == pytest.approx((outcome.accuracy, outcome.loss))
        assert (row["accuracy_pruned"], row["loss_pruned"]) == pytest.approx((pruned.accuracy, pruned.loss))
        assert row["cosine_pruned"] == pytest.approx(point.cosine, abs=1e-9)
        assert row["min_survival"] == min(mask.double().mean().item() for mask in masks.values())
        loop.train(child, train, 1, measure.FINE_TUNING + 1, recipe, masks)
        after = loop.evaluate(child, test)
        assert (row["accuracy"], row["loss"]) == pytest.approx((after.accuracy, after.loss))
        assert row["agreement"] == wmgp.similarity.agreement(outcome.logits.numpy(), after.logits.numpy())


@pytest.mark.slow
def test_the_command_line_measures_every_seed(tmp_path, capsys):
    table = tmp_path / "made" / "run.csv"
    measure.main(["--data", "digits", "--seeds", "2", "--epochs", "1", "--device", "cpu", "--out", str(table)])
    assert tables.read(table)["seed"].tolist() == [0, 0, 1, 1]
    assert (tmp_path / "made" / "parents" / "lenet5-digits-seed1.safetensors").exists()
    assert "seed 1, epoch 1" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        measure.main(["--data", "digit", "--out", str(tmp_path / "other.csv")])
    assert caught.value.code == 2 and not (tmp_path / "other.csv").exists()
    assert "data 'digit': expected one of digits, mnist" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_without_data_the_notebook_recomputes_on_digits(tmp_path, monkeypatch):
    from notebooks import run

    monkeypatch.delenv("WMGP_DATA", raising=False)
    source, out = run.HERE / "04_reference_run.py", tmp_path / "out.ipynb"
    run.run(source, out, {"recompute": True, "epochs": 1, "seed": 5})
    text = out.read_text()
    assert "Using scikit-learn's digits instead" in text and "Seed 5 on digits, 1 epoch, batches of 6" in text
    run.run(source, out, {"epochs": 1})
    assert "all values above come from the recorded table" in out.read_text()


def test_the_recorded_run_is_complete():
    """Ten seeds with two rows each, from the recorded parents and with the published settings."""
    table = tables.locate("reference_run.csv")
    rows = tables.read(table)
    expected = [(seed, rule) for seed in range(10) for rule in ("optimal", "safe")]
    assert sorted(zip(rows["seed"], rows["rule"], strict=True)) == expected
    for run, recorded in provenance.provenance(table).items():
        seed = recorded["seed"]
        assert set(rows.loc[rows["run"] == run, "seed"]) == {seed} and recorded["parent_epochs"] == measure.EPOCHS
        assert recorded["recipe"] == REFERENCE.settings()
        path = tables.locate(f"parents/lenet5-mnist-seed{seed}.safetensors")
        assert path.stat().st_size < 300_000
        assert wmgp.experiments.results.provenance.weights_hash(load_file(path)) == recorded["parent_sha256"]
        with safe_open(str(path), "pt") as file:
            assert file.metadata()["data_sha256"] == recorded["data_sha256"]["train"]
        analysis = wmgp.analyze(path)
        optimal, safe = (rows[(rows["run"] == run) & (rows["rule"] == rule)].iloc[0] for rule in ("optimal", "safe"))
        assert optimal["amount"] == analysis.optimal.amount
        assert safe["amount"] == pytest.approx(wmgp.safe_amount(optimal["amount"], analysis.kurtosis_of_kurtoses))


def test_recorded_initialisations_agree_with_their_seeds():
    for seed in range(10):
        weights = load_file(tables.locate(f"parents/lenet5-init-seed{seed}.safetensors"))
        assert all(torch.equal(weights[name], p) for name, p in models.build("lenet5", seed).named_parameters())


def test_changed_result_files_do_not_make_a_commit_dirty():
    run = {"commit": "ab-dirty", "differed": ["results/parents/a.json"]}
    assert provenance.measured_by(run) == "ab" and provenance.measured_by({"commit": "ab"}) == "ab"
    for differed in (["results/a.csv", "wmgp/b.py"], [], None):  # older records do not name the files
        assert provenance.measured_by({"commit": "ab-dirty", "differed": differed}) == "ab-dirty"
    assert provenance.measured_by({"commit": None}) == ""


def test_provenance_lists_files_that_differ_from_the_commit(monkeypatch):
    said = {"describe": "0123-dirty", "diff": "results/a.csv\nwmgp/b.py"}
    monkeypatch.setattr(provenance, "_git", lambda command, *options: said[command])
    assert provenance.surroundings()["differed"] == ["results/a.csv", "wmgp/b.py"]
    said["describe"] = "0123"
    assert "differed" not in provenance.surroundings()
