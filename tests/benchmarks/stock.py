"""Stock Faust, one event at a time: ``python -m tests.benchmarks.stock --events N --out TOPIC``, as a process.

Broker, group and input topic come from the settings in its environment. It publishes one message per record to the
input's partition and, when N are confirmed, logs ``RESULT {…}`` and waits to be ended.

Settings: Faust's own but for these, all in its favour. No web, no leader election, no topics of its own, no tables;
a producer with a linger of 50 ms and large batches, where Faust's default sends every message as soon as it can;
values stay bytes and are decoded by msgspec, which is faster than Faust's codecs; the partition is given, which spares
a murmur2 in Python per message. Offsets are committed as Faust does by default, every 2.8 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import defaultdict
from typing import Any

import faust

from sie_online.settings import Settings, load
from tests.benchmarks.stock_job import StockJob

LINGER_S = 0.05
BATCH_BYTES = 900_000


def stock_app(settings: Settings) -> faust.App:
    """A plain Faust app that reads the group's topic from its beginning."""
    return faust.App(
        settings.group,
        broker=f"kafka://{settings.broker}",
        autodiscover=False,
        consumer_auto_offset_reset="earliest",
        producer_linger=LINGER_S,
        producer_max_batch_size=BATCH_BYTES,
        topic_allow_declare=False,
        topic_disable_leader=True,
        reply_create_topic=False,
        table_standby_replicas=0,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )


def add_agent(app: faust.App, settings: Settings, out: str, n_events: int) -> None:
    """The job: every record in, one message out, until ``n_events`` are done."""
    events = app.topic(settings.topics.events, key_serializer="raw", value_serializer="raw")
    published = app.topic(out, key_serializer="raw", value_serializer="raw")
    jobs: dict[int, StockJob] = defaultdict(StockJob)

    @app.agent(events)
    async def weigh(stream: Any) -> None:
        done = 0
        async for event in stream.events():
            partition = event.message.partition
            message = jobs[partition].handle(event.value)
            await published.send(key=event.key, value=message, partition=partition)
            done += 1
            if done == n_events:
                await app.producer.flush()
                result = {"events": done, "settled": sum(job.settled for job in jobs.values())}
                print("RESULT", json.dumps(result), flush=True)
                await asyncio.Event().wait()


def main() -> None:
    """Run until ended."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--events", type=int, required=True)
    arguments.add_argument("--out", required=True)
    given = arguments.parse_args()
    settings = load()
    app = stock_app(settings)
    add_agent(app, settings, given.out, given.events)
    app.finalize()
    app.worker_init()
    worker = faust.Worker(app, loglevel="warning", quiet=True)
    worker.spinner = None
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
