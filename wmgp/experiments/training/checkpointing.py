"""Training that was stopped: a file of its state after every whole epoch, from which it goes on to the same bits."""

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

MOMENTUM = "momentum_buffer"  # torch.optim.SGD's name for it


class EpochCheckpoint:
    """The file `path`: weights, momentum and random states of networks in training, and what was seen on the way.

    `settings` and the untrained weights say which training it is. A file of another one, of another version or kind of
    device is of no use and is written over. `seen` grows by an array an epoch, all of one shape and dtype.
    """

    def __init__(self, path: Path, settings: Mapping[str, str], seen: list[np.ndarray]):
        self.path, self.settings, self.seen = path, dict(settings), seen
        self.began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """How long the training has taken, less the time between its being stopped and its going on."""
        return time.perf_counter() - self.began

    def restore(self, descent: MaskedSGD, batches: Generator) -> int:
        """Set a descent that has not begun, and the random numbers, to the file's state; return the epochs done."""
        self.settings["initial_sha256"] = weights_hash(dict(_weights(descent)))
        facts, kept = self._read()
        expected = self._facts(descent)
        if {name: facts.get(name) for name in expected} != expected:
            return 0
        with torch.no_grad():
            for name, tensor in _weights(descent):
                tensor.copy_(kept[name])
        for name, parameter, state in _momenta(descent):
            if name in kept:
                state[MOMENTUM] = torch.empty_like(parameter, requires_grad=False).copy_(kept[name])
        batches.set_state(kept["batches"])
        torch.set_rng_state(kept["random"])
        if descent.device.type == "cuda":
            torch.cuda.set_rng_state(kept["cuda"], descent.device)
        self.seen[:] = kept["seen"].numpy() if "seen" in kept else []
        self.began -= float(facts["seconds"])
        return int(facts["done"])

    def keep(self, done: int, descent: MaskedSGD, batches: Generator) -> None:
        """Write the state after `done` epochs. OSError where that cannot be done."""
        state = dict(_weights(descent))
        state |= {name: state[MOMENTUM] for name, _, state in _momenta(descent) if MOMENTUM in state}
        state |= {"batches": batches.get_state(), "random": torch.get_rng_state()}
        if descent.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(descent.device)
        if self.seen:
            state["seen"] = torch.from_numpy(np.stack(self.seen))
        facts = self._facts(descent) | {"done": str(done), "seconds": str(self.seconds)}
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        write_atomic(self.path, save(whole, facts))

    def remove(self) -> None:
        """Once the training is over."""
        self.path.unlink(missing_ok=True)

    def _facts(self, descent: MaskedSGD) -> dict[str, str]:
        """What a file must say for its training to be this one."""
        return {
            **self.settings,
            "seen": str(bool(self.seen)),
            "device": descent.device.type,
            "torch": torch.__version__,
            "experiment_version": str(EXPERIMENT_VERSION),
        }

    def _read(self) -> tuple[dict[str, str], dict[str, Tensor]]:
        """What the file says of itself, and its tensors; neither where there is no such file."""
        try:
            with safe_open(str(self.path), "pt") as file:
                return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
        except (SafetensorError, OSError):
            return {}, {}


def _weights(descent: MaskedSGD) -> Iterator[tuple[str, Tensor]]:
    """The networks' own tensors, buffers too, by names that differ."""
    for number, model in enumerate(descent.models):
        for name, tensor in model.state_dict().items():
            yield f"weights.{number}.{name}", tensor


def _momenta(descent: MaskedSGD) -> Iterator[tuple[str, nn.Parameter, dict[str, Tensor]]]:
    """Name, parameter, and what the optimizer keeps of it: nothing before its first step."""
    for number, (model, optimizer) in enumerate(zip(descent.models, descent.optimizers, strict=True)):
        for name, parameter in model.named_parameters():
            yield f"momentum.{number}.{name}", parameter, optimizer.state[parameter]
