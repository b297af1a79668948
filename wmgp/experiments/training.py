"""Training, masked fine-tuning and evaluation.

The whole data set lies on the device as uint8, and a batch is an indexing of it: at the size of these networks a
DataLoader costs more than the network.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..errors import InputError
from .augment import batches
from .data import ImageData
from .graphs import Replayed
from .memory import keep_memory


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent on cross-entropy; the defaults are the published run's."""

    learning_rate: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 256
    nesterov: bool = False
    one_cycle: bool = False  # the rate rises over the first quarter of the steps, then falls to nothing
    crop: int = 0  # crops at random from the image with a border of so many pixels
    flip: bool = False  # left to right, one image in two
    channels_last: bool = True  # in memory
    bfloat16: bool = False  # the forward and backward pass; the weights stay float32

    def settings(self) -> dict[str, Any]:
        """What decides the result, by name: the first four, and whatever else is not as published."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        always = list(values)[:4]
        return {name: value for name, (value, default) in values.items() if name in always or value != default}

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, from 0, out of `steps` (a triangle: Smith & Topin 2019, arXiv:1708.07120)."""
        if not self.one_cycle:
            return self.learning_rate
        up = max(steps // 4, 1)
        return self.learning_rate * min((step + 1) / up, (steps - step) / max(steps - up, 1))


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
    """Train `model` in place for `epochs`; the batches, drawn anew each epoch, and dropout are decided by `seed`.

    The global random state is left as it was. The last batch of an epoch may be smaller; none is dropped. Where `masks`
    (name -> bool, True = kept) are given, what they prune is zero after every step; the weights kept move as they do
    under `torch.nn.utils.prune`.
    `after_epoch` is called with the number of epochs done.
    """
    device = data.images.device
    if device.type == "cpu":
        keep_memory()
    model.train().to(device).to(memory_format=torch.channels_last if recipe.channels_last else torch.contiguous_format)
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.learning_rate, recipe.momentum,
        weight_decay=recipe.weight_decay, nesterov=recipe.nesterov, foreach=True,
    )  # fmt: skip
    held = _masked_parameters(model, masks or {})

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bfloat16):
            loss = cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        _hold_at_zero(held)

    # A graph keeps the numbers it was recorded with, the learning rate among them.
    take = Replayed(step) if device.type == "cuda" and not recipe.one_cycle else step
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same order of batches on every device
    done, steps = 0, epochs * -(-len(data) // recipe.batch_size)
    with _repeatable(device, seed):
        for epoch in range(epochs):
            for images, labels in batches(data, recipe.batch_size, generator, recipe.crop, recipe.flip):
                optimizer.param_groups[0]["lr"] = recipe.rate(done, steps)
                if recipe.channels_last:
                    images = images.contiguous(memory_format=torch.channels_last)
                take(images, labels)
                done += 1
            if after_epoch:
                after_epoch(epoch + 1)
                model.train()  # it may have been evaluated


@contextmanager
def _repeatable(device: torch.device, seed: int) -> Iterator[None]:
    """Dropout by the seed; on a GPU, on a stream of its own, and by those ways of cuDNN that repeat themselves."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if on_gpu else []):
        torch.manual_seed(seed)
        if not on_gpu:
            yield
            return
        stream, outside = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        stream.wait_stream(outside)  # graphs cannot be recorded where a step has run on the usual stream
        with torch.cuda.stream(stream), torch.backends.cudnn.flags(benchmark=False, deterministic=True):
            yield
        outside.wait_stream(stream)


WHOLE = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # the integer of as many bytes


def _masked_parameters(model: nn.Module, masks: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """The bits of each parameter of which something is pruned, and what of them is kept: all ones, or all zeros."""
    parameters = dict(model.named_parameters())
    if unknown := set(masks) - set(parameters):
        raise InputError(f"mask {sorted(unknown)[0]!r}: the network has no such parameter")
    held = []
    for name, mask in masks.items():
        if not mask.all():
            bits = parameters[name].detach().view(WHOLE[parameters[name].element_size()])
            held.append((bits, torch.empty_like(bits).copy_(mask).neg_()))
    return held


def _hold_at_zero(held: list[tuple[Tensor, Tensor]]) -> None:
    """By bits: a product would leave NaN and the sign of zero behind, and `masked_fill_` is many times as slow."""
    for bits, kept in held:
        bits.bitwise_and_(kept)


PIXELS = 2**20  # of a batch that is only looked at


def evaluate(model: nn.Module, data: ImageData, batch_size: int = 1000) -> Outcome:
    """Accuracy, mean cross-entropy over the images, and outputs of `model` on `data`, without gradients.

    Batches of large images are smaller than `batch_size`.
    """
    batch_size = max(1, min(batch_size, PIXELS // data.images[0, 0].numel()))
    model.eval().to(data.images.device).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        indices = torch.arange(len(data), device=data.images.device).split(batch_size)
        images = (data.batch(index)[0].contiguous(memory_format=torch.channels_last) for index in indices)
        logits = torch.cat([model(batch) for batch in images])  # [n, classes]
        accuracy = (logits.argmax(1) == data.labels).double().mean().item()
        return Outcome(accuracy, cross_entropy(logits.double(), data.labels).item(), logits)
