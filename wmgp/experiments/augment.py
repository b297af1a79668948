"""The batches of an epoch, cropped and flipped at random by indexing on the device where the images lie."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor
from torch.nn.functional import pad

from .data import ImageData


def batches(
    data: ImageData, size: int, generator: Generator, crop: int = 0, flip: bool = False
) -> Iterator[tuple[Float[Tensor, "b c h w"], Int64[Tensor, " b"]]]:
    """Every image once, in random order, `size` at a time and as `data.scaled`, with the labels.

    `crop`: from the image with a black border of so many pixels, a piece of the image's size; `flip`: left to right,
    one in two (both as He et al. 2016, arXiv:1512.03385, section 4.2). The generator is the CPU's, on every device, and
    nothing more is drawn than is asked for.
    """
    device, n = data.images.device, 2 * crop + 1
    windows = _windows(data.images, crop) if crop else data.images
    for index in torch.randperm(len(data), generator=generator).split(size):
        corner = torch.randint(n, (2, len(index)), generator=generator).to(device) if crop else ()
        index = index.to(device)
        images = windows[index, :, *corner]  # [b, c, h, w]
        if flip:
            turned = torch.randint(2, (len(index), 1, 1, 1), generator=generator).to(device)
            images = torch.where(turned > 0, images.flip(3), images)
        yield data.scaled(images), data.labels[index]


def _windows(images: UInt8[Tensor, "n c h w"], crop: int) -> UInt8[Tensor, "n c s s h w"]:
    """Every piece of the padded images, by how far down and right it begins: a view of s = 2 crop + 1 places each."""
    h, w = images.shape[2:]
    return pad(images, (crop,) * 4).unfold(2, h, 1).unfold(3, w, 1)
