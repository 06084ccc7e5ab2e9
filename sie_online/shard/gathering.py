"""What a shard has to say and may wait: settled samples and statements about entities, gathered over many outputs.

A message of one sample costs as much to make, send and read as one of a hundred, and nobody waits for it as one waits
for a weight. Of several statements about an entity only the newest counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from sie_online.ingest.events import EventBatch
from sie_online.shard.output import Out, SettledSamples
from sie_online.shard.stated import StatedEntities, Statements


class Gathered(NamedTuple):
    """Rows of ``sie.samples.v1`` in the order of settlement, and the records of ``sie.entities.v1``."""

    samples: pa.RecordBatch
    entities: Statements


class Gathering:
    """Takes from the output buffers what may wait, and hands it on when it is asked for."""

    def __init__(self, partition: int) -> None:
        self._settled: list[SettledSamples] = []
        self._stated = StatedEntities(partition)
        self._samples = 0

    def __len__(self) -> int:
        """Samples and statements that wait."""
        return self._samples + len(self._stated)

    def take(self, out: Out, events: EventBatch, version: str) -> None:
        """Copy what is in ``out``; ``version`` is the model's that was in force."""
        control = out.control[0]
        if control["settled"]:
            self._take_settled(out, int(control["rows"]), int(control["settled"]))
        self._stated.take(out.entities[: int(control["entities"])], events, version)

    def settled(self) -> SettledSamples | None:
        """The samples that wait, which wait no longer; None if there are none."""
        parts, self._settled, self._samples = self._settled, [], 0
        if len(parts) <= 1:
            return parts[0] if parts else None
        return SettledSamples(
            rows=np.concatenate([part.rows for part in parts]),
            keys=np.concatenate([part.keys for part in parts]),
            event_ids=[event_id for part in parts for event_id in part.event_ids],
            features=np.concatenate([part.features for part in parts]),
            dense=np.concatenate([part.dense for part in parts]),
        )

    def stated(self) -> Statements:
        """The newest statement about each entity, which wait no longer."""
        return self._stated.pop()

    def _take_settled(self, out: Out, n_rows: int, n: int) -> None:
        keys = out.settled[:n].copy()
        which = keys["row"]
        text = out.event_ids[: out.event_at[n_rows]].tobytes()
        edges = zip(out.event_at[which].tolist(), out.event_at[which + 1].tolist(), strict=True)
        event_ids = [text[first:last] for first, last in edges]
        self._settled.append(
            SettledSamples(out.rows[which], keys, event_ids, out.features[:n].copy(), out.dense[:n].copy())
        )
        self._samples += n
