"""A real worker around a shard that only counts: for tests of the transport, ownership and checkpoints.

``python -m tests.support.recording_worker`` is ``sie worker`` but for the shard. Of every record it says the
how-manieth it is of its partition, and a running digest of all values so far, so that any loss, repetition or disorder
shows in the rows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from sie_online.contracts import BUILTIN_MODEL, EVENT_TYPES
from sie_online.errors import SieError
from sie_online.ingest.events import Text
from sie_online.ingest.records import RecordBatch
from sie_online.recommender.kernels import TWIN_NAMES
from sie_online.settings import Settings, load
from sie_online.shard import Gathered, Layout, RecordCounts, ShardOutput, ShardStats, Snapshot
from sie_online.shard.figures import JudgedSamples, NoiseByType
from sie_online.shard.state import WEIGHT_EDGES
from sie_online.unpacking import FramedRows
from streams import app
from streams.checkpoint.decisions import Overrides
from streams.worker import restore as ownership
from streams.worker import startup

ROWS = 500
OUTPUT_S = 0.002  # what an output costs; makes the worker busy

SCHEMA = pa.schema(
    [
        pa.field("partition", pa.int32()),
        pa.field("offset", pa.int64()),
        pa.field("revision", pa.int32()),
        pa.field("generation", pa.int64()),
        pa.field("published_ms", pa.int64()),
        pa.field("nth", pa.int64()),
        pa.field("digest", pa.int64()),
    ]
)
NOTHING_JUDGED = JudgedSamples(np.zeros(0, np.bool_), np.zeros((len(TWIN_NAMES), 0)))
NO_NOISE = NoiseByType((0,) * len(EVENT_TYPES), (0.0,) * len(EVENT_TYPES), (0,) * len(EVENT_TYPES))
NOTHING_GATHERED = Gathered(FramedRows.of(pa.RecordBatch.from_pylist([], SCHEMA)), [])


class RecordingShard:
    """A shard whose state is how many records it has seen and what they were."""

    fail_at: ClassVar[int | None] = None
    lists_begin_anew = False
    stall_at: ClassVar[int | None] = None

    def __init__(
        self, settings: Settings, partition: int, *, generation: int = 0, scratch: Path | None = None, offset: int = 0
    ) -> None:
        self.partition = partition
        self.generation = generation
        self.next_offset = offset
        self.clock_ms = 0
        self.nth = self.digest = 0

    @classmethod
    def restore(
        cls, settings: Settings, partition: int, meta: Mapping[str, Any], pieces: Mapping[str, bytes], **kwargs: Any
    ) -> RecordingShard:
        """The shard as it was at the snapshot."""
        del kwargs["artifacts"]
        shard = cls(settings, partition, offset=meta["next_offset"], **kwargs)
        shard.nth, shard.digest = json.loads(pieces["state"])
        return shard

    waiting = waiting_samples = 0

    def gathered(self, *, statements: bool = True) -> Gathered:
        """Nothing ever waits."""
        return NOTHING_GATHERED

    def process(self, batch: RecordBatch, *, gather: bool) -> Iterator[ShardOutput]:
        """One row per record."""
        for first in range(0, max(len(batch), 1), ROWS):
            rows = [self._row(batch, index) for index in range(first, min(first + ROWS, len(batch)))]
            time.sleep(OUTPUT_S)
            counts = RecordCounts((len(rows),) + (0,) * (len(EVENT_TYPES) - 1), (0,) * len(EVENT_TYPES), 0, 0, 0, 0, 0)
            last = first + ROWS >= len(batch)
            if last:
                self.next_offset = batch.end
            framed = FramedRows.of(pa.RecordBatch.from_pylist(rows, SCHEMA))
            known_ms = rows[-1]["published_ms"] if rows else 0
            ids = Text.of([b"%d" % row["offset"] for row in rows])
            yield ShardOutput(framed, known_ms, NOTHING_GATHERED, [], counts, NOTHING_JUDGED, NO_NOISE, last, ids)

    def announced(self, model: str) -> int:
        """Nothing is ever announced to it."""
        return 0

    latest_known = announced

    def version(self, model: str) -> str:
        """Likewise."""
        return BUILTIN_MODEL

    def _row(self, batch: RecordBatch, index: int) -> dict[str, int]:
        if batch.offsets[index] == self.fail_at:
            raise ValueError("a fault")
        if batch.offsets[index] == self.stall_at:
            time.sleep(1e6)
        self.nth += 1
        self.digest = zlib.crc32(batch.value(index) or b"", self.digest)
        return {
            "partition": self.partition,
            "offset": int(batch.offsets[index]),
            "revision": 0,
            "generation": self.generation,
            "published_ms": int(batch.timestamps_ms[index]),
            "nth": self.nth,
            "digest": self.digest,
        }

    def copy_ahead(self) -> bool:
        """There is nothing to it."""
        return False

    def snapshot(self) -> Snapshot:
        """State as of ``next_offset``."""
        state = json.dumps([self.nth, self.digest]).encode()
        meta = {"next_offset": self.next_offset, "announced": 0, "model_version": BUILTIN_MODEL}
        return Snapshot(self.next_offset, meta, {"state": state}, frozenset({"state"}))

    def stats(self) -> ShardStats:
        """Figures for metrics: none."""
        zeros = (0,) * len(EVENT_TYPES)
        counts = RecordCounts(zeros, zeros, 0, 0, 0, 0, 0)
        return ShardStats(0, 0, {}, {}, 0, (0,) * (len(WEIGHT_EDGES) + 1), 1.0, 1.0, 0, {}, counts)

    def close(self) -> None:
        """Nothing to free."""


def main() -> int:
    """Run the worker with the settings of the environment; some arguments as in ``sie worker``."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--fresh", action="store_true")
    arguments.add_argument("--fail-at", type=int, help="Offset at which the shard has a fault.")
    arguments.add_argument("--stall-at", type=int, help="Offset at which the shard never returns.")
    arguments.add_argument("--accept-repartition", action="store_true")
    arguments.add_argument("--accept-new-topic", action="store_true")
    given = arguments.parse_args()
    RecordingShard.fail_at, RecordingShard.stall_at = given.fail_at, given.stall_at
    ownership.Shard = RecordingShard  # type: ignore[assignment,misc]
    ownership.Layout = SimpleNamespace(of=lambda _: Layout())  # type: ignore[assignment,misc]  # it has no records
    startup.warm_up = lambda _: None
    try:
        overrides = Overrides(
            fresh=given.fresh,
            accept_repartition=given.accept_repartition,
            accept_new_topic=given.accept_new_topic,
        )
        app.serve(load(), overrides)
    except SieError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
