"""Batches of an epoch, randomly cropped and flipped by indexing on the images' device."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor
from torch.nn.functional import pad

from ..data import ImageData


def batches(
    data: ImageData, size: int, generator: Generator, crop: int = 0, flip: bool = False
) -> Iterator[tuple[Float[Tensor, "b c h w"], Int64[Tensor, " b"]]]:
    """Yield every image once, in random order, `size` at a time: normalized images and their labels.

    `crop`: pad the image by this many black pixels and crop it to its size at random; `flip`: mirror half of the images
    (both as He et al. 2016, arXiv:1512.03385, section 4.2). `generator` is a CPU generator on every device. The random
    numbers of an epoch go to the device in one copy; nothing is drawn for an augmentation that is off.
    """
    device, n = data.images.device, len(data)
    windows = _windows(data.images, crop) if crop else data.images
    order = torch.randperm(n, generator=generator).to(device)
    corners = torch.randint(2 * crop + 1, (2, n), generator=generator).to(device) if crop else order.new_empty(0, n)
    flipped = torch.randint(2, (n, 1, 1, 1), generator=generator).to(device) if flip else None
    for start in range(0, n, size):
        part = slice(start, start + size)
        images = windows[order[part], :, *corners[:, part]]  # [b, c, h, w]
        if flipped is not None:
            images = torch.where(flipped[part] > 0, images.flip(3), images)
        yield data.normalize(images), data.labels[order[part]]


def _windows(images: UInt8[Tensor, "n c h w"], crop: int) -> UInt8[Tensor, "n c s s h w"]:
    """Return a view of all crops of the padded images, by their offset down and right, s = 2 crop + 1 offsets each."""
    h, w = images.shape[2:]
    return pad(images.contiguous(), (crop,) * 4).unfold(2, h, 1).unfold(3, w, 1)
