"""A training step recorded once and played back: CUDA graphs.

At batch 1 a GPU waits for Python to launch some thousand small kernels per step. A graph launches
them all at once. It is a recording: it reads its inputs from the same memory every time, and
whatever Python decided while it was recorded stays decided. So a step that may be recorded decides
by its key alone, and takes all that changes from tensors.

On a CPU the same code runs the step itself in the recording's place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
from torch import Tensor

from vcbench.training.cell import Cell

Outputs = dict[str, Tensor]
Step = Callable[..., Outputs]

# Eager calls before recording: cuDNN chooses its algorithms, and Adam makes its state.
WARM_UP = 3


class Recording(Protocol):
    """What plays a step back."""

    outputs: Outputs

    def replay(self) -> None:
        """Do again what was recorded, from what the inputs hold now, into `outputs`."""


class Recorder(Protocol):
    """What records a step on one kind of device."""

    def warming_up(self) -> AbstractContextManager[object]:
        """The scope of the calls before the recording."""

    def record(self, step: Step, key: Hashable, inputs: Sequence[Tensor]) -> Recording:
        """A recording of `step(key, *inputs)`, which reads these tensors at every replay."""


class Recorded:
    """`step(key, *tensors)`, recorded for each key after `WARM_UP` calls.

    step: returns tensors by name. `tensors` of one key have the same shapes at every call.
    recorder: None where nothing can be recorded; then this is the step itself.
    """

    def __init__(self, step: Step, recorder: Recorder | None) -> None:
        self._step, self._recorder = step, recorder
        self._calls: dict[Hashable, int] = {}
        self._recordings: dict[Hashable, tuple[Recording, list[Tensor]]] = {}

    def __call__(self, key: Hashable, *tensors: Tensor) -> Outputs:
        """The step's outputs, which the next call does not change."""
        if self._recorder is None:
            return self._step(key, *tensors)
        if key not in self._recordings:
            calls = self._calls[key] = self._calls.get(key, 0) + 1
            if calls <= WARM_UP:
                with self._recorder.warming_up():
                    return self._step(key, *tensors)
            inputs = [tensor.clone() for tensor in tensors]
            self._recordings.clear()  # of stages that are over, with the memory they hold
            try:
                self._recordings[key] = (self._recorder.record(self._step, key, inputs), inputs)
            except RuntimeError as error:
                reason = " ".join(str(error).split())[:300]
                print(f"the step cannot be recorded and runs unrecorded: {reason}", file=sys.stderr)
                self._recorder = None
                return self._step(key, *tensors)
        recording, inputs = self._recordings[key]
        for kept, new in zip(inputs, tensors, strict=True):
            kept.copy_(new)
        recording.replay()
        return {name: value.clone() for name, value in recording.outputs.items()}


def recorder(cell: Cell) -> Recorder | None:
    """The recorder of the cell's device; None if it has none, or the recipe decides things that
    only Python can know: which old fakes to exchange, another epsilon in every iteration."""
    recipe = cell.recipe
    asks_python = recipe.replay_buffer > 0 or recipe.adam_epsilon_placement == "tf"
    if torch.device(cell.device).type != "cuda" or asks_python:
        return None
    return CudaRecorder()


class CudaRecorder:
    """Records CUDA graphs."""

    @contextmanager
    def warming_up(self) -> Iterator[None]:
        """On a stream of its own: what autograd remembers of the default one cannot be recorded."""
        stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            yield
        current.wait_stream(stream)

    def record(self, step: Step, key: Hashable, inputs: Sequence[Tensor]) -> Recording:
        """A CUDA graph of the call, during which nothing is computed."""
        return _CudaGraph(step, key, inputs)


class _CudaGraph:
    def __init__(self, step: Step, key: Hashable, inputs: Sequence[Tensor]) -> None:
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self.outputs = step(key, *inputs)

    def replay(self) -> None:
        self._graph.replay()
