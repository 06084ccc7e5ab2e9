"""What a demo does at the same time: work in threads beside the event loop, and tasks that end with one of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


def in_background(work: Callable[[], T]) -> asyncio.Future[T]:
    """The result of ``work`` in a thread that Ctrl-C need not wait for (an executor's would be joined)."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def resolve(outcome: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has gone meanwhile
            loop.call_soon_threadsafe(lambda: None if result.done() else outcome())

    def run() -> None:
        try:
            value = work()
        except BaseException as error:  # noqa: BLE001 - raised where the result is awaited
            resolve(partial(result.set_exception, error))
        else:
            resolve(partial(result.set_result, value))

    threading.Thread(target=run, daemon=True).start()
    return result


async def while_well(main: Coroutine[Any, Any, T], *beside: Coroutine[Any, Any, None]) -> T:
    """The result of ``main``; whatever one of ``beside`` raises before that is raised at once."""
    task, others = asyncio.create_task(main), [asyncio.create_task(each) for each in beside]
    try:
        await asyncio.wait([task, *others], return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            if other.done():
                other.result()
        return await task
    finally:
        for each in (task, *others):
            each.cancel()
        await asyncio.gather(task, *others, return_exceptions=True)
