"""Numbers as JSON says them, written by kernels: whole ones, and sums in units of `sie_online.statements.UNIT`.

Their digits are taken from unsigned numbers: a third of the time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sie_online.jit import kernel
from sie_online.statements import DECIMALS, UNIT

NUMBER_BYTES = 28
"""A number has at most 19 digits, a sign, a point and decimals."""
ZERO, POINT, MINUS = b"0.-"
ONE, TEN = np.uint64(1), np.uint64(10)


@kernel
def write_whole(number: int, out: Any, end: int) -> int:
    """Write the digits of a number that is not negative; returns where they end."""
    size, rest = 1, np.uint64(number) // TEN
    while rest > 0:
        size += 1
        rest //= TEN
    write_digits(number, size, out, end)
    return int(end + size)


@kernel
def write_decimal(number: float, out: Any, end: int) -> int:
    """Write a number rounded to `DECIMALS`, at least one of them; returns where it ends."""
    units = np.int64(math.floor(number * UNIT + 0.5))
    if units < 0:
        out[end] = MINUS
        units, end = -units, end + 1
    point = write_whole(int(units // UNIT), out, end)
    out[point] = POINT
    write_digits(int(units % UNIT), DECIMALS, out, point + 1)
    last = point + DECIMALS
    while out[last] == ZERO and last > point + 1:
        last -= 1
    return int(last + 1)


@kernel
def write_digits(number: int, size: int, out: Any, end: int) -> None:
    """Write the last ``size`` digits of a number that is not negative."""
    rest, at = np.uint64(number), np.uint64(end + size)
    for _ in range(size):
        at -= ONE
        out[at] = np.uint8(np.uint64(ZERO) + rest % TEN)
        rest //= TEN
