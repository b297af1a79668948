"""The batches of an epoch, cropped and flipped at random by indexing on the device where the images lie."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor
from torch.nn.functional import pad

from ..data import ImageData


def batches(
    data: ImageData, size: int, generator: Generator, crop: int = 0, flip: bool = False
) -> Iterator[tuple[Float[Tensor, "b c h w"], Int64[Tensor, " b"]]]:
    """Every image once, in random order, `size` at a time and as `data.scaled`, with the labels.

    `crop`: from the image with a black border of so many pixels, a piece of the image's size; `flip`: left to right,
    one in two (both as He et al. 2016, arXiv:1512.03385, section 4.2). The generator is the CPU's, on every device;
    what an epoch draws goes to the device at once, and nothing more is drawn than is asked for.
    """
    device, n = data.images.device, len(data)
    windows = _windows(data.images, crop) if crop else data.images
    order = torch.randperm(n, generator=generator).to(device)
    corners = torch.randint(2 * crop + 1, (2, n), generator=generator).to(device) if crop else order.new_empty(0, n)
    turned = torch.randint(2, (n, 1, 1, 1), generator=generator).to(device) if flip else None
    for start in range(0, n, size):
        part = slice(start, start + size)
        images = windows[order[part], :, *corners[:, part]]  # [b, c, h, w]
        if turned is not None:
            images = torch.where(turned[part] > 0, images.flip(3), images)
        yield data.scaled(images), data.labels[order[part]]


def _windows(images: UInt8[Tensor, "n c h w"], crop: int) -> UInt8[Tensor, "n c s s h w"]:
    """Every piece of the padded images, by how far down and right it begins: a view of s = 2 crop + 1 places each."""
    h, w = images.shape[2:]
    return pad(images.contiguous(), (crop,) * 4).unfold(2, h, 1).unfold(3, w, 1)
