"""Image classification sets, whole, as tensors: read once, kept on the device, batched by indexing.

`digits` (1,797 images) ships inside scikit-learn and is always there. The others are read from the folder that the
environment variable `WMGP_DATA` names, laid out as torchvision lays them out, and downloaded into it where they are
missing.
"""

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from ..errors import InputError

SPLIT_SEED = 0  # the digits come without a split of their own: this one is fixed
DIGITS_TRAIN = 1437  # four fifths of the 1,797 images
# Mean and standard deviation of each channel over the training images; the sets of grey images stay in [0, 1].
CIFAR10 = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
NORMALISED = {"cifar10": CIFAR10, "cifar10-jpeg": CIFAR10}


@dataclass(frozen=True)
class ImageData:
    """One split of a data set: `images` uint8 [n, c, h, w], `labels` int64 [n] in [0, `classes`).

    `sha256` is that of the bytes of the images followed by those of the labels. `mean` and `std` of each channel are
    what the pixels, once in [0, 1], are normalised with; without them they stay in [0, 1].
    """

    name: str
    images: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    classes: int
    sha256: str
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, n: int) -> "ImageData":
        """The first `n` images and their labels; the hash stays that of the whole."""
        return replace(self, images=self.images[:n], labels=self.labels[:n])

    def batch(self, index: Int64[Tensor, " b"]) -> tuple[Float[Tensor, "b c h w"], Int64[Tensor, " b"]]:
        """The images at `index`, scaled, and their labels."""
        return self.scaled(self.images[index]), self.labels[index]

    def scaled(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Images as float32 in [0, 1], or normalised."""
        pixels = images.float().div_(255)
        if self.mean:
            pixels.sub_(_channels(self.mean, pixels.device)).div_(_channels(self.std, pixels.device))
        return pixels


@functools.cache
def _channels(values: tuple[float, ...], device: torch.device) -> Float[Tensor, "c 1 1"]:
    """A value a channel, copied to the device once: a GPU waits for every copy."""
    return torch.tensor(values, device=device)[:, None, None]


def load(name: str, train: bool, device: str | torch.device = "cpu") -> ImageData:
    """One split of `digits`, `mnist`, `fashion_mnist` or `cifar10`, whole on `device`.

    The name of what is returned says what was read: `cifar10-jpeg` where only a JPEG copy of CIFAR-10 was found.
    InputError where the name is unknown, or the files are missing and cannot be downloaded.
    """
    if name not in _READERS:
        raise InputError(f"data {name!r}: expected one of {', '.join(_READERS)}")
    label, images, labels = _READERS[name](train)
    return on_device(_image_data(label, images, labels), device)


def on_device(data: ImageData, device: str | torch.device) -> ImageData:
    """The same data with its tensors on `device`."""
    return replace(data, images=data.images.to(device), labels=data.labels.to(device))


def _image_data(name: str, images: np.ndarray, labels: np.ndarray) -> ImageData:
    mean, std = NORMALISED.get(name, ((), ()))
    return replace(from_arrays(name, images, labels), mean=mean, std=std)


def from_arrays(name: str, images: np.ndarray, labels: np.ndarray, classes: int = 10) -> ImageData:
    """`images` uint8 [n, c, h, w] and `labels` [n] in [0, classes), hashed and made tensors."""
    images, labels = np.array(images, dtype="uint8", order="C"), np.array(labels, dtype="<i8")  # copies: writable
    digest = hashlib.sha256(images.data)
    digest.update(labels.data)
    tensor = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)  # as networks want their batches
    return ImageData(name, tensor, torch.from_numpy(labels), classes, digest.hexdigest())


def _digits(train: bool) -> tuple[str, np.ndarray, np.ndarray]:
    """Every pixel of the 8x8 images three times each way, and a border of 2: whole numbers, the same everywhere."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype("uint8")  # [1797, 8, 8], from 0..16
    images = np.pad(images.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))  # [1797, 28, 28]
    order = np.random.RandomState(SPLIT_SEED).permutation(len(images))
    chosen = order[:DIGITS_TRAIN] if train else order[DIGITS_TRAIN:]
    return "digits", images[chosen, None], bunch.target[chosen]


def _torchvision(name: str, kind: str) -> Callable[[bool], tuple[str, np.ndarray, np.ndarray]]:
    """A reader of one of torchvision's two MNISTs from its IDX files."""

    def read(train: bool) -> tuple[str, np.ndarray, np.ndarray]:
        split = _split(name, kind, f"{kind}/raw", train)
        return name, split.data.numpy()[:, None], split.targets.numpy()

    return read


def _split(name: str, kind: str, inside: str, train: bool) -> Any:
    """torchvision's data set of that kind in the folder of WMGP_DATA, downloaded where `inside` it is not there."""
    folder = folder_of(name, inside)
    from torchvision import datasets

    if not (folder / inside).exists():
        _download(getattr(datasets, kind), name, folder, Path(inside).parts[0])
    try:
        return getattr(datasets, kind)(str(folder), train=train, download=False)
    except (RuntimeError, OSError, ValueError) as error:
        raise InputError(f"data {name!r}: {folder / inside}: {_first_line(error)}") from error


def _download(kind: Callable[..., Any], name: str, folder: Path, made: str) -> None:
    """torchvision's own download, with its bar, into a folder aside: what it made is then moved into place, whole."""
    try:
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as aside:
            kind(aside, download=True)
            os.rename(Path(aside, made), folder / made)
    except (RuntimeError, OSError, ValueError) as error:
        raise InputError(
            f"data {name!r}: {folder}: expected {made} there, in torchvision's layout; "
            f"it could not be downloaded ({_first_line(error)})"
        ) from error


def _cifar10(train: bool) -> tuple[str, np.ndarray, np.ndarray]:
    """torchvision's archive, or Hugging Face parquet files (columns img {bytes, path} and label)."""
    folder = folder_of("cifar10", "cifar-10-batches-py")
    part = "train" if train else "test"
    for layout in ("cifar10", "cifar10-jpeg"):
        if files := sorted((folder / layout / "plain_text").glob(f"{part}-*.parquet")):
            images, labels, jpeg = parquet(files)
            return "cifar10-jpeg" if jpeg else "cifar10", images, labels
    split = _split("cifar10", "CIFAR10", "cifar-10-batches-py", train)
    return "cifar10", split.data.transpose(0, 3, 1, 2), np.asarray(split.targets)


def parquet(files: list[Path]) -> tuple[UInt8[np.ndarray, "n 3 h w"], Int64[np.ndarray, " n"], bool]:
    """Images and labels of Hugging Face parquet files (columns img or image, and label), and whether any is a JPEG."""
    import pandas
    from PIL import Image

    try:
        table = pandas.concat([pandas.read_parquet(file) for file in files], ignore_index=True)
    except (ImportError, OSError, ValueError) as error:
        raise InputError(f"{files[0]}: {_first_line(error)}") from error
    column = "img" if "img" in table else "image"
    if missing := {column, "label"} - set(table):
        raise InputError(f"{files[0]}: expected columns img or image, and label; found no {sorted(missing)[0]}")
    pictures = [Image.open(BytesIO(cell["bytes"])) for cell in table[column]]
    images = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])  # [n, h, w, 3]
    return images.transpose(0, 3, 1, 2), table["label"].to_numpy(), any(p.format == "JPEG" for p in pictures)


def folder_of(name: str, inside: str) -> Path:
    """The folder of WMGP_DATA, or the one line that says how to supply it."""
    if not (folder := os.environ.get("WMGP_DATA")):
        raise InputError(f"data {name!r}: set WMGP_DATA to a folder that holds {inside}, in torchvision's layout")
    if not Path(folder).is_dir():
        raise InputError(f"data {name!r}: WMGP_DATA is {folder}, expected an existing folder")
    return Path(folder)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


_READERS: dict[str, Callable[[bool], tuple[str, np.ndarray, np.ndarray]]] = {
    "digits": _digits,
    "mnist": _torchvision("mnist", "MNIST"),
    "fashion_mnist": _torchvision("fashion_mnist", "FashionMNIST"),
    "cifar10": _cifar10,
}
