"""The elementary functions: exact to about a unit in the last place, and the same bits compiled and in Python."""

from __future__ import annotations

import ast
import hashlib
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sie_online import elementary, jit

UNITS = 3
"""Units in the last place that a result may be off by: tanh and expm1 are quotients of what is off by one."""
REALS = st.floats(allow_nan=False, allow_infinity=False)
DOMAINS = {
    "exp": st.floats(-760.0, 720.0),
    "log": st.floats(5e-324, 1.7e308),
    "log1p": st.floats(-1.0, 1.7e308, exclude_min=True),
    "expm1": st.floats(-50.0, 709.0),
    "tanh": REALS,
    "asinh": st.floats(-1e150, 1e150),
}
SPECIAL = (0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, -5e-324, 2.2250738585072014e-308, 1.0, -1.0, -2.0)


def function(name: str) -> Callable[[float], float]:
    found: Callable[[float], float] = getattr(elementary, name)
    return found


def bits(x: float) -> int:
    return int(np.float64(x).view(np.int64))


def same(a: float, b: float) -> bool:
    return bits(a) == bits(b) or (math.isnan(a) and math.isnan(b))


@pytest.mark.parametrize("name", DOMAINS)
def test_is_exact_to_the_last_places(name: str) -> None:
    @given(x=DOMAINS[name])
    def check(x: float) -> None:
        try:
            expected = getattr(math, name)(x)
        except OverflowError:
            expected = math.inf
        found = function(name)(x)
        assert found == expected or abs(found - expected) <= UNITS * max(math.ulp(expected), 5e-324)

    check()


@pytest.mark.parametrize("name", DOMAINS)
def test_is_the_same_in_python(name: str) -> None:
    plain: Any = getattr(elementary, name)

    @given(x=st.one_of(DOMAINS[name], REALS, st.sampled_from(SPECIAL)))
    def check(x: float) -> None:
        with np.errstate(all="ignore"):
            assert same(plain(x), plain.py_func(x))

    check()


@pytest.mark.parametrize("name", ["exp", "log", "log1p", "expm1"])
def test_what_is_special(name: str) -> None:
    for x in SPECIAL:
        with np.errstate(all="ignore"):
            expected = float(getattr(np, name)(x))
        found = function(name)(x)
        assert found == expected or (math.isnan(found) and math.isnan(expected)) or abs(found - expected) <= 1e-15


@given(x=st.floats(1e-100, 1e100), y=st.floats(-2.0, 2.0))
def test_power(x: float, y: float) -> None:
    assert elementary.power(x, y) == pytest.approx(math.pow(x, y), rel=1e-12)


@given(x=st.floats(2.2250738585072014e-308, 1.7e308))
def test_doublings_are_those_that_are_exact(x: float) -> None:
    assert elementary.doublings(x) == math.frexp(x)[1] - 1


def test_no_cpu_has_other_bits() -> None:
    """What any machine must find: a digest of results over all magnitudes."""
    digest = hashlib.sha256()
    for name in DOMAINS:
        for step in range(-3_000, 3_000):
            x = step * 0.11 if name in {"exp", "expm1"} else math.ldexp(1.0 + (step % 97) / 97.0, step // 6)
            digest.update(np.float64(function(name)(x)).tobytes())
    assert digest.hexdigest() == "a0816b9af862fb259b2515cd118eb20085ea84857166e1f4d016460ad56b111f"


def test_kernels_call_no_other() -> None:
    """A libm's function in a kernel would be one more way in which machines differ. (Roots are exact everywhere.)"""
    names = "exp|expm1|exp2|log|log1p|log2|log10|pow|sin|cos|tan|sinh|cosh|tanh|asinh"
    foreign = re.compile(rf"\b(?:math|np)\.(?:{names})\(")
    compared = jit.PACKAGE / "evaluation"  # learners of the user's side: none of their numbers reaches a row
    for source in jit.kernel_sources():
        if source.is_relative_to(compared) or "@kernel\n" not in source.read_text():
            continue
        kernels = [
            each
            for each in ast.parse(source.read_text()).body
            if isinstance(each, ast.FunctionDef) and any(ast.unparse(by) == "kernel" for by in each.decorator_list)
        ]
        assert kernels
        assert not [found for each in kernels for found in foreign.findall(ast.unparse(each))], source
