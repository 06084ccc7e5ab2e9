"""Questions to two real workers: whoever is asked, the answer is found, also after its owner was killed."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sie_online.ingest.partitioner import partition_of
from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from sie_online.tables import newest_statements
from tests.support import topic_io
from tests.support.brokers import Broker
from tests.support.events import random_events
from tests.support.queries import Answer, get, token_in
from tests.support.workers import WorkerProcess, wait_until_read, worker_pool

PARTITIONS = 4
ADVERTISED = re.compile(r"query API up.*advertised=(http://\S+)")
TAKEN = re.compile(r"partitions (taken|lost) partitions=(\S+)")
EVENTS = random_events(1_200, seed=11)


def _write(settings: Settings, events: list[dict[str, Any]]) -> None:
    topic_io.write(settings, [WireRecord(one["user_id"].encode(), json.dumps(one).encode()) for one in events])


def _owned(worker: WorkerProcess) -> set[int]:
    said = TAKEN.findall(worker.text())
    return set(map(int, said[-1][1].split(","))) if said and said[-1][0] == "taken" and said[-1][1] != "none" else set()


def _wait_until_owns(worker: WorkerProcess, n: int) -> set[int]:
    return worker.until(lambda: owned if len(owned := _owned(worker)) == n else None, f"{n} partitions", 60)


def _ask(url: str, token: str, **query: Any) -> Answer:
    async def run() -> Answer:
        async with aiohttp.ClientSession() as session:
            return await get(session, url, token, follow=True, **query)

    return asyncio.run(run())


@pytest.mark.slow
def test_whoever_is_asked_the_answer_is_found_and_again_after_its_owner_was_killed(
    settings: Callable[..., Settings], kafka: Broker, tmp_path: Path
) -> None:
    file, token = token_in(tmp_path)
    made = settings(
        broker=kafka.address,
        checkpoint={"interval_s": 0.5},
        topics={"partitions": PARTITIONS},
        api={"token_file": str(file), "port": 0},
        limits={"earliest": "2020-01-01"},
    )
    topic_io.make_topics(made)
    with worker_pool(made, tmp_path) as start:
        first = start()
        first.wait_ready()
        second = start()
        _wait_until_owns(second, 2)
        _wait_until_owns(first, 2)
        _write(made, EVENTS[:600])
        wait_until_read(made, first)
        urls = {
            worker: first.until(lambda w=worker: ADVERTISED.search(w.text()), "its address", 10)[1]
            for worker in (first, second)
        }  # type: ignore[misc]

        user = next(
            u for u in (one["user_id"] for one in EVENTS) if partition_of(u.encode(), PARTITIONS) in _owned(second)
        )
        for asked in (first, second):
            _agrees_with_what_was_published(made, urls[asked], token)
            known = _ask(f"{urls[asked]}/v1/score", token, user=user, item="i1")
            assert known.status == 200
            assert known.said["knows_user"]

        second.kill()
        _wait_until_owns(first, PARTITIONS)
        _write(made, EVENTS[600:])
        wait_until_read(made, first)
        later = _ask(f"{urls[first]}/v1/entities/user/{user}", token)
        assert later.status == 200
        assert later.said["n_events"] > 0
        again = _ask(f"{urls[first]}/v1/score", token, user=user, item="i1")
        assert again.said["offset"] > known.said["offset"], "the heir has gone on"
        assert first.stop() == 0


def _agrees_with_what_was_published(settings: Settings, url: str, token: str) -> None:
    """Of some events of every partition, found without saying whose they are."""
    rows = topic_io.read_rows(settings, settings.topics.weights)
    table = newest_statements(rows.to_batches(), rows.schema).to_pylist()
    for event_id in {row["partition"]: row["event_id"] for row in table}.values():
        published = {row["revision"]: row for row in table if row["event_id"] == event_id}
        found = _ask(f"{url}/v1/weights/{event_id}", token)
        assert found.status == 200
        assert {each["revision"]: each["weight"] for each in found.said["revisions"]} == {
            revision: row["weight"] for revision, row in published.items()
        }
        explained = _ask(f"{url}/v1/explain/{event_id}", token)
        total = sum(part["log"] for part in explained.said["factors"].values())
        assert total == pytest.approx(math.log(explained.said["weight"]), abs=1e-6)
    missing = _ask(f"{url}/v1/weights/nobody-has-it", token)
    assert missing.status == 404
