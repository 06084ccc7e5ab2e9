"""Elementary functions in float64, made of IEEE operations alone: the same bits on every CPU and with every libm.

A C library has code of its own for each kind of CPU, which need not agree on the last bit, and calls into it keep a
kernel from being optimised as a whole. These are exact to about one unit in the last place, and take part in it.

Method (Tang, ACM TOMS 1989 and 1990): reduce the argument to near an entry of a table, where a short Taylor polynomial
is exact to rounding. The tables are rounded from `decimal`'s, which is correctly rounded everywhere.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal

import numpy as np
from numpy.typing import NDArray

from sie_online.jit import kernel

_EXACT = Context(prec=50)
ENTRIES = 128
"""Of each table: a power of two."""
FRACTION_BITS = 52
BIAS = 1023
SMALLEST_NORMAL = 2.0**-1022
SMALLEST = 2.0**-1074
INFINITY, NAN = math.inf, math.nan


def _split(exact: Decimal, places: int) -> tuple[float, float]:
    """``exact`` as a multiple of 2**-places, and the rest of it."""
    high = round(exact * (1 << places))
    return high / (1 << places), float(_EXACT.subtract(exact, _EXACT.divide(Decimal(high), Decimal(1 << places))))


_LN2 = _EXACT.ln(Decimal(2))
LN2 = float(_LN2)

# -- exp: x = (e + j / 128) ln 2 + r

STEPS = float(_EXACT.divide(Decimal(ENTRIES), _LN2))
STEP_HIGH, STEP_LOW = _split(_EXACT.divide(_LN2, Decimal(ENTRIES)), 44)  # so that k STEP_HIGH is exact
LARGEST = 700.0


def _powers() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Bits of 2**(j / 128), and what is missing from each, as a share of it."""
    exact = [_EXACT.power(Decimal(2), _EXACT.divide(Decimal(j), Decimal(ENTRIES))) for j in range(ENTRIES)]
    powers = [float(each) for each in exact]
    rests = [float(each / Decimal(power) - 1) for each, power in zip(exact, powers, strict=True)]
    return np.array(powers).view(np.int64), np.array(rests)


POWERS, POWER_RESTS = _powers()


@kernel
def exp(x: float) -> float:
    """e to the power of ``x``."""
    return _exp_within(x) if -LARGEST <= x <= LARGEST else _exp_beyond(x)


@kernel
def _exp_within(x: float) -> float:
    k = np.int64(x * STEPS + math.copysign(0.5, x))
    r = (x - k * STEP_HIGH) - k * STEP_LOW
    j = k & (ENTRIES - 1)
    part = r + r * r * ((0.5 + r * (1.0 / 6.0)) + r * r * (1.0 / 24.0 + r * (1.0 / 120.0)))
    power = float(np.int64(POWERS[j] + ((k >> 7) << FRACTION_BITS)).view(np.float64))
    return float(power + power * (part + POWER_RESTS[j]))


@kernel
def _exp_beyond(x: float) -> float:
    """Where the power of two alone may be no normal number: in two steps; the second may end at 0 or infinity."""
    if x != x:
        return NAN
    if abs(x) > 2.0 * LARGEST:
        return INFINITY if x > 0.0 else 0.0
    return _exp_within(0.5 * x) * _exp_within(0.5 * x)


# -- log: x = 2**e z with z near 1, z = c (1 + r)

FIRST = int(np.float64(0.70703125).view(np.int64))
"""Bits of the least z: a little below the root of a half, so that z lies about 1."""
LN2_HIGH, LN2_LOW = _split(_LN2, 42)


def _centres() -> tuple[NDArray[np.float64], ...]:
    """The middle c of each interval of z, 1 / c, and log c in two parts; about 1 it is 1 itself, so that log 1 is 0."""
    width = 1 << (FRACTION_BITS - 7)
    edges = np.array([FIRST + j * width for j in range(ENTRIES + 1)], np.int64).view(np.float64)
    centres = (edges[:-1] + edges[1:]) / 2.0
    centres[(edges[:-1] <= 1.0) & (edges[1:] >= 1.0)] = 1.0
    logs = [_split(_EXACT.ln(Decimal(float(centre))), 42) for centre in centres]
    return centres, 1.0 / centres, np.array([high for high, _ in logs]), np.array([low for _, low in logs])


CENTRES, INVERSES, LOGS_HIGH, LOGS_LOW = _centres()


@kernel
def log(x: float) -> float:
    """Natural logarithm of ``x``; -inf at 0, NaN below."""
    if not SMALLEST_NORMAL <= x < INFINITY:
        return _log_beyond(x)
    return _log_of_normal(x, 0)


@kernel
def _log_of_normal(x: float, more: int) -> float:
    """log(2**more x)."""
    bits = np.float64(x).view(np.int64)
    above = bits - FIRST
    j, e = (above >> (FRACTION_BITS - 7)) & (ENTRIES - 1), above >> FRACTION_BITS
    z = np.int64(bits - (e << FRACTION_BITS)).view(np.float64)
    r = (z - CENTRES[j]) * INVERSES[j]
    e += more
    known = e * LN2_HIGH + LOGS_HIGH[j]  # exact
    high = known + r
    low = (known - high) + r + (e * LN2_LOW + LOGS_LOW[j])
    s = r * r
    upper = (1.0 / 5.0 - r * (1.0 / 6.0)) + s * (1.0 / 7.0 - r * (1.0 / 8.0))
    return float(high + (low + s * (-0.5 + r * (1.0 / 3.0) + s * (-0.25 + r * upper))))


@kernel
def _log_beyond(x: float) -> float:
    if x >= SMALLEST:
        return x if x == INFINITY else _log_of_normal(x * 2.0**100, -100)
    return -INFINITY if x == 0.0 else NAN


# -- of these two


@kernel
def log1p(x: float) -> float:
    """log(1 + x), exact also where ``x`` is small."""
    u = 1.0 + x
    value = log(u)
    return value + (x - (u - 1.0)) / u if 0.0 < u < INFINITY else value  # what the sum lost, to first order


@kernel
def expm1(x: float) -> float:
    """exp(x) - 1, exact also where ``x`` is small (Kahan's quotient)."""
    u = exp(x)
    if u == 1.0:
        return x
    less = u - 1.0
    return less if x > 1.0 or less == -1.0 else less * x / log(u)


@kernel
def power(x: float, y: float) -> float:
    """``x`` to the power of ``y``, for ``x`` > 0; less exact by a factor of |y log x|."""
    return exp(y * log(x))


@kernel
def tanh(x: float) -> float:
    """Hyperbolic tangent."""
    e = expm1(2.0 * min(abs(x), 20.0))
    return math.copysign(e / (e + 2.0), x)


@kernel
def asinh(x: float) -> float:
    """Inverse hyperbolic sine, for ``x`` whose square is finite."""
    size = abs(x)
    return math.copysign(log1p(size + size * size / (1.0 + math.sqrt(size * size + 1.0))), x)


@kernel
def doublings(x: float) -> int:
    """How often 1 must be doubled to reach ``x`` at most: the floor of log2, for normal ``x`` > 0."""
    return int((np.float64(x).view(np.int64) >> FRACTION_BITS) - BIAS)
