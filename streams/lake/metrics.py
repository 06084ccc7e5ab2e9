"""What a sink tells Prometheus."""

from __future__ import annotations

import time

from prometheus_client import start_http_server

from sie_online.errors import UsageError
from streams.lake.port import Flush
from streams.lake.writer import TableWriter
from streams.observe.families import Families

HOST = "127.0.0.1"


class SinkMetrics:
    """Figures of each stream, from the first commit on. Is a ``Watch``."""

    def __init__(self) -> None:
        families = Families()
        self.registry = families.registry
        self._rows = families.counter("sink_rows", "Rows committed to the table, of this process.", "stream")
        self._commits = families.counter("sink_commits", "Commits to the table, of this process.", "stream")
        self._merges = families.counter(
            "sink_merges", "Commits that had to look for their rows in the table, after an owner changed.", "stream"
        )
        self._seconds = families.counter("sink_commit_seconds", "Time that commits took, together.", "stream")
        self._last = families.gauge(
            "sink_last_commit_timestamp_seconds", "When rows were committed last, since 1970.", "stream"
        )
        self._lag = families.gauge("sink_lag_messages", "Messages of the topic that the table does not hold.", "stream")
        self._waiting = families.gauge("sink_waiting_rows", "Rows read that wait for the next commit.", "stream")
        self._unreadable = families.gauge(
            "sink_unreadable_messages", "Messages passed over, by this process.", "stream"
        )

    def has_read(self, writer: TableWriter) -> None:
        """Tell what waits, and what could not be read."""
        self._waiting.labels(writer.stream).set(writer.rows_waiting)
        self._unreadable.labels(writer.stream).set(writer.unreadable.count)

    def has_committed(self, writer: TableWriter, flush: Flush, took_s: float, lag: int | None) -> None:
        """Count a commit."""
        self._waiting.labels(writer.stream).set(writer.rows_waiting)
        self._rows.labels(writer.stream).inc(len(flush.table))
        self._commits.labels(writer.stream).inc()
        self._merges.labels(writer.stream).inc(flush.doubtful)
        self._seconds.labels(writer.stream).inc(took_s)
        self._last.labels(writer.stream).set(time.time())
        if lag is not None:
            self._lag.labels(writer.stream).set(lag)

    def serve(self, port: int) -> None:
        """Answer scrapes on ``port`` of this machine's own address, in a thread of its own.

        Raises:
            UsageError: it is taken.
        """
        try:
            start_http_server(port, addr=HOST, registry=self.registry)
        except OSError as error:
            raise UsageError(f"--metrics-port {port}: cannot listen on {HOST}: {error.strerror or error}") from None
