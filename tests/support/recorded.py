"""What recording workers (``recording_worker``) published, held against what was written."""

from __future__ import annotations

import pyarrow as pa

from sie_online.settings import Settings
from streams.checkpoint import CheckpointStore
from tests.support import topic_io


def assert_every_record_once_and_in_order(settings: Settings) -> pa.Table:
    """Each record has its rows, all of them equal but for the generation, and each owner kept the order."""
    rows = topic_io.read_rows(settings, settings.topics.weights)
    ends = topic_io.ends(settings, settings.topics.events)
    for partition, end in ends.items():
        mine = [row for row in rows.to_pylist() if row["partition"] == partition]
        said = {(row["offset"], row["nth"], row["digest"]) for row in mine}
        assert sorted(offset for offset, _, _ in said) == list(range(end)), f"partition {partition}"
        assert all(nth == offset + 1 for offset, nth, _ in said)
        for generation in {row["generation"] for row in mine}:
            offsets = [row["offset"] for row in mine if row["generation"] == generation]
            assert offsets == list(range(offsets[0], offsets[0] + len(offsets))), f"{partition}, epoch {generation}"
    return rows


def assert_no_commit_ahead_of_a_checkpoint(settings: Settings) -> None:
    """What the group committed is covered by checkpoints."""
    committed = topic_io.committed(settings)
    store = CheckpointStore(settings, settings.topics.events)
    for partition, offset in committed.items():
        newest = store.newest(partition)
        assert newest is not None
        assert offset <= newest.offset, f"partition {partition}"
