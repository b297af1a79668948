"""Weights of a parent after earlier epochs of its training, for weight rewinding."""

from collections.abc import Collection, Mapping
from pathlib import Path

from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from wmgp.errors import InputError
from wmgp.experiments.data import ImageData
from wmgp.experiments.models import build
from wmgp.experiments.results.provenance import weights_hash
from wmgp.experiments.training.loop import train
from wmgp.experiments.training.recipes import ExperimentConfig
from wmgp.io.atomic import write_atomic

Weights = dict[str, Float[Tensor, "..."]]


def early_weights(
    network: str,
    data: ImageData,
    seed: int,
    config: ExperimentConfig,
    parent: nn.Module,
    epochs: Collection[int],
    folder: str | Path | None = None,
) -> dict[int, Weights]:
    """Return, for each epoch, the weights that `parent` had after it, on the CPU.

    They are read from `folder` (NETWORK-DATA-seedN-epochM.safetensors) if it holds all of them. Otherwise the parent is
    trained again by its config, and the weights are saved there. Raises InputError if the repeated training ends at
    other weights than the parent's, or a file belongs to another parent.
    """
    sha = weights_hash(parent.state_dict())
    paths = {e: Path(folder or "", f"{network}-{data.name}-seed{seed}-epoch{e}.safetensors") for e in epochs}
    if folder and all(path.exists() for path in paths.values()):
        return {epoch: _read_weights(path, sha) for epoch, path in paths.items()}
    weights = _retrain(build(network, seed, config.weights), data, seed, config, epochs, sha)
    for epoch, path in paths.items() if folder else ():
        write_atomic(path, save(weights[epoch], {"parent_sha256": sha, "epoch": str(epoch)}))
    return weights


def _retrain(
    model: nn.Module, data: ImageData, seed: int, config: ExperimentConfig, epochs: Collection[int], sha: str
) -> dict[int, Weights]:
    saved = {0: _copy_to_cpu(model.state_dict())}

    def save_weights(epoch: int) -> None:
        if epoch in epochs:
            saved[epoch] = _copy_to_cpu(model.state_dict())

    train(model, data, config.epochs, seed, config.recipe, after_epoch=save_weights)
    if weights_hash(model.state_dict()) != sha:
        raise InputError(f"seed {seed}: training again gave another parent; expected the machine that trained it")
    return {epoch: saved[epoch] for epoch in epochs}


def _copy_to_cpu(weights: Mapping[str, Tensor]) -> Weights:
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}


def _read_weights(path: Path, sha: str) -> Weights:
    """Return the weights in the file. Raises InputError if they belong to another parent."""
    try:
        with safe_open(str(path), "pt") as file:
            if (file.metadata() or {}).get("parent_sha256") != sha:
                raise InputError(f"{path}: expected weights of this parent, got those of another")
            return {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: expected a complete safetensors file ({error})") from error
