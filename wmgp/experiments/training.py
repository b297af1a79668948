"""Training, masked fine-tuning and evaluation; parents kept as files.

The whole data set lies on the device as uint8, and a batch is an indexing of it: at the size of these networks a
DataLoader costs more than the network.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..errors import InputError
from .data import ImageData
from .files import write_aside
from .models import build


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent on cross-entropy; the defaults are the published run's."""

    learning_rate: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 256


REFERENCE = Recipe()


@dataclass(frozen=True)
class Outcome:
    """What a network says of a test set: accuracy in [0, 1], mean cross-entropy in nats, and its outputs."""

    accuracy: float
    loss: float
    logits: Float[Tensor, "n classes"]


def choose_device(device: str) -> torch.device:
    """`auto` is the first CUDA device where there is one, else the CPU; anything else is torch's name for it."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r}: {str(error).splitlines()[0]}") from error
    return chosen


def train(
    model: nn.Module,
    data: ImageData,
    epochs: int,
    seed: int,
    recipe: Recipe = REFERENCE,
    masks: Mapping[str, Bool[Tensor, "*shape"]] | None = None,
    after_epoch: Callable[[int], None] | None = None,
) -> None:
    """Train `model` in place for `epochs`, its batches drawn anew each epoch from `seed`.

    The last batch of an epoch may be smaller; none is dropped. Where `masks` (name -> bool, True = kept) are given,
    what they prune is zero after every step; the weights kept move as they do under `torch.nn.utils.prune`.
    `after_epoch` is called with the number of epochs done.
    """
    model.train().to(data.images.device).to(memory_format=torch.channels_last)  # as convolutions on CPUs like it
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay, foreach=True
    )
    held = _masked_parameters(model, masks or {})
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same order of batches on every device
    for epoch in range(epochs):
        order = torch.randperm(len(data), generator=generator).to(data.images.device)
        for index in order.split(recipe.batch_size):
            images, labels = data.batch(index)
            loss = cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            _hold_at_zero(held)
        if after_epoch:
            after_epoch(epoch + 1)


def _masked_parameters(model: nn.Module, masks: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """(parameter, True where it is pruned), for the masks that prune anything."""
    parameters = dict(model.named_parameters())
    if unknown := set(masks) - set(parameters):
        raise InputError(f"mask {sorted(unknown)[0]!r}: the network has no such parameter")
    held = [(parameters[name], ~mask.to(parameters[name].device)) for name, mask in masks.items()]
    return [(parameter, pruned) for parameter, pruned in held if pruned.any()]


def _hold_at_zero(held: list[tuple[Tensor, Tensor]]) -> None:
    """Filled, not multiplied: a product with zero would leave NaN and the sign of zero behind."""
    for parameter, pruned in held:
        parameter.data.masked_fill_(pruned, 0.0)


def evaluate(model: nn.Module, data: ImageData, batch_size: int = 1000) -> Outcome:
    """Accuracy, mean cross-entropy over the images, and outputs of `model` on `data`, without gradients."""
    model.eval().to(data.images.device).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        batches = torch.arange(len(data), device=data.images.device).split(batch_size)
        logits = torch.cat([model(data.batch(index)[0]) for index in batches])  # [n, classes]
        accuracy = (logits.argmax(1) == data.labels).double().mean().item()
        return Outcome(accuracy, cross_entropy(logits.double(), data.labels).item(), logits)


def parent(
    network: str,
    data: ImageData,
    seed: int,
    epochs: int,
    recipe: Recipe = REFERENCE,
    folder: str | Path | None = None,
    after_epoch: Callable[[int], None] | None = None,
) -> nn.Module:
    """The trained network of a seed, from `folder` where it lies there, else trained and kept there.

    The file is NETWORK-DATA-seedN.safetensors, float32, and says what it was trained with; one that was trained
    otherwise is an InputError, never silently used. Initialisation and order of batches are both drawn from `seed`;
    the initialisation is kept too, as NETWORK-init-seedN.safetensors.
    """
    model = build(network, seed)
    settings = {"network": network, "data": data.name, "data_sha256": data.sha256, "seed": seed, "epochs": epochs}
    written = {name: str(value) for name, value in (settings | asdict(recipe)).items()}
    path = Path(folder or "", f"{network}-{data.name}-seed{seed}.safetensors")
    if folder and path.exists():
        _read_parent(model, path, written)
        return model.to(data.images.device)
    if folder:
        _write(model, path.with_name(f"{network}-init-seed{seed}.safetensors"), {"network": network, "seed": str(seed)})
    began = time.perf_counter()
    train(model, data, epochs, seed, recipe, after_epoch=after_epoch)
    if folder:
        how = {"seconds": f"{time.perf_counter() - began:.1f}", "device": data.images.device.type}
        _write(model, path, {**written, **how, "torch": torch.__version__})
    return model


def _read_parent(model: nn.Module, path: Path, settings: dict[str, str]) -> None:
    try:
        with safe_open(str(path), "pt") as file:
            recorded = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error})") from error
    for name, value in settings.items():
        if recorded.get(name) != value:
            raise InputError(f"{path}: trained with {name} {recorded.get(name)}, expected {value}")
    model.load_state_dict(weights)


def _write(model: nn.Module, path: Path, settings: dict[str, str]) -> None:
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_aside(path, save(weights, settings))
