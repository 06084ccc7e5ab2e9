"""The sink's site: what probes and Prometheus are told while writers begin, read, stand still, or lack brokers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sie_online.client.reader import Span
from sie_online.errors import UnreachableError, UsageError
from sie_online.settings import Web
from streams.lake.metrics import SinkMetrics
from streams.lake.site import SinkSite, Standing
from streams.lake.writer import TableWriter

STREAM = "weights"


class Writer:
    """As much of a ``TableWriter`` as a site looks at."""

    stream = STREAM

    def __init__(self, spans: Mapping[int, Span] | None) -> None:
        self.spans = spans
        self.has_begun = True
        self.positions: dict[int, int] = {}
        self.held: dict[int, int] = {}
        self.rows_waiting = 0
        self.unreadable = SimpleNamespace(count=0)
        self.availability = SimpleNamespace(away=False, reason="", last_answer=1.0)
        self.looked = asyncio.Event()

    async def look(self) -> Mapping[int, Span] | None:
        self.looked.set()
        return self.spans


def as_writer(writer: Writer) -> TableWriter:
    return cast(TableWriter, writer)


async def answers(writer: Writer, metrics: SinkMetrics) -> dict[str, tuple[int, str]]:
    """Status and text of each page, once the site has looked at a writer that has begun."""
    async with SinkSite(Web(), 0, metrics, [as_writer(writer)]) as site, aiohttp.ClientSession() as session:
        if writer.has_begun:
            await writer.looked.wait()
            await asyncio.sleep(0)  # the look itself
        found = {}
        for page in ("healthz", "readyz", "metrics"):
            async with session.get(f"{site.url}/{page}") as answer:
                found[page] = answer.status, await answer.text()
    return found


def told(text: str) -> dict[str, float]:
    """The samples of a page of metrics, by name."""
    return {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}


def test_what_a_topic_holds_and_the_table_lacks_is_told_between_commits() -> None:
    writer = Writer({0: Span(5, 20), 1: Span(0, 7)})
    writer.held = {0: 8}  # of partition 1, nothing yet
    samples = told(asyncio.run(answers(writer, SinkMetrics([STREAM])))["metrics"][1])
    assert samples["sie_sink_lag_messages"] == 12 + 7
    assert samples["sie_sink_end_offset"] == 27
    assert samples["sie_sink_commits_total"] == 0, "there from the start on, or a first commit would be no increase"
    assert samples["sie_broker_up"] == 1
    assert {"process_start_time_seconds", "process_resident_memory_bytes"} <= samples.keys()


def test_brokers_that_are_away_make_it_unready_and_not_dead_and_nothing_is_told_of_lag() -> None:
    writer, metrics = Writer({0: Span(0, 9)}), SinkMetrics([STREAM])
    assert asyncio.run(answers(writer, metrics))["readyz"][0] == 200
    writer.spans = None
    writer.availability = SimpleNamespace(away=True, reason="broker kafka has not answered", last_answer=1.0)
    metrics.has_looked(as_writer(writer), None)
    found = asyncio.run(answers(writer, SinkMetrics([STREAM])))
    assert (found["healthz"][0], found["readyz"][0]) == (200, 503)
    assert "broker kafka has not answered" in found["readyz"][1]
    assert told(found["metrics"][1])["sie_broker_up"] == 0
    assert metrics.registry.get_sample_value("sie_sink_lag_messages", {"stream": STREAM}) is None


def test_it_is_alive_and_not_ready_before_its_tables_are_taken_up() -> None:
    writer = Writer({})
    writer.has_begun = False
    found = asyncio.run(answers(writer, SinkMetrics([STREAM])))
    assert (found["healthz"][0], found["readyz"][0]) == (200, 503)
    assert '"weights":false' in found["readyz"][1]


def test_a_look_that_fails_ends_nothing() -> None:
    class Failing(Writer):
        async def look(self) -> Mapping[int, Span] | None:
            await super().look()
            raise UnreachableError("kafka.outage_limit_s")

    assert asyncio.run(answers(Failing({}), SinkMetrics([STREAM])))["healthz"][0] == 200


def test_it_stalls_where_messages_wait_and_none_is_read() -> None:
    now, writer = [0.0], Writer(None)
    standing = Standing(as_writer(writer), lambda: now[0])

    def after(seconds: float, spans: Any, positions: dict[int, int]) -> float:
        now[0] += seconds
        writer.positions = positions
        standing.take(spans)
        return standing.stalled_s

    assert after(10, {0: Span(0, 5)}, {0: 2}) == 0
    assert after(10, {0: Span(0, 5)}, {0: 3}) == 0, "one was read"
    assert after(10, {0: Span(0, 9)}, {0: 3}) == 10
    assert after(10, None, {0: 3}) == 0, "who knows"
    assert after(10, {0: Span(0, 9)}, {0: 3}) == 10
    assert after(10, {0: Span(0, 9)}, {0: 9}) == 0
    assert after(9_999, {0: Span(0, 9)}, {0: 9}) == 0, "nothing waits"


def test_messages_passed_over_are_counted_once() -> None:
    writer, metrics = Writer({}), SinkMetrics([STREAM])
    for count in (2, 2, 5):
        writer.unreadable.count = count
        metrics.has_read(as_writer(writer))
    assert metrics.registry.get_sample_value("sie_sink_unreadable_messages_total", {"stream": STREAM}) == 5


def test_a_port_that_is_taken_is_named_as_it_was_given() -> None:
    async def twice() -> None:
        async with SinkSite(Web(), 0, SinkMetrics([STREAM]), []) as site:
            port = int(site.url.rpartition(":")[2])
            async with SinkSite(Web(), port, SinkMetrics([STREAM]), []):
                pass

    with pytest.raises(UsageError, match=r"--metrics-port \d+: cannot listen: .*in use"):
        asyncio.run(twice())
