"""What a sink tells Prometheus. Owns names, units and labels; ``docs/metrics.md`` lists them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from prometheus_client import disable_created_metrics
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from sie_online.client.reader import Span
from sie_online.contracts import CODE_VERSION
from streams.lake.port import Flush
from streams.lake.writer import TableWriter
from streams.observe.families import Families


class SinkMetrics:
    """Figures of each of ``streams``: what is counted from the start on, what is known once it is. Is a ``Watch``."""

    def __init__(self, streams: Sequence[str]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a ``_created`` beside every counter
        families = Families()
        self.registry = families.registry
        self._rows = families.counter("sink_rows", "Rows committed to the table, of this process.", "stream")
        self._commits = families.counter("sink_commits", "Commits to the table, of this process.", "stream")
        self._merges = families.counter(
            "sink_merges", "Commits that had to look for their rows in the table, after an owner changed.", "stream"
        )
        self._seconds = families.counter("sink_commit_seconds", "Time that commits took, together.", "stream")
        self._unreadable = families.counter(
            "sink_unreadable_messages", "Messages passed over, by this process.", "stream"
        )
        self._last = families.gauge(
            "sink_last_commit_timestamp_seconds", "When rows were committed last, since 1970.", "stream"
        )
        self._lag = families.gauge("sink_lag_messages", "Messages of the topic that the table does not hold.", "stream")
        self._end = families.gauge(
            "sink_end_offset", "Offsets at which the topic's partitions end, added up.", "stream"
        )
        self._waiting = families.gauge("sink_waiting_rows", "Rows read that wait for the next commit.", "stream")
        families.gauge("build_info", "The code that runs; always 1.", "version").labels(CODE_VERSION).set(1)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        for family in (self._rows, self._commits, self._merges, self._seconds, self._unreadable, self._waiting):
            for stream in streams:
                family.labels(stream)
        self._passed_over = dict.fromkeys(streams, 0)

    def has_read(self, writer: TableWriter) -> None:
        """Tell what waits, and what could not be read."""
        stream, count = writer.stream, writer.unreadable.count
        self._waiting.labels(stream).set(writer.rows_waiting)
        self._unreadable.labels(stream).inc(count - self._passed_over[stream])
        self._passed_over[stream] = count

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

    def has_looked(self, writer: TableWriter, spans: Mapping[int, Span] | None) -> None:
        """Tell what the topic holds, and how much of it the table lacks: nothing, where no broker says."""
        if spans is None:
            self._lag.remove_by_labels({"stream": writer.stream})
            self._end.remove_by_labels({"stream": writer.stream})
            return
        lacking = (span.end - max(span.first, writer.held.get(number, 0)) for number, span in spans.items())
        self._lag.labels(writer.stream).set(sum(max(0, messages) for messages in lacking))
        self._end.labels(writer.stream).set(sum(span.end for span in spans.values()))
