"""What a shard has to say and may wait: settled samples, statements about entities and lists of recommendations,
gathered over many outputs.

A message of one sample costs as much to make, send and read as one of a hundred, and nobody waits for it as one waits
for a weight. Of several statements about an entity, or lists of a user, only the newest counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sie_online.ingest.events import EventBatch
from sie_online.shard.lists import MadeLists, WaitingLists
from sie_online.shard.output import Out
from sie_online.shard.pack import take_ids
from sie_online.shard.render import SettledSamples
from sie_online.shard.stated import NO_STATEMENTS, StatedEntities, Statements
from sie_online.unpacking import FramedRows

MANY_SAMPLES = 2_048
"""Enough for a message in which what it has beside its rows is next to nothing."""
MANY_STATEMENTS = 16_384
"""Of one entity only the newest counts, so these are the fewer the longer they wait. Bounds memory, some 2 MB a shard,
and how long it takes to say them all at a checkpoint."""


MANY_LISTS = 2_048
"""The same of lists, each some ten times as long."""


class Gathered(NamedTuple):
    """Rows of ``sie.samples.v1`` in the order of settlement, and the records of ``sie.entities.v1`` and
    ``sie.recs.v1``."""

    framed: FramedRows
    entities: Statements
    lists: Statements = NO_STATEMENTS

    @property
    def samples(self) -> pa.RecordBatch:
        """The samples in the columns of ``sie.samples.v1``, unpacked anew each time."""
        return self.framed.batch


class Gathering:
    """Takes from the output buffers what may wait, and hands it on when it is asked for."""

    def __init__(self, partition: int) -> None:
        self._settled: list[SettledSamples] = []
        self._stated = StatedEntities(partition)
        self._lists = WaitingLists(partition)
        self._made = 0
        self.samples = 0
        """Samples that wait."""

    @property
    def statements(self) -> int:
        """Statements and lists that wait."""
        return len(self._stated) + len(self._lists)

    @property
    def has_many_samples(self) -> bool:
        """Whether more samples would make a message no cheaper."""
        return self.samples >= MANY_SAMPLES

    @property
    def has_many_statements(self) -> bool:
        """Whether as many statements wait as may."""
        return len(self._stated) >= MANY_STATEMENTS or len(self._lists) >= MANY_LISTS

    def take(self, out: Out, events: EventBatch, version: str) -> None:
        """Copy what is in ``out``; ``version`` is the model's that was in force."""
        control = out.control[0]
        if control["settled"]:
            self._take_settled(out, int(control["rows"]), int(control["settled"]))
        self._stated.take(out.entities[: int(control["entities"])], events, version)

    def take_lists(self, made: Iterable[MadeLists], events: EventBatch) -> None:
        """Copy lists that were made at some of ``events``."""
        for each in made:
            self._lists.take(each, events.user_id)
            self._made += len(each.rows)

    def lists_made(self) -> int:
        """How many lists were taken since this was asked for."""
        made, self._made = self._made, 0
        return made

    def settled(self) -> SettledSamples | None:
        """The samples that wait, which wait no longer; None if there are none."""
        parts, self._settled, self.samples = self._settled, [], 0
        if len(parts) <= 1:
            return parts[0] if parts else None
        return SettledSamples(
            rows=_joined([part.rows for part in parts]),
            keys=_joined([part.keys for part in parts]),
            ids_at=np.concatenate([[0], *(np.diff(part.ids_at) for part in parts)]).cumsum(dtype=np.int32),
            ids=np.concatenate([part.ids for part in parts]),
            features=np.concatenate([part.features for part in parts]),
            dense=np.concatenate([part.dense for part in parts]),
        )

    def stated(self) -> Statements:
        """The newest statement about each entity, which wait no longer."""
        return self._stated.pop()

    def recommended(self, generation: int) -> Statements:
        """The newest list of each user, which wait no longer."""
        return self._lists.pop(generation)

    def _take_settled(self, out: Out, n_rows: int, n: int) -> None:
        keys = out.settled[:n].copy()
        ids_at, ids = np.empty(n + 1, np.int32), np.empty(out.event_at[n_rows], np.uint8)
        take_ids(out.event_at, out.event_ids, keys, ids_at, ids)
        rows, features, dense = out.rows[keys["row"]], out.features[:n].copy(), out.dense[:n].copy()
        self._settled.append(SettledSamples(rows, keys, ids_at, ids[: ids_at[n]].copy(), features, dense))
        self.samples += n


def _joined(parts: list[NDArray[np.void]]) -> NDArray[np.void]:
    """One after the other; as bytes, since numpy compares the fields of each part anew, which takes longer than all."""
    dtype = parts[0].dtype
    return np.concatenate([part.view(np.uint8) for part in parts]).view(dtype)
