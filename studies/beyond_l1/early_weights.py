"""What a parent's weights were before the end of its training, which is run once more for it."""

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
    """By epoch: the weights that `parent`, trained by the config, had after so many, on the CPU.

    From `folder`, as NETWORK-DATA-seedN-epochM.safetensors, where all of them lie there; else trained again and kept
    there. InputError where that training, or what lies there, does not belong to this parent.
    """
    sha = weights_hash(parent.state_dict())
    paths = {e: Path(folder or "", f"{network}-{data.name}-seed{seed}-epoch{e}.safetensors") for e in epochs}
    if folder and all(path.exists() for path in paths.values()):
        return {epoch: _read(path, sha) for epoch, path in paths.items()}
    found = _trained_again(build(network, seed, config.weights), data, seed, config, epochs, sha)
    for epoch, path in paths.items() if folder else ():
        write_atomic(path, save(found[epoch], {"parent_sha256": sha, "epoch": str(epoch)}))
    return found


def _trained_again(
    model: nn.Module, data: ImageData, seed: int, config: ExperimentConfig, epochs: Collection[int], sha: str
) -> dict[int, Weights]:
    kept = {0: _copied(model.state_dict())}

    def look(epoch: int) -> None:
        if epoch in epochs:
            kept[epoch] = _copied(model.state_dict())

    train(model, data, config.epochs, seed, config.recipe, after_epoch=look)
    if weights_hash(model.state_dict()) != sha:
        raise InputError(f"seed {seed}: trained again, it is another parent; expected the machine that trained it")
    return {epoch: kept[epoch] for epoch in epochs}


def _copied(weights: Mapping[str, Tensor]) -> Weights:
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}


def _read(path: Path, sha: str) -> Weights:
    """The weights of the file, once it is sure that they led to this parent."""
    try:
        with safe_open(str(path), "pt") as file:
            if (file.metadata() or {}).get("parent_sha256") != sha:
                raise InputError(f"{path}: weights on the way to another parent")
            return {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error})") from error
