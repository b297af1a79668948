"""Training, masked fine-tuning and evaluation.

The whole data set lies on the device as uint8, and a batch is an indexing of it: at the size of these networks a
DataLoader costs more than the network.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from ...errors import InputError
from ..data import ImageData
from .augmentation import batches
from .checkpointing import EpochCheckpoint
from .cuda_graphs import GraphedStep
from .malloc import keep_memory
from .sgd import REFERENCE, MaskedSGD, Recipe


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
        torch.ones((), device=chosen).item()  # not every device that torch names holds values
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
    unfinished: EpochCheckpoint | None = None,
) -> None:
    """Train `model` in place for `epochs`; the batches, drawn anew each epoch, and dropout are decided by `seed`.

    The global random state is left as it was. The last batch of an epoch may be smaller; none is dropped. Where `masks`
    (name -> bool, True = kept) are given, what they prune is zero after every step; the weights kept move as they do
    under `torch.nn.utils.prune`.
    `after_epoch` is called with the number of epochs done. Training that was stopped goes on from the file of
    `unfinished`, which is written after each epoch.
    """
    train_side_by_side([model], data, epochs, seed, recipe, [masks or {}], after_epoch, unfinished)


def train_side_by_side(
    models: Sequence[nn.Module],
    data: ImageData,
    epochs: int,
    seed: int,
    recipe: Recipe,
    masks: Sequence[Mapping[str, Bool[Tensor, "*shape"]]],
    after_epoch: Callable[[int], None] | None = None,
    unfinished: EpochCheckpoint | None = None,
) -> None:
    """`train` for several networks on the same batches, each with its masks.

    On a GPU their steps run side by side, and each network comes out as it does alone; those with dropout draw from one
    stream of random numbers and do not.
    """
    device = data.images.device
    if device.type == "cpu":
        keep_memory()
    for model in models:
        model.train().to(device)
        model.to(memory_format=torch.channels_last if recipe.channels_last else torch.contiguous_format)
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same order of batches on every device
    in_epoch = -(-len(data) // recipe.batch_size)
    with _repeatable(device, seed):
        descent = MaskedSGD(models, recipe, masks, device)
        take = GraphedStep(descent.step) if device.type == "cuda" else descent.step
        for epoch in range(unfinished.restore(descent, generator) if unfinished else 0, epochs):
            drawn = batches(data, recipe.batch_size, generator, recipe.crop, recipe.flip)
            for step, (images, labels) in enumerate(drawn, epoch * in_epoch):
                descent.set_rate(recipe.rate(step, epochs * in_epoch))
                if recipe.channels_last:
                    images = images.contiguous(memory_format=torch.channels_last)
                take(images, labels)
            if after_epoch:
                after_epoch(epoch + 1)
                for model in models:
                    model.train()  # it may have been evaluated
            if unfinished:
                unfinished.keep(epoch + 1, descent, generator)


@contextmanager
def _repeatable(device: torch.device, seed: int) -> Generator[None, None, None]:
    """Dropout by the seed; on a GPU, on a stream of its own, and by those ways of cuDNN that repeat themselves."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if on_gpu else []):
        torch.manual_seed(seed)
        if not on_gpu:
            yield
            return
        stream, outside = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        stream.wait_stream(outside)  # graphs cannot be recorded where a step has run on the usual stream
        repeating = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
        with torch.cuda.stream(stream), repeating:
            yield
        outside.wait_stream(stream)


PIXELS = 2**20  # of a batch that is only looked at


def evaluate(model: nn.Module, data: ImageData, batch_size: int = 1000) -> Outcome:
    """Accuracy, mean cross-entropy over the images, and outputs of `model` on `data`, without gradients.

    Batches of large images are smaller than `batch_size`.
    """
    batch_size = max(1, min(batch_size, PIXELS // data.images[0, 0].numel()))
    model.eval().to(data.images.device)
    with torch.inference_mode():
        weights = dict(_channels_last(model))
        indices = torch.arange(len(data), device=data.images.device).split(batch_size)
        images = (data.batch(index)[0].contiguous(memory_format=torch.channels_last) for index in indices)
        logits = torch.cat([functional_call(model, weights, batch) for batch in images])  # [n, classes]
        accuracy = (logits.argmax(1) == data.labels).double().mean().item()
        return Outcome(accuracy, cross_entropy(logits.double(), data.labels).item(), logits)


def _channels_last(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters by name, convolutions' weights in that order in memory: copies, as a training holds its own."""
    for name, p in model.named_parameters():
        yield name, p.to(memory_format=torch.channels_last) if p.dim() == 4 else p
