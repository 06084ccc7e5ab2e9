"""The port of a sink: where rows go. Kafka topics, files and terminals take them in the same three steps.

`tests/contract/sink_contract.py` holds every sink to what stands here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import pyarrow as pa

WEIGHTS, SAMPLES = "weights", "samples"
"""Streams of rows that a worker has for its sinks, with the columns of the topics so called."""


class Rows(NamedTuple):
    """Rows of one stream, in order. ``partition`` is that of the input whose shard says them; None: of several."""

    stream: str
    partition: int | None
    batch: pa.RecordBatch


class Sink(ABC):
    """Takes rows: ``start``, any number of ``add`` and ``flush``, ``close``. All on one event loop.

    A worker flushes a partition before it checkpoints its offset. So whatever kills the process, the next owner starts
    at an offset up to which all rows were flushed, and says everything after it again: rows come at least once. What
    comes again after a kill -9 is identical but for ``generation``; its identity is (partition, offset, revision), and
    of that the highest generation counts (`sie_online.tables.newest_statements`). A sink that replaces rows by this
    identity has them exactly once.

    Where a sink cannot take rows, for now or for ever, it raises a ``SieError`` (``UnreachableError``: try again):
    the worker ends, and nothing is checkpointed that was not flushed.
    """

    async def start(self) -> None:  # noqa: B027 - not every sink has something to connect to
        """Make ready, before the first rows.

        Raises:
            SieError: it cannot be; the message says what to mend.
        """

    @abstractmethod
    async def add(self, rows: Rows) -> None:
        """Take ``rows``, which may wait in memory until they are flushed; waits, itself, where too many do."""

    @abstractmethod
    async def flush(self, partition: int | None = None) -> None:
        """Return when everything that was added of ``partition`` (None: of all) before the call is durable.

        Rows may be added meanwhile. With nothing to flush it does nothing.
        """

    async def close(self) -> None:  # noqa: B027 - nor something to let go of
        """No more rows come. What was not flushed need not be kept: no checkpoint covers it."""
