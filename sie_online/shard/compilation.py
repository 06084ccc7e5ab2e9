"""What a shard calls, compiled or loaded before it has anything to do."""

from __future__ import annotations

from sie_online.ingest.records import LogRecord, RecordBatch
from sie_online.ingest.wire import heartbeat, maturity_ms
from sie_online.settings import Settings, load
from sie_online.shard.core import Shard

SAMPLE_MS = 1_700_000_000_000
"""Event time of the sample's views."""


def warm_up(given: Settings | None = None) -> None:
    """Compile a shard's kernels, or load them, by having one go through a sample of all that it does.

    ``given`` are those under which shards will run: whether they learn to rank, and in records of which sizes.
    """
    settings = _sampled(given) if given and given.recommend.enabled else Settings()
    shard = Shard(settings, 0)
    views, ending = _sample(settings)
    _run(shard, [])
    _run(shard, views)
    saved = shard.snapshot()
    again = Shard.restore(settings, 0, saved.meta, saved.changed, generation=0)
    _run(again, ending)
    again.stats()
    if settings.recommend.enabled:
        again.recommend("u", 1)
        again.put_neighbourhoods(again.own_neighbourhoods())
    again.close()
    shard.close()


def warm_up_lookup() -> None:
    """The same for what a shard can be asked."""
    shard = Shard(Settings(), 0)
    shard.score("u", "i", "c")
    shard.entity("user", "u")
    shard.close()


def _sampled(given: Settings) -> Settings:
    """What of ``given`` shapes records, and no more: the sample must be made of valid events."""
    limits = {"id_bytes": given.limits.id_bytes}
    return load({"recommend": given.recommend.model_dump(), "limits": limits})


def _run(shard: Shard, records: list[LogRecord]) -> None:
    start = shard.next_offset
    batch = RecordBatch.of(records, topic="", partition=0, epoch=0, start=start, end=start + len(records))
    for _ in shard.process(batch):
        pass


def _sample(settings: Settings) -> tuple[list[LogRecord], list[LogRecord]]:
    """Two views (numpy takes a column of one for contiguous, which is a type of its own), and what settles them."""
    view = b'{"event_id":"%d","user_id":"u","item_id":"i","event_type":"view","timestamp_ms":%d}'
    end_ms = maturity_ms(settings, SAMPLE_MS)
    views = [LogRecord(offset, SAMPLE_MS, b"u", view % (offset, SAMPLE_MS)) for offset in range(2)]
    return views, [LogRecord(len(views), end_ms, None, heartbeat(end_ms, 0).value)]
