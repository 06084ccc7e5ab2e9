"""Asking memory for what will be needed soon: a hint to the processor, which changes no result."""

# mypy: disallow-untyped-calls=False
# Numba and llvmlite have no types of their own.

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LINE = 64
"""Bytes that memory gives at a time."""


def prefetcher(n_bytes: int) -> Callable[[Any, int], None]:
    """For kernels: ``prefetch(array, at)`` asks for the ``n_bytes`` that begin at ``array[at]``."""

    @intrinsic
    def prefetch(_: Any, array: Any, at: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = signature.args[0]
            found = context.make_array(kind)(context, builder, arguments[0])
            stride = cgutils.unpack_tuple(builder, found.strides)[0]
            byte = ir.IntType(8).as_pointer()
            index = context.cast(builder, arguments[1], signature.args[1], types.intp)
            first = builder.gep(builder.bitcast(found.data, byte), [builder.mul(index, stride)])
            number = ir.IntType(32)
            ask = builder.module.declare_intrinsic(
                "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, number, number, number])
            )
            for offset in range(0, n_bytes, LINE):
                line = builder.gep(first, [ir.Constant(ir.IntType(64), offset)])
                builder.call(ask, [line, number(0), number(3), number(1)])  # to read, keep, data
            return context.get_dummy_value()

        return types.void(array, at), generate

    return cast(Callable[[Any, int], None], prefetch)
