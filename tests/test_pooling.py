"""Max-pooling by halves: the values and gradients of PyTorch's, to the bit."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from wmgp.experiments.training.pooling import HalvingPool

SIZES = st.integers(2, 7)


def both(images, seed=0):
    """What PyTorch's and ours make of images and of a gradient: two pairs."""
    found = []
    for pool in (nn.MaxPool2d(2), HalvingPool()):
        x = images.clone().requires_grad_()
        y = pool(x)
        y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(seed)))
        found.append((y.detach(), x.grad))
    return found


@given(st.integers(1, 3), st.integers(1, 5), SIZES, SIZES, st.integers(0, 99), st.booleans(), st.integers(0, 1))
def test_values_and_gradients_are_torch_s_to_the_bit(n, c, h, w, seed, last, digits):
    """Rounded values have many ties; sizes may be odd; both orders of memory."""
    images = torch.randn(n, c, h, w, generator=torch.Generator().manual_seed(seed)).round(decimals=digits)
    if last:
        images = images.contiguous(memory_format=torch.channels_last)
    theirs, ours = both(images, seed)
    assert all(torch.equal(a, b) for a, b in zip(theirs, ours, strict=True))


def test_the_first_of_equal_values_gets_the_gradient():
    theirs, ours = both(torch.zeros(1, 1, 2, 2))
    assert torch.equal(theirs[1], ours[1]) and ours[1].flatten().count_nonzero() == 1 and ours[1][0, 0, 0, 0] != 0


@pytest.mark.parametrize("place", range(4))
def test_not_a_number_goes_through(place):
    images = torch.arange(4.0).reshape(1, 1, 2, 2)
    images.view(-1)[place] = float("nan")
    assert HalvingPool()(images).isnan().all()


@pytest.mark.parametrize("images", [torch.ones(1, 4, 4), torch.ones(1, 1, 4, 4, dtype=torch.float64)])
def test_other_inputs_are_left_to_torch(images):
    assert torch.equal(HalvingPool()(images), nn.MaxPool2d(2)(images))


def test_it_is_a_max_pool_that_can_be_copied():
    pool = copy.deepcopy(HalvingPool())
    assert isinstance(pool, nn.MaxPool2d) and pool.kernel_size == 2 and not pool.state_dict()
    with torch.inference_mode():
        assert pool(torch.ones(2, 3, 4, 4)).shape == (2, 3, 2, 2)
