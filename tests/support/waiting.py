"""Waiting for what a test needs to have happened: a condition that is looked at until it holds or its time is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

POLL_S = 0.02
WITHIN_S = 30.0  # of a busy machine; where it matters how soon, the test says so

T = TypeVar("T")


def never() -> bool:
    """Nothing makes waiting hopeless."""
    return False


def until(
    look: Callable[[], T],
    what: str,
    within_s: float = WITHIN_S,
    *,
    holds: Callable[[T], bool] = bool,
    hopeless: Callable[[], bool] = never,
) -> T:
    """What ``look`` gives once it ``holds``.

    Raises:
        AssertionError: it does not within ``within_s``, or waiting has become ``hopeless``; says ``what`` is missing
            and what was last seen.
    """
    deadline = time.monotonic() + within_s
    while not holds(seen := look()):
        if time.monotonic() > deadline or hopeless():
            raise AssertionError(f"no {what} within {within_s:g} s: {seen!r}")
        time.sleep(POLL_S)
    return seen


async def awaited(
    look: Callable[[], T | Awaitable[T]], what: str, within_s: float = WITHIN_S, *, holds: Callable[[T], bool] = bool
) -> T:
    """``until`` within a running loop, whose other tasks go on meanwhile.

    Raises:
        AssertionError: see ``until``.
    """
    deadline = time.monotonic() + within_s
    while not holds(seen := await _asked(look)):
        if time.monotonic() > deadline:
            raise AssertionError(f"no {what} within {within_s:g} s: {seen!r}")
        await asyncio.sleep(POLL_S)
    return seen


async def _asked(look: Callable[[], T | Awaitable[T]]) -> T:
    answer = look()
    return await answer if isinstance(answer, Awaitable) else answer
