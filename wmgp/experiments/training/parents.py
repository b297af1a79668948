"""Trained networks as files: trained once for a seed, then read."""

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
from .history import History
from .loop import train
from .sgd import REFERENCE, Recipe


def parent(
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
    """The trained network of a seed, from `folder` where it lies there, else trained and kept there.

    The file is NETWORK-DATA-seedN.safetensors, float32, and says what it was trained with; one that was trained
    otherwise is an InputError, never silently used. A training that is stopped goes on after its last whole epoch, to
    the same weights, from NETWORK-DATA-seedN.unfinished. Initialisation and order of batches are both drawn from
    `seed`; the initialisation is kept too, as NETWORK-init-seedN.safetensors. `initial` gives the untrained network of
    a seed; without it that is `build`'s, from torchvision's weights of the name `start`, if any. With `test` images, a
    `History` is kept beside the file where there is none yet.
    """
    model = initial(seed) if initial else build(network, seed, start)
    settings = {"network": network, "data": data.name, "data_sha256": data.sha256, "seed": seed, "epochs": epochs}
    settings |= recipe.settings() | {"start": start or "scratch"}
    written = {name: str(value) for name, value in settings.items()}
    path = Path(folder or "", f"{network}-{data.name}-seed{seed}.safetensors")
    there = folder and path.exists()
    kept = there and path.with_suffix(".json").exists()
    history = History(model, test) if folder and test and not kept else None
    if there:
        how = _read_parent(model, path, written)
        model.to(data.images.device)
    else:
        if folder:
            first = path.with_name(f"{network}-init-seed{seed}.safetensors")
            if not first.exists():  # written by a sweep on other data, it is the same
                _write(model, first, {"network": network, "seed": str(seed)})
        unfinished = EpochCheckpoint(path.with_suffix(".unfinished"), written, history.outputs if history else [])
        how = _train(model, data, epochs, seed, recipe, history, after_epoch, unfinished if folder else None)
        if folder:
            _write(model, path, {**written, **how, "torch": torch.__version__})
            unfinished.remove()
    if history:
        history.write(path, {**settings, **how})
    return model


def _train(
    model: nn.Module,
    data: ImageData,
    epochs: int,
    seed: int,
    recipe: Recipe,
    history: History | None,
    after_epoch: Callable[[int], None] | None,
    unfinished: EpochCheckpoint | None,
) -> dict[str, str]:
    """Train, and return how long that took and on what."""

    def look(epoch: int) -> None:
        if history:
            history.look()
        if after_epoch and epoch:
            after_epoch(epoch)

    look(0)
    began = time.perf_counter()
    train(model, data, epochs, seed, recipe, after_epoch=look, unfinished=unfinished)
    seconds = unfinished.seconds if unfinished else time.perf_counter() - began
    return {"seconds": f"{seconds:.3f}", "device": data.images.device.type}


def _read_parent(model: nn.Module, path: Path, settings: dict[str, str]) -> dict[str, str]:
    """Load the weights, once it is sure how they were trained; how long that took and on what."""
    try:
        with safe_open(str(path), "pt") as file:
            recorded = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error})") from error
    # Of what a file or the settings leave out:
    defaults = {field.name: str(field.default) for field in fields(Recipe)} | {"start": "scratch"}
    for name in (*settings, *(defaults.keys() & recorded.keys())):
        found, expected = (where.get(name, defaults.get(name)) for where in (recorded, settings))
        if found != expected:
            raise InputError(f"{path}: trained with {name} {found}, expected {expected}")
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"{path}: not the weights of this network: {str(error).splitlines()[-1].strip()}") from error
    return {name: recorded[name] for name in ("seconds", "device") if name in recorded}


def _write(model: nn.Module, path: Path, settings: dict[str, str]) -> None:
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_atomic(path, save(weights, settings))
