"""CUDA graphs: capture a training step once and replay it for every further batch.

A step of these networks is hundreds of small kernels: launching them takes longer than running them. One network does
not fill the GPU, therefore the steps of several networks run at the same time.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

StepFunction = Callable[..., None]  # of the tensors that change from step to step
Capture = Callable[[StepFunction, tuple[Tensor, ...]], Callable[[], None]]  # step, its tensors -> replay
WARM_UP = 3  # steps without a graph, in which the libraries and the optimizer allocate their buffers


def combine_steps(steps: Sequence[StepFunction], device: torch.device) -> StepFunction:
    """Return a function that runs all steps on the same tensors; on a GPU each step has its own stream."""
    if device.type != "cuda" or len(steps) == 1:

        def run_in_sequence(*inputs: Tensor) -> None:
            for step in steps:
                step(*inputs)

        return run_in_sequence
    streams = [torch.cuda.Stream(device) for _ in steps]

    def run_on_streams(*inputs: Tensor) -> None:
        current = torch.cuda.current_stream(device)
        for step, stream in zip(steps, streams, strict=True):
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                step(*inputs)
        for stream in streams:
            current.wait_stream(stream)

    return run_on_streams


def capture_graph(step: StepFunction, inputs: tuple[Tensor, ...]) -> Callable[[], None]:
    """Capture the step on these tensors as a graph and return its replay; capturing does not run the step."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.Stream(inputs[0].device)):  # the default stream is the first GPU's
        step(*inputs)
    return graph.replay


class GraphedStep:
    """A step captured as a graph after `WARM_UP` calls, and replayed from then on.

    A batch with another shape than the first, such as the last batch of an epoch, runs the step without the graph.
    """

    def __init__(self, step: StepFunction, capture: Capture = capture_graph):
        self.step, self.capture = step, capture
        self.shape: torch.Size | None = None
        self.calls = 0
        self.inputs: tuple[Tensor, ...] = ()
        self.replay: Callable[[], None] | None = None

    def __call__(self, *inputs: Tensor) -> None:
        """Run one step on these tensors."""
        self.shape = self.shape or inputs[0].shape
        if inputs[0].shape != self.shape or self.calls < WARM_UP:
            self.calls += 1
            return self.step(*inputs)
        if self.replay is None:
            self.inputs = tuple(tensor.clone() for tensor in inputs)  # clone keeps the memory format
            self.replay = self.capture(self.step, self.inputs)
        for captured, new in zip(self.inputs, inputs, strict=True):
            captured.copy_(new)
        self.replay()
