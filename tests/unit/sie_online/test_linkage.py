"""Kernels that call kernels: what is compiled of them, and that it is the same from Python and from a kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numba.core.codegen import JITCPUCodegen

from sie_online.jit import OPTIONS
from sie_online.linkage import Kernel


def _kernel(function: Any) -> Any:
    return Kernel(function, targetoptions=OPTIONS)  # not `jit.kernel`: these need no cache


@_kernel
def scaled(x: Any, by: int) -> float:
    if by > 1:
        raise ValueError("by is one at most")
    return math.exp(x[0]) * by


@_kernel
def summed(x: Any, other: int) -> float:
    return scaled(x, 0) + scaled(x, 1) + scaled(x=x, by=other)


X = np.array([0.3])


def test_what_a_kernel_calls_is_lowered_once_for_all_its_literals_and_not_compiled_by_itself() -> None:
    assert not scaled.is_known
    assert summed(X, -1) == 0.0
    assert scaled.is_known
    assert scaled.signatures == []
    assert len(scaled._callee.signatures) == 1


def test_a_kernel_gives_the_same_bits_called_from_python_and_from_a_kernel() -> None:
    assert summed(X, 1) == 2 * scaled(X, 1)
    assert [len(known) for known in (scaled.signatures, scaled._callee.signatures)] == [1, 1]
    assert scaled(X, 1) == scaled.py_func(X, 1)


def test_what_a_called_kernel_raises_comes_out_of_its_caller() -> None:
    with pytest.raises(ValueError, match="by is one at most"):
        summed(X, 2)


def test_a_callee_is_linked_into_kernels_and_not_into_other_callees() -> None:
    @_kernel
    def twice(x: Any) -> float:
        return summed(x, 1) + scaled(x, 1)

    assert twice(X) == summed(X, 1) + scaled(X, 1)
    (between,) = summed._callee.overloads.values()
    assert len([each for each in between.library.get_defined_functions() if "scaled" in each.name]) == 0


class _NoPasses:
    def run(self, *_: Any) -> None: ...


def test_what_is_inside_a_kernel_is_known_to_no_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have other arguments there than its signature says: whoever took it for the function would crash."""
    monkeypatch.setattr(JITCPUCodegen, "_module_pass_manager", lambda *_: (_NoPasses(), None))  # nor is it inlined

    @_kernel
    def doubled(x: Any) -> float:
        return scaled(x, 1) + scaled(x, 1)

    assert doubled(X) == 2 * scaled(X, 1)
    (compiled,) = doubled.overloads.values()
    (called,) = scaled._callee.overloads.values()
    (inside,) = [each for each in compiled.library.get_defined_functions() if "scaled" in each.name]
    assert inside.linkage.name == "internal"
    assert inside.name != called.fndesc.mangled_name


@_kernel
def added_product(a: float, b: float, c: float) -> float:
    return a * b + c


def test_a_product_is_rounded_before_it_is_added() -> None:
    """Level 3 of x86-64, and every 64-bit ARM, have an instruction that would not."""
    tiny = 2.0**-30
    assert added_product(1 + tiny, 1 + tiny, -(1 + 2 * tiny)) == 0.0
