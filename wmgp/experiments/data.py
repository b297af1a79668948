"""Image classification data sets as tensors: read once, kept on the device, batched by indexing.

`digits` (1,797 images) comes with scikit-learn. The others are read from the folder `WMGP_DATA` (an environment
variable), in torchvision's layout, and downloaded into it if they are missing.
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

SPLIT_SEED = 0  # scikit-learn does not split the digits into training and test images
DIGITS_TRAIN = 1437  # four fifths of the 1,797 images
# Mean and standard deviation of each channel over the training images. Grey images are not normalized.
CIFAR10_STATISTICS = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
CHANNEL_STATISTICS = {"cifar10": CIFAR10_STATISTICS, "cifar10-jpeg": CIFAR10_STATISTICS}


@dataclass(frozen=True)
class ImageData:
    """One split of a data set: `images` uint8 [n, c, h, w], `labels` int64 [n] in [0, `classes`).

    `sha256` is the hash of the images' bytes followed by the labels' bytes. `mean` and `std` (one per channel, of
    pixels in [0, 1]) normalize the pixels; if they are empty, pixels stay in [0, 1].
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
        """Return the first `n` images and their labels, with the hash of the whole split."""
        return replace(self, images=self.images[:n], labels=self.labels[:n])

    def batch(self, index: Int64[Tensor, " b"]) -> tuple[Float[Tensor, "b c h w"], Int64[Tensor, " b"]]:
        """Return the images at `index`, normalized, and their labels."""
        return self.normalize(self.images[index]), self.labels[index]

    def normalize(self, images: UInt8[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return the images as float32: (pixel / 255 - mean) / std, or in [0, 1] without `mean` and `std`."""
        pixels = images.float().div_(255)
        if self.mean:
            pixels.sub_(_channels(self.mean, pixels.device)).div_(_channels(self.std, pixels.device))
        return pixels


@functools.cache
def _channels(values: tuple[float, ...], device: torch.device) -> Float[Tensor, "c 1 1"]:
    """Return one value per channel on the device, copied only once because a GPU waits for every copy."""
    return torch.tensor(values, device=device)[:, None, None]


def load(name: str, train: bool, device: str | torch.device = "cpu") -> ImageData:
    """Return the training or test split of `digits`, `mnist`, `fashion_mnist` or `cifar10` on `device`.

    The returned name is `cifar10-jpeg` if WMGP_DATA only has a JPEG copy of CIFAR-10. Raises InputError if the name is
    unknown, or if the files are missing and cannot be downloaded.
    """
    if name not in DATASETS:
        raise InputError(f"data {name!r}: expected one of {', '.join(DATASETS)}")
    label, images, labels = DATASETS[name](train)
    return to_device(_image_data(label, images, labels), device)


def to_device(data: ImageData, device: str | torch.device) -> ImageData:
    """Return the same data with its tensors on `device`."""
    return replace(data, images=data.images.to(device), labels=data.labels.to(device))


def _image_data(name: str, images: np.ndarray, labels: np.ndarray) -> ImageData:
    mean, std = CHANNEL_STATISTICS.get(name, ((), ()))
    return replace(image_data_from_arrays(name, images, labels), mean=mean, std=std)


def image_data_from_arrays(name: str, images: np.ndarray, labels: np.ndarray, classes: int = 10) -> ImageData:
    """Return `images` uint8 [n, c, h, w] and `labels` [n] in [0, classes) as hashed tensors."""
    images, labels = np.array(images, dtype="uint8", order="C"), np.array(labels, dtype="<i8")  # writable copies
    digest = hashlib.sha256(images.data)
    digest.update(labels.data)
    tensor = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)  # faster convolutions
    return ImageData(name, tensor, torch.from_numpy(labels), classes, digest.hexdigest())


def _read_digits(train: bool) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the 8x8 images scaled up to 28x28: every pixel repeated 3 x 3 times, and a border of 2 pixels."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype("uint8")  # [1797, 8, 8], from 0..16
    images = np.pad(images.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))  # [1797, 28, 28]
    order = np.random.RandomState(SPLIT_SEED).permutation(len(images))
    chosen = order[:DIGITS_TRAIN] if train else order[DIGITS_TRAIN:]
    return "digits", images[chosen, None], bunch.target[chosen]


def _idx_reader(name: str, class_name: str) -> Callable[[bool], tuple[str, np.ndarray, np.ndarray]]:
    """Return a function that reads MNIST or Fashion-MNIST from its IDX files; `class_name` is torchvision's."""

    def read(train: bool) -> tuple[str, np.ndarray, np.ndarray]:
        split = _torchvision_split(name, class_name, f"{class_name}/raw", train)
        return name, split.data.numpy()[:, None], split.targets.numpy()

    return read


def _torchvision_split(name: str, class_name: str, subfolder: str, train: bool) -> Any:
    """Return torchvision's data set from WMGP_DATA; download it if `subfolder` is missing."""
    folder = require_data_folder(name, subfolder)
    from torchvision import datasets

    if not (folder / subfolder).exists():
        _download(getattr(datasets, class_name), name, folder, Path(subfolder).parts[0])
    try:
        return getattr(datasets, class_name)(str(folder), train=train, download=False)
    except (RuntimeError, OSError, ValueError) as error:
        raise InputError(f"data {name!r}: {folder / subfolder}: {_first_line(error)}") from error


def _download(dataset_class: Callable[..., Any], name: str, folder: Path, top_folder: str) -> None:
    """Download by torchvision into a temporary folder, then move `top_folder` into place: complete or absent."""
    try:
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as staging:
            dataset_class(staging, download=True)
            os.rename(Path(staging, top_folder), folder / top_folder)
    except (RuntimeError, OSError, ValueError) as error:
        raise InputError(
            f"data {name!r}: {folder}: expected {top_folder} there, in torchvision's layout; "
            f"it could not be downloaded ({_first_line(error)})"
        ) from error


def _read_cifar10(train: bool) -> tuple[str, np.ndarray, np.ndarray]:
    """Read torchvision's archive, or Hugging Face parquet files (columns img {bytes, path} and label)."""
    folder = require_data_folder("cifar10", "cifar-10-batches-py")
    part = "train" if train else "test"
    for layout in ("cifar10", "cifar10-jpeg"):
        if files := sorted((folder / layout / "plain_text").glob(f"{part}-*.parquet")):
            images, labels, jpeg = read_parquet_images(files)
            return "cifar10-jpeg" if jpeg else "cifar10", images, labels
    split = _torchvision_split("cifar10", "CIFAR10", "cifar-10-batches-py", train)
    return "cifar10", split.data.transpose(0, 3, 1, 2), np.asarray(split.targets)


def read_parquet_images(files: list[Path]) -> tuple[UInt8[np.ndarray, "n 3 h w"], Int64[np.ndarray, " n"], bool]:
    """Return images, labels and True if any image is a JPEG, from Hugging Face parquet files (img or image, label)."""
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


def require_data_folder(name: str, subfolder: str) -> Path:
    """Return the folder WMGP_DATA. Raises InputError if it is not set or does not exist."""
    if not (folder := os.environ.get("WMGP_DATA")):
        raise InputError(f"data {name!r}: set WMGP_DATA to a folder that holds {subfolder}, in torchvision's layout")
    if not Path(folder).is_dir():
        raise InputError(f"data {name!r}: WMGP_DATA is {folder}, expected an existing folder")
    return Path(folder)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# Name -> function that reads the training or test split: name of the data, images, labels.
DATASETS: dict[str, Callable[[bool], tuple[str, np.ndarray, np.ndarray]]] = {
    "digits": _read_digits,
    "mnist": _idx_reader("mnist", "MNIST"),
    "fashion_mnist": _idx_reader("fashion_mnist", "FashionMNIST"),
    "cifar10": _read_cifar10,
}
