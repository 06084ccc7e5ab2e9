"""Groups beside each other, and workers that have to be refused: whoever works goes on undisturbed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from streams.checkpoint import CheckpointStore
from tests.support import topic_io
from tests.support.brokers import Broker
from tests.support.workers import RECORDING_WORKER, SIE_WORKER, wait_until_read, worker_pool

PARTITIONS = 2
N = 200
pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture
def made(settings: Callable[..., Settings], kafka: Broker) -> Settings:
    """Settings whose topics exist and hold something to process."""
    made = settings(broker=kafka.address, checkpoint={"interval_s": 0.5}, topics={"partitions": PARTITIONS})
    topic_io.make_topics(made)
    write(made)
    return made


def write(settings: Settings) -> None:
    topic_io.write(settings, [WireRecord(None, f"record {n}".encode(), n % PARTITIONS) for n in range(N)])


def epochs(settings: Settings) -> list[int]:
    store = CheckpointStore(settings, settings.topics.events)
    return [store.newest_epoch(partition) for partition in range(PARTITIONS)]


def generations(settings: Settings) -> set[int]:
    """Generations of the rows at offset 0."""
    rows = topic_io.read_rows(settings, settings.topics.weights).to_pylist()
    return {row["generation"] for row in rows if row["offset"] == 0}


def test_a_worker_that_must_be_refused_takes_nothing_from_a_healthy_one(made: Settings, tmp_path: Path) -> None:
    other = made.model_copy(update={"labels": made.labels.model_copy(update={"window_s": 7.0})})
    with (
        worker_pool(made, tmp_path, RECORDING_WORKER) as start,
        worker_pool(other, tmp_path / "other", RECORDING_WORKER) as start_other,
        worker_pool(made, tmp_path / "newer", SIE_WORKER) as start_newer,
    ):
        healthy = start()
        wait_until_read(made, healthy)
        before = epochs(made)
        refused = start_other()
        assert refused.exit_code(180) == 78
        assert "--accept-changed-settings" in refused.text()
        misled = start_newer()  # a shard of another kind: its records are others
        assert misled.exit_code(300) == 78
        assert "has other records than this version" in misled.text()
        write(made)
        wait_until_read(made, healthy)
        assert epochs(made) == before
        assert healthy.text().count("partitions taken") == 1, "none was ever lost"
        assert healthy.stop() == 0


def test_a_second_group_shares_no_output_topic_until_a_person_says_that_it_replaces_the_first(
    made: Settings, tmp_path: Path
) -> None:
    second = made.model_copy(update={"group": f"{made.group}-second"})
    own = second.topics.model_copy(update={"weights": "own." + made.topics.weights, "samples": "own.samples"})
    apart = second.model_copy(update={"topics": own, "group": f"{made.group}-apart"})
    topic_io.make_topics(apart)
    with (
        worker_pool(made, tmp_path, RECORDING_WORKER) as start,
        worker_pool(second, tmp_path / "second", RECORDING_WORKER) as start_second,
        worker_pool(second, tmp_path / "fresh", (*RECORDING_WORKER, "--fresh")) as start_fresh,
        worker_pool(apart, tmp_path / "apart", RECORDING_WORKER) as start_apart,
    ):
        first = start()
        wait_until_read(made, first)
        refused = start_second()
        assert refused.exit_code(180) == 78
        assert f"SIE_TOPICS__PREFIX={second.group}." in refused.text()
        too_early = start_fresh()
        assert too_early.exit_code(180) == 78
        assert f"{made.group!r}, which still has 1 consumers" in too_early.text()
        beside = start_apart()
        wait_until_read(apart, beside)
        assert beside.stop() == 0
        assert first.text().count("partitions taken") == 1, "none was ever lost"
        assert first.stop() == 0

        highest = max(generations(made))
        replacing = start_fresh()
        wait_until_read(second, replacing)
        assert min(generations(made) - {highest}) > highest
        assert replacing.stop() == 0
        again = start_second()  # what it has begun goes on without a flag
        wait_until_read(second, again)
        late = start()
        assert late.exit_code(180) == 78
        assert f"published by group {second.group!r}" in late.text()
        assert again.stop() == 0
