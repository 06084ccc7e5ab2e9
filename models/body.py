"""The hidden layers of both forms of a batch for a CPU: the same function as ``hidden_layer`` of each, cheaper.

Two things are saved. Both forms of a sample differ in their last ``N_EXACT`` numbers alone, so the first layer's
products are made once: known = unknown + difference @ the last rows of W1. And whatever is as large as a hidden layer
is kept from step to step: fresh memory of that size costs as much as the products of the first layer, since the system
hands it out page by page. So the gradient is written out here instead of being recorded.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.inputs import N_EXACT
from models.net import Layers

_relu_gradient = torch.ops.aten.threshold_backward.grad_input
"""The one that autograd uses; any other way to zero where a layer is 0 takes at least twice as long."""


class Memory:
    """What a step of n samples fills anew each time, float32."""

    def __init__(self, n: int, width: int, hidden1: int, hidden2: int) -> None:
        self.shape = n, width, hidden1, hidden2
        self.x = torch.empty(n, width)
        self.h1, self.h1_gradient = torch.empty(2, 2 * n, hidden1)
        self.h2, self.h2_gradient = torch.empty(2, 2 * n, hidden2)


class Body:
    """Last hidden layer (2n, hidden2) of both forms, the unknown one first.

    Each call takes back the memory of the one before: there is one backward pass per call, before the next.
    """

    def __init__(self) -> None:
        self._memory: Memory | None = None

    def __call__(self, layers: Layers, embedded: Tensor, unknown: Tensor, known: Tensor) -> Tensor:
        """``embedded`` (n, E), ``unknown`` and ``known`` (n, N), equal but for the last ``N_EXACT`` columns."""
        shape = len(embedded), *layers.w1.shape, layers.w2.shape[1]
        if self._memory is None or self._memory.shape != shape:
            self._memory = Memory(*shape)
        numbers = unknown, known[:, -N_EXACT:] - unknown[:, -N_EXACT:]
        hidden: Tensor = _Body.apply(self._memory, embedded, *numbers, *layers.body)
        return hidden


class _Body(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        memory: Memory,
        embedded: Tensor,
        numbers: Tensor,
        difference: Tensor,
        w1: Tensor,
        b1: Tensor,
        w2: Tensor,
        b2: Tensor,
    ) -> Tensor:
        n = len(embedded)
        torch.cat([embedded, numbers], dim=1, out=memory.x)
        unknown, known = memory.h1[:n], memory.h1[n:]
        torch.addmm(b1, memory.x, w1, out=unknown)
        torch.addmm(unknown, difference, w1[-N_EXACT:], out=known)
        torch.relu_(memory.h1)
        torch.addmm(b2, memory.h1, w2, out=memory.h2)
        ctx.memory, ctx.embedded_width = memory, embedded.shape[1]
        ctx.save_for_backward(difference, w1, w2)
        return torch.relu_(memory.h2)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        (slope,) = slopes
        memory: Memory = ctx.memory
        difference, w1, w2 = ctx.saved_tensors
        n = len(difference)
        at_h2 = _relu_gradient(slope, memory.h2, 0, grad_input=memory.h2_gradient)
        at_h1 = torch.mm(at_h2, w2.t(), out=memory.h1_gradient)
        _relu_gradient(at_h1, memory.h1, 0, grad_input=at_h1)
        unknown, known = at_h1[:n], at_h1[n:]
        last_rows = difference.t() @ known
        both = unknown.add_(known)
        w1_gradient = memory.x.t() @ both
        w1_gradient[-N_EXACT:] += last_rows
        at_embedded = both @ w1[: ctx.embedded_width].t()
        return None, at_embedded, None, None, w1_gradient, both.sum(0), memory.h1.t() @ at_h2, at_h2.sum(0)
