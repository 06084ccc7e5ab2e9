"""``sie worker`` with a fault built in, to prove that the chaos run would find it. Nothing of this is in the product.

``python -m tests.chaos.broken_worker commit-ahead | skip-replay | count-twice``
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sie_online.ingest.records import RecordBatch
from sie_online.settings import load
from sie_online.shard import Shard, Snapshot
from streams.app import serve
from streams.checkpoint.decisions import Overrides
from streams.transport import Positions
from streams.worker.leases import ShardLease
from streams.worker.processing import Processing
from streams.worker.restore import LogPlace, Ownership


def commit_ahead() -> None:
    """Commit what is processed, as stock Faust does, instead of what a checkpoint covers."""
    process = Processing._process

    async def process_and_commit(self: Processing, lease: ShardLease, batch: RecordBatch) -> None:
        await process(self, lease, batch)
        self._consumer._consumer.thread.commit_soon({batch.partition: batch.end})

    def whatever_is_asked(self: Positions, offsets: Mapping[int, int]) -> dict[int, int]:
        return dict(offsets)

    Processing._process = process_and_commit  # type: ignore[method-assign]
    Positions.committable = whatever_is_asked  # type: ignore[method-assign]


def skip_replay() -> None:
    """Go on at the end of the log after a restart, instead of where the checkpoint ends."""
    restore = Ownership._restore

    def restore_at_the_end(self: Ownership, partition: int, epoch: int, place: LogPlace) -> ShardLease:
        lease = restore(self, partition, epoch, place)
        lease.shard.next_offset = place.end
        return lease

    Ownership._restore = restore_at_the_end  # type: ignore[method-assign]


def count_twice() -> None:
    """Store a state with the offset of the checkpoint before: a replay then counts again what the state knows."""
    snapshot = Shard.snapshot
    before: dict[int, int] = {}

    def snapshot_of_yesterday(self: Shard) -> Snapshot:
        taken = snapshot(self)
        offset = before.get(self.partition, taken.next_offset)
        before[self.partition] = taken.next_offset
        return replace(taken, next_offset=offset, meta=taken.meta | {"next_offset": offset})

    Shard.snapshot = snapshot_of_yesterday  # type: ignore[method-assign]


FAULTS: Mapping[str, Callable[[], Any]] = {
    "commit-ahead": commit_ahead,
    "skip-replay": skip_replay,
    "count-twice": count_twice,
}

if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    serve(load(), Overrides())
