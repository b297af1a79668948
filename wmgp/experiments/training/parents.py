"""Parents (trained networks) as files: trained once per seed, then read."""

import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from ...errors import InputError
from ...io.atomic import write_atomic
from ..data import ImageData
from ..models import build
from .checkpointing import EpochCheckpoint
from .history import ParentHistory
from .loop import train
from .sgd import REFERENCE, Recipe


def load_or_train_parent(
    network: str,
    data: ImageData,
    seed: int,
    epochs: int,
    recipe: Recipe = REFERENCE,
    folder: str | Path | None = None,
    after_epoch: Callable[[int], None] | None = None,
    initial: Callable[[int], nn.Module] | None = None,
    start: str | None = None,
    test: ImageData | None = None,
) -> nn.Module:
    """Return the trained network of a seed: read it from `folder` or, if it is not there, train and save it.

    The file is NETWORK-DATA-seedN.safetensors, float32; its metadata has the settings of the training. Raises
    InputError if the file was trained with other settings. An interrupted training continues after its last finished
    epoch, to the same weights, from NETWORK-DATA-seedN.unfinished. `seed` decides the initialisation, which is saved as
    NETWORK-init-seedN.safetensors, and the order of batches. `initial` builds the untrained network of a seed; the
    default is `models.build` with torchvision's weights `start`, if any. With `test` images, a `ParentHistory` is
    written beside the file unless it exists. Without a `folder` nothing is read or written.
    """
    model = initial(seed) if initial else build(network, seed, start)
    settings = {"network": network, "data": data.name, "data_sha256": data.sha256, "seed": seed, "epochs": epochs}
    settings |= recipe.settings() | {"start": start or "scratch"}
    metadata = {name: str(value) for name, value in settings.items()}
    path = Path(folder or "", f"{network}-{data.name}-seed{seed}.safetensors")
    trained = folder and path.exists()
    recorded = trained and path.with_suffix(".json").exists()
    history = ParentHistory(model, test) if folder and test and not recorded else None
    if trained:
        timing = _read_parent(model, path, metadata)
        model.to(data.images.device)
    else:
        if folder:
            initialisation = path.with_name(f"{network}-init-seed{seed}.safetensors")
            if not initialisation.exists():  # it does not depend on the data
                _write(model, initialisation, {"network": network, "seed": str(seed)})
        checkpoint = EpochCheckpoint(path.with_suffix(".unfinished"), metadata, history.outputs if history else [])
        timing = _train(model, data, epochs, seed, recipe, history, after_epoch, checkpoint if folder else None)
        if folder:
            _write(model, path, {**metadata, **timing, "torch": torch.__version__})
            checkpoint.remove()
    if history:
        history.write(path, {**settings, **timing})
    return model


def _train(
    model: nn.Module,
    data: ImageData,
    epochs: int,
    seed: int,
    recipe: Recipe,
    history: ParentHistory | None,
    after_epoch: Callable[[int], None] | None,
    checkpoint: EpochCheckpoint | None,
) -> dict[str, str]:
    """Train the network; return the seconds and the device."""

    def record(epoch: int) -> None:
        if history:
            history.record_outputs()
        if after_epoch and epoch:
            after_epoch(epoch)

    record(0)
    start = time.perf_counter()
    train(model, data, epochs, seed, recipe, after_epoch=record, checkpoint=checkpoint)
    seconds = checkpoint.seconds if checkpoint else time.perf_counter() - start
    return {"seconds": f"{seconds:.3f}", "device": data.images.device.type}


def _read_parent(model: nn.Module, path: Path, settings: dict[str, str]) -> dict[str, str]:
    """Load the weights if they were trained with these settings; return the recorded seconds and device."""
    try:
        with safe_open(str(path), "pt") as file:
            recorded = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error})") from error
    # Values of settings that the file or `settings` omit:
    defaults = {field.name: str(field.default) for field in fields(Recipe)} | {"start": "scratch"}
    for name in (*settings, *(defaults.keys() & recorded.keys())):
        value, expected = (source.get(name, defaults.get(name)) for source in (recorded, settings))
        if value != expected:
            raise InputError(f"{path}: trained with {name} {value}, expected {expected}")
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"{path}: not the weights of this network: {str(error).splitlines()[-1].strip()}") from error
    return {name: recorded[name] for name in ("seconds", "device") if name in recorded}


def _write(model: nn.Module, path: Path, settings: dict[str, str]) -> None:
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_atomic(path, save(weights, settings))
