"""Sinks beside Kafka, in a real worker: they hold what the topics hold, whatever kills the process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sie_online.ingest.wire import WireRecord, final_heartbeats
from sie_online.settings import Settings
from sie_online.tables import newest_statements
from tests.support import topic_io
from tests.support.brokers import Broker
from tests.support.events import random_events, records
from tests.support.workers import SIE_WORKER, worker_pool

pytestmark = [pytest.mark.embedded, pytest.mark.slow]

PARTITIONS = 2


def _merged(batches: list[pa.RecordBatch]) -> pa.Table:
    return newest_statements(batches, batches[0].schema)


def test_a_parquet_folder_holds_every_row_of_the_topics_after_a_kill(
    settings: Callable[..., Settings], broker: Broker, tmp_path: Path
) -> None:
    folder = tmp_path / "rows"
    made = settings(
        broker=broker.address,
        instance_id="worker-0",  # so that the next one need not wait for the killed one's session to end
        checkpoint={"interval_s": 0.5},
        topics={"partitions": PARTITIONS},
        labels={"window_s": 3600},
        sinks=[f"parquet={folder.as_uri()}"],
    )
    topic_io.make_topics(made)
    log = [WireRecord(one.key, one.value) for one in records(random_events(3_000, seed=8))]
    with worker_pool(made, tmp_path, SIE_WORKER) as start:
        worker = start()
        topic_io.write(made, log[:1_500])
        worker.until(lambda: list(folder.glob("weights/*/*.parquet")) or None, "file", 300)
        topic_io.write(made, log[1_500:])
        worker.kill()
        worker = start()
        topic_io.write(made, final_heartbeats(made, 1_700_000_000_000 + 3_000 * 60_000, PARTITIONS))
        ends = topic_io.ends(made, made.topics.events)
        worker.until(lambda: topic_io.committed(made) == ends or None, f"commits at {ends}", 120)
        assert worker.stop() == 0
    for stream, topic in (("weights", made.topics.weights), ("samples", made.topics.samples)):
        published = _merged(topic_io.read_rows(made, topic).to_batches())
        files = [pq.read_table(path) for path in sorted(folder.glob(f"{stream}/*/*.parquet"))]
        found = _merged([batch for file in files for batch in file.to_batches()])
        assert len(published) > 1_000
        assert found.cast(published.schema).equals(published)
