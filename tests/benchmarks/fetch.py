"""An empty fetch: ``python -m tests.benchmarks.fetch --records N``, as a process.

aiokafka alone gets every record of the topic in the fetch sizes of the worker, and drops it; no offsets are committed.
Logs ``RESULT {…}``: the time from the first answer to the last, and how many records came after the first. Up to 16 MB
of these had been fetched with the first answer, which flatters the empty fetch (the less, the more events there are).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time

from aiokafka import AIOKafkaConsumer

from sie_online.settings import Settings, load

WAIT_MS = 500


async def fetch(settings: Settings, n_records: int) -> dict[str, float]:
    """Get ``n_records`` and count them."""
    consumer = AIOKafkaConsumer(
        settings.topics.events,
        bootstrap_servers=settings.broker,
        group_id=settings.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=settings.kafka.fetch_max_bytes,
        max_poll_records=settings.kafka.max_poll_records,
    )
    await consumer.start()
    got = before = 0
    first_s = last_s = 0.0
    try:
        while got < n_records:
            answer = await consumer.getmany(timeout_ms=WAIT_MS)
            n = sum(map(len, answer.values()))
            if not n:
                continue
            got, last_s = got + n, time.time()  # not the monotonic clock: it is matched with others' processor times
            if not before:
                before, first_s = n, last_s
    finally:
        await consumer.stop()
    return {"records": got - before, "first_ms": first_s * 1000, "last_ms": last_s * 1000}


def main() -> None:
    """Fetch everything once, then wait to be ended."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--records", type=int, required=True)
    given = arguments.parse_args()
    print("RESULT", json.dumps(asyncio.run(fetch(load(), given.records))), flush=True)
    signal.pause()  # until ended: whoever reads the result finds the process alive


if __name__ == "__main__":
    main()
