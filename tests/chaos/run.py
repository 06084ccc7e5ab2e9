"""One chaos run, and ``python -m tests.chaos.run --seeds 1-10`` for many: exits 1 if any of them found something."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from sie_online import WeightSubscriber
from sie_online.announcements import NET, PRIORS
from sie_online.contracts import WEIGHTS
from sie_online.settings import Settings
from streams.model_registry.history import read_registry
from streams.model_registry.loaded import LoadedModels
from streams.observe.metrics import Metrics
from streams.store import open_store
from tests.chaos.faults import Fault, long_plan, short_plan
from tests.chaos.fleet import HopelessError
from tests.chaos.lists import read_lists
from tests.chaos.places import PLACES
from tests.chaos.scene import TRAINER, Scene, chaos_settings, opened
from tests.chaos.verdict import PublishedRows, compare, compare_tables, last_revisions, undisturbed
from tests.support import topic_io
from tests.support.brokers import Broker, apache_kafka
from tests.support.workers import SIE_TRAINER, SIE_WORKER

IDLE_S = 5.0
SERVED_WITHIN_S = 15.0  # after a kill; judged where nothing else runs, not in a test


@dataclass(frozen=True)
class ChaosReport:
    """What one run did and found. ``problems`` is empty if every promise was kept.

    ``announced`` and ``shared`` count announcements of nets and of priors, ``served`` the nets of rows, ``late`` the
    shards' late adoptions; ``lists`` records of recommendations, ``taken_back`` the nulls among them, ``overtaken`` the
    users whose last record is not the one that a reader keeps.
    """

    seed: int
    faults: list[str]
    exits: list[tuple[str, int]]
    served_s: list[float]
    lag_at_kill: list[int]
    commit_looks: int
    records: int
    rows: int
    repeated_rows: int
    announced: int
    shared: int
    served: int
    late: int
    lists: int
    taken_back: int
    overtaken: int
    seconds: float
    problems: list[str]


def run(
    broker: Broker,
    folder: Path,
    seed: int,
    plan: Sequence[Fault],
    command: Sequence[str] = SIE_WORKER,
    *,
    store: str = "file",
) -> ChaosReport:
    """Do ``plan`` to two workers and a trainer under load, let them finish, and judge what they published.

    ``store`` is one of ``PLACES``: where their checkpoints and models lie meanwhile.
    """
    with PLACES[store](folder, seed) as url:
        return _run(broker, folder, url, seed, plan, command)


def _run(
    broker: Broker, folder: Path, store: str, seed: int, plan: Sequence[Fault], command: Sequence[str]
) -> ChaosReport:
    began = time.monotonic()
    settings = chaos_settings(broker, store, f"chaos-{seed}-{int(time.time())}")
    with opened(settings, broker, folder, command, seed) as scene:
        try:
            _play(scene, plan)
        except HopelessError as error:
            scene.problems.append(str(error))
        problems = scene.problems + scene.commits.ahead[:5]
    log = topic_io.read(settings, settings.topics.events)
    registry = asyncio.run(read_registry(settings))
    loaded = LoadedModels(settings, open_store(settings.store), registry, Metrics(settings))
    published, expected = published_by(settings), undisturbed(settings, log, registry, loaded.get)
    problems += compare(published, expected)
    problems += compare_tables("subscriber", asyncio.run(subscribed(settings)), last_revisions(expected.weights))
    distinct = published.weights.group_by(["partition", "offset", "revision"]).aggregate([]).num_rows
    return ChaosReport(
        seed=seed,
        faults=[fault.__name__ for fault in plan],
        exits=scene.fleet.exits,
        served_s=scene.served_s,
        lag_at_kill=scene.lag_at_kill,
        commit_looks=scene.commits.looks,
        records=len(log),
        rows=distinct,
        repeated_rows=published.weights.num_rows - distinct,
        announced=len(registry[NET].announcements),
        shared=len(registry[PRIORS].announcements),
        served=len(set(published.weights["model_version"].to_pylist())),
        late=sum(len(registered.adopted) for registered in registry.values()),
        lists=published.lists.records,
        taken_back=published.lists.taken_back,
        overtaken=len(published.lists.overtaken),
        seconds=round(time.monotonic() - began, 1),
        problems=problems,
    )


def _play(scene: Scene, plan: Sequence[Fault]) -> None:
    for name in ("first", "second"):
        scene.fleet.add(name)
    scene.fleet.add(TRAINER, SIE_TRAINER)
    for fault in plan:
        fault(scene)
    scene.wait_for_two_serving()
    scene.finish_load()
    for name in (TRAINER, "first", "second"):
        if code := scene.fleet.remove(name):
            scene.problems.append(f"{name}, told to stop, ended with {code}")


def published_by(settings: Settings) -> PublishedRows:
    """Everything in the output topics."""
    letters = [dict(record.headers) for record in topic_io.read(settings, settings.topics.dead_letters)]
    return PublishedRows(
        topic_io.read_rows(settings, settings.topics.weights),
        topic_io.read_rows(settings, settings.topics.samples),
        [(int(one["sie-source-partition"]), int(one["sie-source-offset"])) for one in letters],
        read_lists((one.key, one.value, one.partition) for one in topic_io.read(settings, settings.topics.recs)),
    )


async def subscribed(settings: Settings) -> pa.Table:
    """The table of a subscriber that begins now: the last word about every record."""
    async with WeightSubscriber(settings, idle_s=IDLE_S) as weights:
        tables = [pa.Table.from_batches([batch]).select(WEIGHTS.names) async for batch in weights.batches()]
    return last_revisions(pa.concat_tables(tables))


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def main() -> int:
    """Run every seed, one after the other, each on a broker of its own."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default=[1], help="One seed, or a range as in 1-10.")
    parser.add_argument("--store", choices=PLACES, default="file", help="Where checkpoints and models lie.")
    parser.add_argument("--short", action="store_true", help="The short plan that the tests run.")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a terminated run still stops its brokers and workers
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)  # a broker that is away is the point
    failed = 0
    for seed in given.seeds:
        rng = random.Random(seed)
        with tempfile.TemporaryDirectory(prefix="sie-chaos-") as folder, apache_kafka() as broker:
            plan = (short_plan if given.short else long_plan)(rng)
            report = run(broker, Path(folder), seed, plan, store=given.store)
        print(json.dumps(asdict(report)), flush=True)
        if slow := [s for s in report.served_s if s > SERVED_WITHIN_S]:
            print(f"served again after more than {SERVED_WITHIN_S:g} s: {slow}", flush=True)
        failed += bool(report.problems or slow)
    print(f"{len(given.seeds) - failed} of {len(given.seeds)} runs kept every promise", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
