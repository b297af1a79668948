"""On a GPU: a training step recorded once, as a CUDA graph, and played again for every further batch.

A step of these networks is hundreds of small kernels, and launching them one by one takes longer than running them. Nor
does one network's fill the device: those of several run at the same time.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Step = Callable[..., None]  # of the tensors that differ from one step to the next
WARM_UP = 3  # steps taken as they are, in which libraries and the optimizer allocate what they keep


def side_by_side(steps: Sequence[Step], device: torch.device) -> Step:
    """All of the steps on the same tensors; on a GPU each on a stream of its own, between a fork and a join."""
    if device.type != "cuda" or len(steps) == 1:

        def one_by_one(*inputs: Tensor) -> None:
            for step in steps:
                step(*inputs)

        return one_by_one
    streams = [torch.cuda.Stream(device) for _ in steps]

    def forked(*inputs: Tensor) -> None:
        here = torch.cuda.current_stream(device)
        for step, stream in zip(steps, streams, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                step(*inputs)
        for stream in streams:
            here.wait_stream(stream)

    return forked


def record(step: Step, inputs: tuple[Tensor, ...]) -> Callable[[], None]:
    """The step on these very tensors as a graph (torch.cuda.graph); recording it does not run it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.Stream(inputs[0].device)):  # by itself it takes the first device's
        step(*inputs)
    return graph.replay


class GraphedStep:
    """`step` of as many tensors as it is called with, recorded after `WARM_UP` calls and then played again.

    A call with a shape other than the first one's, such as an epoch's last batch, takes the step as it is.
    """

    def __init__(self, step: Step, record: Callable[[Step, tuple[Tensor, ...]], Callable[[], None]] = record):
        self.step, self.record = step, record
        self.shape: torch.Size | None = None
        self.calls = 0
        self.inputs: tuple[Tensor, ...] = ()
        self.play: Callable[[], None] | None = None

    def __call__(self, *inputs: Tensor) -> None:
        """One step."""
        self.shape = self.shape or inputs[0].shape
        if inputs[0].shape != self.shape or self.calls < WARM_UP:
            self.calls += 1
            return self.step(*inputs)
        if self.play is None:
            self.inputs = tuple(tensor.clone() for tensor in inputs)  # strides too: a layout is kept
            self.play = self.record(self.step, self.inputs)
        for kept, new in zip(self.inputs, inputs, strict=True):
            kept.copy_(new)
        self.play()
