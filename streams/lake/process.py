"""``sie sink`` as a process: a writer for each stream, side by side, until told to stop."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from sie_online.settings import Settings
from streams.lake.places import Place
from streams.lake.writer import Order, TableWriter, Watch

Beside = Callable[[Sequence[TableWriter]], AbstractAsyncContextManager[object]]
"""What is open while writers run."""


async def serve(
    settings: Settings, streams: Sequence[str], order: Order, watch: Watch, beside: Beside
) -> list[TableWriter]:
    """Write ``streams`` to their tables until SIGTERM or SIGINT, or idle as ``order`` says; the writers, done.

    Raises:
        SieError: what ended the first of them; the others stop where they are. All is as of their last commits. Or
            what ``beside`` raises.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    writers = [TableWriter(settings, stream, order, watch) for stream in streams]
    try:
        async with beside(writers), asyncio.TaskGroup() as group:
            for writer in writers:
                group.create_task(writer.run(stop))
    except* Exception as failed:  # noqa: BLE001 - as the first one was raised
        raise failed.exceptions[0] from None
    return writers


def compact(place: Place, stream: str) -> int:
    """Merge the small files of every hour of a table that is there; how many went.

    Raises:
        UsageError: there is none.
        UnreachableError: the place fails.
    """
    table = place.table(stream)
    table.visit()
    return table.compact(int(time.time() * 1000) + 1)
