"""What a former release has stored and said: its checkpoint is gone on with to the bit, its messages are read."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from sie_online import unpacking
from sie_online.settings import Settings, load
from sie_online.shard import Shard
from streams.checkpoint import CheckpointStore
from streams.checkpoint.decisions import Overrides
from streams.worker.restore import LogPlace, Ownership
from tests.contract.checkpoint_files import GOLDEN, LogRecord, batches, digests, newest_entities, table_of

RELEASES = sorted(path.name.removeprefix("checkpoint-").removesuffix(".tar.xz") for path in GOLDEN.glob("checkpoint-*"))
BATCH = 77
"""Another than the release took: batches change nothing."""
FEATURES: dict[str, dict[str, Any]] = {
    "as it was": {},
    "with lists": {"recommend": {"enabled": True, "publish": True, "users": 64, "items": 64, "pairs": 64}},
}


class Former(NamedTuple):
    """A golden file, unpacked; ``said`` is what the release said of the records that its checkpoint does not cover."""

    given: dict[str, Any]
    records: list[LogRecord]
    said: Mapping[str, Any]

    def messages(self, stream: str) -> pa.Table:
        """The rows of ``stream`` in its messages, as they are read today."""
        texts = self.said["messages"][stream]
        return pa.concat_tables([unpacking.from_message(text.encode("latin-1")) for text in texts])


@pytest.fixture(params=RELEASES)
def former(request: pytest.FixtureRequest, tmp_path: Path) -> Former:
    with tarfile.open(GOLDEN / f"checkpoint-{request.param}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    given, lines, said = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("settings", "records", "said")
    )
    records = [LogRecord(offset, _bytes(value), _bytes(key)) for offset, (key, value) in enumerate(lines)]
    return Former({**given, "store": (tmp_path / "store").as_uri()}, records, said)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")


def _restored(settings: Settings, end: int) -> Shard:
    """The shard as a worker that starts takes it over, under no override."""

    def no_model(model: str, version: str, partition: int) -> None:
        raise LookupError(f"{model} {version}")

    store = CheckpointStore(settings, settings.topics.events, input_partitions=1)
    newest = store.newest(0)
    assert newest is not None
    place = LogPlace(first=0, end=end, committed=newest.offset, n_partitions=1)
    return Ownership(settings, store, Overrides(), no_model).take(0, 1, place).shard


@pytest.mark.parametrize("more", FEATURES)
def test_a_former_release_s_checkpoint_is_gone_on_with_to_the_bit(former: Former, more: str) -> None:
    settings = load(former.given | FEATURES[more])
    shard = _restored(settings, len(former.records))
    assert 0 < shard.next_offset < len(former.records)
    outputs = [one for batch in batches(former.records[shard.next_offset :], BATCH) for one in shard.process(batch)]
    found = {
        "weights": table_of(one.weights for one in outputs),
        "samples": table_of(one.gathered.samples for one in outputs),
    }
    for stream, table in found.items():
        expected = former.said["digests"][stream]
        assert {name: digest for name, digest in digests(table).items() if name in expected} == expected, stream
    assert newest_entities(outputs) == former.said["entities"]
    assert [letter.offset for one in outputs for letter in one.dead_letters] == former.said["dead_letters"]
    assert sum(one.lists for one in outputs) > 0 or not settings.recommend.publish


@pytest.mark.parametrize("stream", ["weights", "samples"])
def test_a_former_release_s_messages_are_read_as_it_read_them(former: Former, stream: str) -> None:
    table, expected = former.messages(stream), former.said["digests"][stream]
    assert table.num_rows > 500
    assert {name: digest for name, digest in digests(table).items() if name in expected} == expected


def test_there_is_a_golden_file() -> None:
    assert "0.2.0" in RELEASES
