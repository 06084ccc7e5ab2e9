"""The ways in which a training step can run. All of them learn the same, up to the rounding of the products.

| way | products | the step |
|---|---|---|
| float32 | float32 | operation by operation; on a CPU with ``body.Body`` |
| autocast | bf16 | operation by operation |
| compiled | bf16 | the loss and its gradient compiled for fixed shapes |
| graph | bf16 | captured once as a CUDA graph and replayed: the host starts one thing per step |

``auto`` is compiled on a GPU and float32 on a CPU, whose few steps do not repay the compiler.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor

from models.data import Batch
from models.errors import TrainingError
from models.settings import FineTune, TrainingWay

STEPS_BEFORE_CAPTURE = 3
"""Ordinary steps on the stream of the capture: state and workspaces that are made lazily must be there before it."""

Function = Callable[..., Any]
"""From tensors to a loss, or a loss and gradients."""

Targets = tuple[Tensor, Tensor]
"""Target (n,) of every row of the data, and whether it has one (1.0 or 0.0)."""


class Step(Protocol):
    """Learns from one batch."""

    def __call__(self, batch: Batch, targets: Targets) -> tuple[Tensor, Tensor]:
        """Loss and norm of the gradient, scalars on the device."""


def way_of(settings: FineTune, device: torch.device) -> TrainingWay:
    """The way that ``settings`` mean on ``device``.

    Raises:
        TrainingError: a CUDA graph is asked for without a GPU.
    """
    if settings.way == "auto":
        return "compiled" if device.type == "cuda" else "float32"
    if settings.way == "graph" and device.type != "cuda":
        raise TrainingError("way graph was asked for, which needs a GPU: use auto")
    return settings.way


def form_of(function: Function, way: TrainingWay) -> Function:
    """``function`` as ``way`` calls it."""
    return compiled(function) if way == "compiled" else function


@cache
def compiled(function: Function) -> Function:
    """One compiled form per function and process: later fine-tunes of the same shape find it ready."""
    return Compiled(function)


class Compiled:
    """A function that runs compiled, or as it is where the compiler cannot (no C compiler on the host, say)."""

    def __init__(self, function: Function) -> None:
        from torch._dynamo.exc import TorchDynamoException  # takes seconds, and only this way needs it

        self._cannot = TorchDynamoException
        self._plain = function
        self._function: Function = torch.compile(function, dynamic=False)

    def __call__(self, *arguments: Any) -> Any:
        try:
            return self._function(*arguments)
        except self._cannot as error:
            warnings.warn(f"going on uncompiled: {str(error).splitlines()[0]}", RuntimeWarning, stacklevel=2)
            self._function = self._plain
            return self._function(*arguments)


class Graphed:
    """A step whose every call but the first few replays one captured CUDA graph.

    A graph reads and writes the memory it was captured with, so batch and targets are copied to where it looks, and
    what it returns holds until the next call.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: Batch | None = None
        self._given: Targets | None = None
        self._targets: Targets | None = None
        self._found: tuple[Tensor, Tensor] | None = None
        self._calls = 0

    def __call__(self, batch: Batch, targets: Targets) -> tuple[Tensor, Tensor]:
        batch, targets = self._placed(batch, targets)
        self._calls += 1
        if self._calls <= STEPS_BEFORE_CAPTURE:
            return self._ordinary(batch, targets)
        if self._graph is None or self._found is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._found = self._step(batch, targets)
        self._graph.replay()
        return self._found

    def _placed(self, batch: Batch, targets: Targets) -> tuple[Batch, Targets]:
        if self._batch is None or self._targets is None:
            self._batch = Batch(batch.rows.clone(), batch.mask.clone(), batch.size)
            self._targets = targets[0].clone(), targets[1].clone()
        else:
            self._batch.rows.copy_(batch.rows)
            self._batch.mask.copy_(batch.mask)
            if targets is not self._given:
                for mine, new in zip(self._targets, targets, strict=True):
                    mine.copy_(new)
        self._given = targets
        return self._batch, self._targets

    def _ordinary(self, batch: Batch, targets: Targets) -> tuple[Tensor, Tensor]:
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            found = self._step(batch, targets)
        current.wait_stream(self._stream)
        return found
