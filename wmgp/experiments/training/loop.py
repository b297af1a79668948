"""Training, masked fine-tuning and evaluation.

The whole data set is on the device as uint8, and batches are made by indexing: for networks this small a DataLoader
takes longer than the network.
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
from .sgd import REFERENCE, MaskedSGD, Recipe


@dataclass(frozen=True)
class Evaluation:
    """A network's accuracy in [0, 1], mean cross-entropy in nats, and logits on a test set."""

    accuracy: float
    loss: float
    logits: Float[Tensor, "n classes"]


def choose_device(device: str) -> torch.device:
    """Return the first GPU, or the CPU without a GPU, for `auto`; else torch's device of this name.

    Raises InputError if torch does not know the device or cannot use it.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.ones((), device=chosen).item()  # fails on "meta" and on a missing GPU
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
    checkpoint: EpochCheckpoint | None = None,
) -> None:
    """Train `model` in place for `epochs`; `seed` decides dropout and the order of batches, drawn again each epoch.

    The global random state does not change. The last, smaller batch of an epoch is not dropped. With `masks`
    (name -> bool, True = kept), pruned weights are zero after every step and kept weights train as under
    `torch.nn.utils.prune`. `after_epoch` is called with the number of finished epochs. With a `checkpoint`, written
    after each epoch, an interrupted training continues after its last finished epoch.
    """
    train_side_by_side([model], data, epochs, seed, recipe, [masks or {}], after_epoch, checkpoint)


def train_side_by_side(
    models: Sequence[nn.Module],
    data: ImageData,
    epochs: int,
    seed: int,
    recipe: Recipe,
    masks: Sequence[Mapping[str, Bool[Tensor, "*shape"]]],
    after_epoch: Callable[[int], None] | None = None,
    checkpoint: EpochCheckpoint | None = None,
) -> None:
    """Train several networks on the same batches, each with its masks (see `train`).

    On a GPU their steps run at the same time. Each result equals that of training alone, except for networks with
    dropout, which share a stream of random numbers.
    """
    device = data.images.device
    for model in models:
        model.train().to(device)
        model.to(memory_format=torch.channels_last if recipe.channels_last else torch.contiguous_format)
    generator = torch.Generator().manual_seed(seed)  # a CPU generator: the same batches on every device
    steps_per_epoch = -(-len(data) // recipe.batch_size)
    with _deterministic(device, seed):
        sgd = MaskedSGD(models, recipe, masks, device)
        run_step = GraphedStep(sgd.step) if device.type == "cuda" else sgd.step
        for epoch in range(checkpoint.restore(sgd, generator) if checkpoint else 0, epochs):
            epoch_batches = batches(data, recipe.batch_size, generator, recipe.crop, recipe.flip)
            for step, (images, labels) in enumerate(epoch_batches, epoch * steps_per_epoch):
                sgd.set_learning_rate(recipe.learning_rate_at(step, epochs * steps_per_epoch))
                if recipe.channels_last:
                    images = images.contiguous(memory_format=torch.channels_last)
                run_step(images, labels)
            if after_epoch:
                after_epoch(epoch + 1)
                for model in models:
                    model.train()  # after_epoch may have called evaluate
            if checkpoint:
                checkpoint.write(epoch + 1, sgd, generator)


@contextmanager
def _deterministic(device: torch.device, seed: int) -> Generator[None, None, None]:
    """Seed dropout; on a GPU also use a separate stream and cuDNN's deterministic algorithms."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if on_gpu else []):
        torch.manual_seed(seed)
        if not on_gpu:
            yield
            return
        stream, outside = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        stream.wait_stream(outside)  # a graph cannot be captured on the default stream
        deterministic = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
        with torch.cuda.stream(stream), deterministic:
            yield
        outside.wait_stream(stream)


EVALUATION_BATCH_PIXELS = 2**20


def evaluate(model: nn.Module, data: ImageData, batch_size: int = 1000) -> Evaluation:
    """Return the accuracy, mean cross-entropy and logits of `model` on `data`; the model is left in eval mode.

    Batches have at most `batch_size` images and `EVALUATION_BATCH_PIXELS` pixels per channel.
    """
    batch_size = max(1, min(batch_size, EVALUATION_BATCH_PIXELS // data.images[0, 0].numel()))
    model.eval().to(data.images.device)
    with torch.inference_mode():
        weights = dict(_channels_last(model))
        indices = torch.arange(len(data), device=data.images.device).split(batch_size)
        images = (data.batch(index)[0].contiguous(memory_format=torch.channels_last) for index in indices)
        logits = torch.cat([functional_call(model, weights, batch) for batch in images])  # [n, classes]
        accuracy = (logits.argmax(1) == data.labels).double().mean().item()
        return Evaluation(accuracy, cross_entropy(logits.double(), data.labels).item(), logits)


def _channels_last(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters by name, convolutions' weights in channels_last format; the model keeps its own format."""
    for name, p in model.named_parameters():
        yield name, p.to(memory_format=torch.channels_last) if p.dim() == 4 else p
