"""Weights that see nothing: exact counts of known networks, small networks by hand, and what must not be counted."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

import wmgp
from wmgp import InputError
from wmgp.experiments.models import IMAGE_SHAPES, build
from wmgp.unseen_weights import summed, unseen


def zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(shape)


def counts(model: nn.Module, inputs) -> dict[str, int]:
    """The number of unseen weights of each parameter that has any."""
    return {name: int(mask.sum()) for name, mask in unseen(model, inputs).items() if mask.any()}


class Calls(nn.Module):
    """A module whose forward pass is a function of itself and the inputs."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.function = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, *inputs):
        return self.function(self, *inputs)


@pytest.mark.parametrize("network", ["lenet5", "lenet_small"])
def test_lenets_see_everything(network):
    assert counts(build(network, 0), zeros(1, *IMAGE_SHAPES[network])) == {}


def test_resnet18_on_small_images():
    last = {"layer4.0.conv1.weight": 655_360} | dict.fromkeys(
        ("layer4.0.conv2.weight", "layer4.1.conv1.weight", "layer4.1.conv2.weight"), 2_097_152
    )
    assert counts(build("resnet18", 0), zeros(1, 3, 32, 32)) == last and sum(last.values()) == 6_946_816


@pytest.mark.slow
def test_resnet18_on_larger_images_and_mobilenet_v2():
    assert counts(build("resnet18", 0), zeros(1, 3, 64, 64)) == {}
    found = counts(build("mobilenet_v2", 0), zeros(1, 3, 32, 32))
    assert sum(found.values()) == 25_920 and all(name.endswith("conv.1.0.weight") for name in found)


def test_a_kernel_on_a_single_pixel_sees_only_its_centre():
    mask = unseen(nn.Conv2d(2, 3, 3, padding=1), zeros(4, 2, 1, 1))
    assert mask["weight"].dtype == torch.bool and not mask["bias"].any()
    assert mask["weight"].all(0).all(0).tolist() == [[True, True, True], [True, False, True], [True, True, True]]
    assert int(mask["weight"].sum()) == 3 * 2 * 8


@given(size=st.integers(1, 6), kernel=st.integers(1, 5), stride=st.integers(1, 3), padding=st.integers(0, 3))
def test_a_convolution_misses_the_positions_that_only_meet_padding(size, kernel, stride, padding):
    if size + 2 * padding < kernel:
        return
    starts = range(-padding, size + padding - kernel + 1, stride)
    missed = [not any(0 <= start + i < size for start in starts) for i in range(kernel)]
    mask = unseen(nn.Conv1d(1, 1, kernel, stride, padding), zeros(1, 1, size))
    assert mask["weight"][0, 0].tolist() == missed


def test_weights_of_a_column_that_a_strided_convolution_skips():
    model = Calls(lambda m, x: m.conv(x * m.scale), conv=nn.Conv2d(1, 1, 2, stride=2))
    model.register_parameter("scale", nn.Parameter(torch.ones(5, 5)))
    mask = unseen(model, zeros(2, 1, 5, 5))["scale"]
    assert mask[:, 4].all() and mask[4].all() and not mask[:4, :4].any()


def test_a_dead_unit_is_not_unseen():
    first, last = nn.Linear(3, 2), nn.Linear(2, 1)
    nn.init.constant_(first.bias, -1e9)
    nn.init.zeros_(last.weight)
    model = nn.Sequential(first, nn.ReLU(), last)
    assert counts(model, zeros(1, 3)) == {}


@pytest.mark.parametrize(
    "activation",
    [torch.relu, nn.functional.relu, nn.ReLU(inplace=True), nn.ReLU6(), nn.Hardtanh(), nn.Hardswish(), nn.GELU(),
     nn.Threshold(0, 0), nn.Softplus(), nn.Sigmoid(), lambda x: x.clamp(min=0), lambda x: x.clamp(0), lambda x: x.abs(),
     lambda x: torch.relu(x) + torch.relu(-x), lambda x: torch.relu(x) - torch.relu(-x)],
)  # fmt: skip
def test_no_activation_hides_a_weight(activation):
    model = Calls(lambda m, x: m.out(activation(m.lin(x))), lin=nn.Linear(4, 50), out=nn.Linear(50, 1))
    assert counts(model, zeros(1, 4)) == {}


@pytest.mark.parametrize("pooling", [nn.MaxPool2d(4), nn.AdaptiveMaxPool2d(1), nn.AvgPool2d(4)])
def test_pooling_hides_no_weight(pooling):
    model = Calls(lambda m, x: m.pooling(x * m.scale), pooling=pooling)
    model.scale = nn.Parameter(torch.ones(8, 4, 4))  # a maximum passes one of 16 to the output
    assert counts(model, zeros(1, 8, 4, 4)) == {}


def test_a_module_that_is_not_called_is_unseen():
    model = Calls(lambda m, x: m.used(x), used=nn.Linear(3, 3), unused=nn.Linear(3, 4))
    assert counts(model, zeros(1, 3)) == {"unused.weight": 12, "unused.bias": 4}


def test_softmax_cancels_the_biases_of_the_keys():
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    mask = unseen(model, (zeros(2, 5, 8),) * 3)
    assert mask["in_proj_bias"].tolist() == [False] * 8 + [True] * 8 + [False] * 8
    assert not any(mask[name].any() for name in mask if name != "in_proj_bias")


def test_a_bias_before_a_normalisation():
    convolution = nn.Conv2d(3, 4, 1)
    assert counts(nn.Sequential(convolution, nn.BatchNorm2d(4)), zeros(2, 3, 5, 5)) == {}  # fixed statistics
    assert counts(nn.Sequential(convolution, nn.InstanceNorm2d(4)), zeros(2, 3, 5, 5)) == {"0.bias": 4}


def test_an_embedding_is_seen_in_every_row_but_positions_only_where_they_are_read():
    model = Calls(
        lambda m, ids: m.words(ids.reshape(-1)) + m.positions(torch.arange(ids.numel())),
        words=nn.Embedding(100, 4), positions=nn.Embedding(10, 4),
    )  # fmt: skip
    mask = unseen(model, torch.zeros(1, 6, dtype=torch.long))
    assert not mask["words.weight"].any()
    assert mask["positions.weight"].all(1).tolist() == [False] * 6 + [True] * 4


class Named(nn.Module):
    """A module with two inputs, and outputs in a dict."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)

    def forward(self, first, second):
        return {"sum": [self.lin(first) + second, first.argmax()]}


def test_inputs_by_name_and_nested_outputs():
    assert counts(Named(), {"first": zeros(1, 2), "second": zeros(1, 2)}) == {}
    assert counts(Named(), [zeros(1, 2), zeros(1, 2)]) == {}


def test_a_model_pruned_by_torch_keeps_its_names_and_no_pruned_weight_is_unseen():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(2, 2))
    prune.l1_unstructured(model[0], "weight", 0.5)
    prune.random_unstructured(model[2], "weight", 1.0)
    model(zeros(1, 1, 1, 1))
    mask = unseen(model, zeros(1, 1, 1, 1))
    assert set(mask) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert {name: int(each.sum()) for name, each in mask.items() if each.any()} == {"0.weight": 16}


class Counter(nn.Module):
    """Counts its calls, in a buffer and in an attribute, and can fail."""

    def __init__(self):
        super().__init__()
        self.norm, self.calls = nn.BatchNorm1d(3), 0
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        self.seen += 1
        if x.shape[0] == 13:
            raise RuntimeError("thirteen")
        return self.norm(x)


@pytest.mark.parametrize("rows", [4, 13])
def test_the_model_is_left_as_it_was(rows):
    model = Counter().train()
    model.norm.weight.grad = torch.ones(3)
    model.norm.bias.requires_grad_(False)
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    if rows == 13:
        with pytest.raises(InputError, match="^model Counter: cannot run on these inputs in torch.float64: thirteen$"):
            unseen(model, zeros(13, 3))
    else:
        assert counts(model, zeros(rows, 3)) == {}
    assert model.calls == 0 and model.training and model.norm.training and not model.norm.bias.requires_grad
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.norm.weight.grad.tolist() == [1, 1, 1] and torch.equal(torch.get_rng_state(), state)


def test_other_values_of_unseen_weights_change_no_output():
    model = build("resnet18", 0).eval()
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    masks = unseen(model, images)
    with torch.no_grad():
        before = model(images)
        for name, p in model.named_parameters():
            p[masks[name]] = 7.0
        assert torch.allclose(model(images), before, rtol=1e-4, atol=1e-4)
        model.get_parameter("layer4.1.conv2.weight")[:, :, 1, 1] = 7.0  # a seen weight does
        assert not torch.allclose(model(images), before, rtol=1e-4, atol=1e-4)


def test_half_precision_and_no_grad_give_the_same_masks():
    convolution = nn.Conv2d(1, 1, 3, padding=1).bfloat16()
    with torch.inference_mode():
        mask = unseen(convolution, zeros(1, 1, 1, 1).bfloat16())
    assert int(mask["weight"].sum()) == 8


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda m, x: m.lin(x).detach() + m.other(x), "^lin.weight: changes the outputs without a gradient"),
        (lambda m, x: m.lin(x).sign() + m.other(x), "^lin.weight: changes the outputs without a gradient"),
        (lambda m, x: x, "expected floating-point outputs that depend on a parameter"),
        (lambda m, x: m.lin(x[:, :1]), "cannot run on these inputs in torch.float64: "),
        (lambda m, x: m.lin(x) * float("nan"), "^lin.weight: its gradient is not finite"),
    ],
    ids=["detach", "sign", "no parameter", "wrong shape", "nan"],
)
def test_refusals(function, said):
    model = Calls(function, lin=nn.Linear(2, 2), other=nn.Linear(2, 2))
    with pytest.raises(InputError, match=said):
        unseen(model, zeros(1, 2))


def test_a_state_dict_is_refused():
    with pytest.raises(InputError, match="expected a torch.nn.Module"):
        wmgp.unseen({"a.weight": torch.ones(2)}, zeros(1))  # pyright: ignore


def test_a_module_without_parameters():
    assert unseen(nn.ReLU(), zeros(1)) == {} and summed(nn.ReLU(), zeros(1)) == {}


def test_copies_of_an_input_act_through_their_sum():
    model = nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(5 * 49, 6))
    assert summed(model, zeros(2, 5, 1, 1)) == {"2.weight": 6 * 5 * 48, "2.bias": 0}
    assert sum(summed(model, zeros(2, 5, 7, 7)).values()) == 0


def test_unseen_weights_are_not_counted_as_sums():
    model = nn.Conv2d(2, 3, 3, padding=1)
    assert summed(model, zeros(1, 2, 1, 1)) == {"weight": 0, "bias": 0}
