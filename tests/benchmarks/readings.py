"""Reads weights as a training job would: ``python -m tests.benchmarks.readings --out FILE``, as a process.

The subscriber of ours, from the topic's end on. Notes for every first statement when its event was sent (its id says
so, see ``load``) and when its row was in hand; on SIGTERM writes both (float64 of shape (n, 2), s since 1970) to FILE.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sie_online import WeightSubscriber
from sie_online.settings import load


async def read(found: list[np.ndarray]) -> None:
    """Add the readings of every message to ``found``, until cancelled."""
    async with WeightSubscriber(load(), start="latest") as weights:
        print("READING", flush=True)
        async for batch in weights.batches():
            now = time.time()
            first = batch.filter(pc.equal(batch.column("revision"), 0))
            sent_ns = pc.list_element(pc.split_pattern(first.column("event_id"), "-", max_splits=1), 0)
            sent = sent_ns.cast(pa.int64()).to_numpy() / 1e9
            found.append(np.stack([sent, np.full(len(sent), now)], axis=1))


async def until_told() -> list[np.ndarray]:
    """What was read until SIGTERM."""
    found: list[np.ndarray] = []
    task = asyncio.create_task(read(found))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return found


def main() -> None:
    """Read, then write."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.readings", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    found = asyncio.run(until_told())
    np.save(given.out, np.concatenate(found) if found else np.empty((0, 2)))


if __name__ == "__main__":
    main()
