"""A checkpoint after every epoch, from which an interrupted training continues to bitwise equal weights."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Generator, Tensor, nn

from ...io.atomic import write_atomic
from ..results.provenance import EXPERIMENT_VERSION, weights_hash
from .sgd import MaskedSGD

MOMENTUM = "momentum_buffer"  # its name in torch.optim.SGD's state


class EpochCheckpoint:
    """The file `path` with the weights, momentum and random states of a training, and the outputs recorded so far.

    A checkpoint is valid for the same `settings`, untrained weights, versions and device type; any other is ignored and
    overwritten. `outputs` grows by one array per epoch, all of one shape and dtype.
    """

    def __init__(self, path: Path, settings: Mapping[str, str], outputs: list[np.ndarray]):
        self.path, self.settings, self.outputs = path, dict(settings), outputs
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """The training time in seconds, without interruptions."""
        return time.perf_counter() - self.start

    def restore(self, sgd: MaskedSGD, batches: Generator) -> int:
        """Restore networks, momentum and random states before the first step; return the number of finished epochs.

        Returns 0, and changes nothing, if there is no valid checkpoint.
        """
        self.settings["initial_sha256"] = weights_hash(dict(_weights(sgd)))
        metadata, saved = self._read()
        expected = self._metadata(sgd)
        if {name: metadata.get(name) for name in expected} != expected:
            return 0
        with torch.no_grad():
            for name, tensor in _weights(sgd):
                tensor.copy_(saved[name])
        for name, parameter, state in _momenta(sgd):
            if name in saved:
                state[MOMENTUM] = torch.empty_like(parameter, requires_grad=False).copy_(saved[name])
        batches.set_state(saved["batches"])
        torch.set_rng_state(saved["random"])
        if sgd.device.type == "cuda":
            torch.cuda.set_rng_state(saved["cuda"], sgd.device)
        self.outputs[:] = saved["outputs"].numpy() if "outputs" in saved else []
        self.start -= float(metadata["seconds"])
        return int(metadata["done"])

    def write(self, done: int, sgd: MaskedSGD, batches: Generator) -> None:
        """Write the state after `done` epochs. Raises OSError if the file cannot be written."""
        state = dict(_weights(sgd))
        state |= {name: state[MOMENTUM] for name, _, state in _momenta(sgd) if MOMENTUM in state}
        state |= {"batches": batches.get_state(), "random": torch.get_rng_state()}
        if sgd.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(sgd.device)
        if self.outputs:
            state["outputs"] = torch.from_numpy(np.stack(self.outputs))
        metadata = self._metadata(sgd) | {"done": str(done), "seconds": str(self.seconds)}
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        write_atomic(self.path, save(tensors, metadata))

    def remove(self) -> None:
        """Delete the file after training."""
        self.path.unlink(missing_ok=True)

    def _metadata(self, sgd: MaskedSGD) -> dict[str, str]:
        """Return the metadata that a valid checkpoint has."""
        return {
            **self.settings,
            "outputs": str(bool(self.outputs)),
            "device": sgd.device.type,
            "torch": torch.__version__,
            "experiment_version": str(EXPERIMENT_VERSION),
        }

    def _read(self) -> tuple[dict[str, str], dict[str, Tensor]]:
        """Return the file's metadata and tensors, both empty if it is missing or damaged."""
        try:
            with safe_open(str(self.path), "pt") as file:
                return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
        except (SafetensorError, OSError):
            return {}, {}


def _weights(sgd: MaskedSGD) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters and buffers of all networks under unique names."""
    for number, model in enumerate(sgd.models):
        for name, tensor in model.state_dict().items():
            yield f"weights.{number}.{name}", tensor


def _momenta(sgd: MaskedSGD) -> Iterator[tuple[str, nn.Parameter, dict[str, Tensor]]]:
    """Yield the name, parameter and optimizer state of each parameter; the state is empty before the first step."""
    for number, (model, optimizer) in enumerate(zip(sgd.models, sgd.optimizers, strict=True)):
        for name, parameter in model.named_parameters():
            yield f"momentum.{number}.{name}", parameter, optimizer.state[parameter]
