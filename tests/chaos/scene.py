"""One run's surroundings: topics and load on a broker of its own, workers, and what is watched."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sie_online.ingest.wire import WireRecord, erasure, final_heartbeats
from sie_online.settings import Settings, load
from sie_online.simulator import Scenario, simulate
from sie_online.simulator.scenario import MONDAY_MS
from tests.chaos.fleet import Fleet, Slot
from tests.chaos.monitors import CommitMonitor, RowMonitor, running
from tests.support import topic_io
from tests.support.brokers import Broker
from tests.support.topic_io import Writer, writing
from tests.support.versions import LENIENT, TINY

PARTITIONS = 4
PER_S = 800  # events a second: work for every moment, and a table that can be compared within seconds
EVENTS = 20_000  # of one simulated stretch of HOURS; stretches follow each other until the run ends
HOURS = 12.0
START_S = 240.0  # a worker on a busy two-core machine; its kernels may have to be compiled
DRAIN_S = 240.0
ERASED_EVERY = 4_000
"""Records after which a user is erased, who comes again now and then."""
OWN_TOPICS = ("events", "weights", "samples", "entities", "recs")
TRAINER = "trainer"
"""Name of the trainer among the processes."""


def chaos_settings(broker: Broker, store: str, name: str) -> Settings:
    """Small tables, short windows, a checkpoint every second and a net every few: much happens in little time."""
    topics = {topic: f"{name}.{topic.replace('_', '-')}" for topic in OWN_TOPICS}
    return load(
        {
            "broker": broker.address,
            "group": name,
            "store": store,
            "web": {"port": 0},
            "checkpoint": {"interval_s": 1.0},
            "kafka": {"max_poll_records": 500},
            "topics": topics
            | {"models": f"{name}.models", "dead_letters": f"{name}.dead-letters", "partitions": PARTITIONS},
            "labels": {"window_s": 3_600},
            "trainer": TINY | LENIENT | {"every_samples": 3_000, "min_samples": 1_000, "ahead_s": 2.0},
            "dedupe": {
                "events": 64
            },  # fewer than a replay repeats, or it would hide a state that is ahead of its offset
            "entities": {"users": 2_048, "items": 2_048, "categories": 256, "pairs": 8_192, "interests": 4_096},
            "recommend": {"enabled": True, "publish": True, "list_length": 10}
            | {"users": 1_024, "items": 1_024, "categories": 64, "pairs": 4_096},
        }
    )


def load_of(seed: int) -> Iterator[WireRecord]:
    """Shoppers, bots, duplicates and unreadable records, without end."""
    for nth in itertools.count():
        scenario = Scenario(events=EVENTS, seed=seed * 1_000 + nth, hours=HOURS, start_ms=_start_ms(nth))
        yield from simulate(scenario).records()


def with_erasures(records: Iterable[WireRecord]) -> Iterator[WireRecord]:
    """``records``, and now and then the erasure of a user."""
    for n, record in enumerate(records, 1):
        yield record
        if n % ERASED_EVERY == 0 and record.key:
            yield from (erasure(record.key.decode(errors="replace"), partition) for partition in range(PARTITIONS))


def _start_ms(nth: int) -> int:
    """Event time at which the ``nth`` stretch begins."""
    return MONDAY_MS + nth * round(HOURS * 3_600_000)


@dataclass
class Scene:
    """Everything a fault can get at. ``notes`` are what the faults measured."""

    settings: Settings
    broker: Broker
    fleet: Fleet
    commits: CommitMonitor
    rows: RowMonitor
    writer: Writer
    random: random.Random
    served_s: list[float] = field(default_factory=list)
    lag_at_kill: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def pause(self, least_s: float, most_s: float) -> None:
        """Let a random time pass."""
        until = time.monotonic() + self.random.uniform(least_s, most_s)
        self.fleet.wait(lambda: time.monotonic() > until, "time", most_s + 60)

    def wait_for_two_serving(self) -> list[Slot]:
        """Workers that serve, once there are two, so that there is one to take over from the other."""
        self.fleet.wait(lambda: len(self.fleet.serving()) >= 2, "two serving workers", START_S)
        return self.fleet.serving()

    def lag(self) -> int:
        """Records written that no commit covers."""
        ends = topic_io.ends(self.settings, self.settings.topics.events)
        return sum(end - self.commits.committed.get(partition, 0) for partition, end in ends.items())

    def expect_served(self, partitions: set[int], above: dict[int, int], since: float, why: str) -> None:
        """Note after how long each of ``partitions`` has rows of a generation ``above`` the given one."""

        def all_seen() -> bool:
            return all(self.rows.seen_above(p, above[p]) is not None for p in partitions)

        self.fleet.wait(all_seen, f"rows of {sorted(partitions)} after a {why}", START_S)
        took = max((self.rows.seen_above(p, above[p]) or since) - since for p in partitions)
        if why == "kill":
            self.served_s.append(round(took, 2))

    def generations(self) -> dict[int, int]:
        """The highest generation of every partition's rows so far."""
        return {partition: self.rows.generation(partition) for partition in range(PARTITIONS)}

    def finish_load(self) -> None:
        """Write no more but the heartbeats that let every window mature; return when all of it is processed."""
        self.writer.finish()
        n_records = sum(topic_io.ends(self.settings, self.settings.topics.events).values())
        last_ms = _start_ms(n_records // EVENTS + 1)
        topic_io.write(self.settings, final_heartbeats(self.settings, last_ms, PARTITIONS))
        ends = topic_io.ends(self.settings, self.settings.topics.events)
        self.fleet.wait(lambda: self.commits.committed == ends, f"commits at {ends}", DRAIN_S)


@contextmanager
def opened(settings: Settings, broker: Broker, folder: Path, command: Sequence[str], seed: int) -> Iterator[Scene]:
    """A scene with load and nobody to process it yet."""
    topic_io.make_topics(settings)
    fleet = Fleet(settings, folder, command)
    with (
        running(CommitMonitor(settings)) as commits,
        running(RowMonitor(settings)) as rows,
        writing(settings, with_erasures(load_of(seed)), PER_S) as writer,
    ):
        try:
            yield Scene(settings, broker, fleet, commits, rows, writer, random.Random(seed))
        finally:
            fleet.end()
