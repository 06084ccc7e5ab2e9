"""Dense layers of small nets for one sample, as kernels call them: vectorised over units, summed in order of inputs.

So a unit's sum has the order that ``models.forward`` gives it, whatever the width of a machine's registers. Compilers
do not find this: they cannot know that outputs and weights lie apart, and write every partial sum to memory.
"""

# mypy: disallow-untyped-calls=False
# Numba and llvmlite have no types of their own.

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from sie_online.jit import kernel

REAL, INDEX = ir.FloatType(), ir.IntType(64)
WIDE, HALF = 32, 16
"""Units at a time: 32 are two of the widest registers there are, so that one sum need not wait for the other."""


def _summing(units: int) -> Callable[[Any, Any, Any, Any, int], None]:
    """``(x, weights, bias, out, first)``: `relu_layer` for ``units`` units, from ``first`` on."""
    lanes = ir.VectorType(REAL, units)

    @intrinsic
    def sum_up(_: Any, x: Any, weights: Any, bias: Any, out: Any, first: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            arrays = [context.make_array(signature.args[n])(context, builder, arguments[n]) for n in range(4)]
            data = [builder.bitcast(array.data, REAL.as_pointer()) for array in arrays]
            inputs = cgutils.unpack_tuple(builder, arrays[0].shape)[0]
            width = cgutils.unpack_tuple(builder, arrays[3].shape)[0]
            start = context.cast(builder, arguments[4], signature.args[4], types.intp)

            def at(pointer: Any, place: Any) -> Any:
                return builder.bitcast(builder.gep(pointer, [place]), lanes.as_pointer())

            total = builder.alloca(lanes)
            builder.store(builder.load(at(data[2], start), align=4), total)
            with cgutils.for_range(builder, inputs, intp=INDEX) as loop:
                value = builder.load(builder.gep(data[0], [loop.index]))
                row = builder.load(at(data[1], builder.add(builder.mul(loop.index, width), start)), align=4)
                spread = builder.insert_element(ir.Constant(lanes, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
                zeros = ir.Constant(ir.VectorType(ir.IntType(32), units), None)
                spread = builder.shuffle_vector(spread, spread, zeros)
                builder.store(builder.fadd(builder.load(total), builder.fmul(spread, row)), total)
            result, zero = builder.load(total), ir.Constant(lanes, None)
            positive = builder.fcmp_ordered(">", result, zero)
            store = builder.store(builder.select(positive, result, zero), at(data[3], start))
            store.align = 4
            return context.get_dummy_value()

        return types.void(x, weights, bias, out, first), generate

    return cast(Callable[[Any, Any, Any, Any, int], None], sum_up)


_wide, _half, _single = _summing(WIDE), _summing(HALF), _summing(1)


@kernel
def relu_layer(x: Any, weights: Any, bias: Any, out: Any) -> None:
    """``out`` = max(x W + b, 0), all float32 and contiguous: x (n,), W (n, m) or as many in a row, b and out (m,).

    Every sum begins at the bias and runs over the inputs in order, rounded at each multiplication and addition.
    """
    first, m = 0, out.shape[0]
    while first + WIDE <= m:
        _wide(x, weights, bias, out, first)
        first += WIDE
    while first + HALF <= m:
        _half(x, weights, bias, out, first)
        first += HALF
    while first < m:
        _single(x, weights, bias, out, first)
        first += 1
