"""What the page shows of published statements: an example, and who was weighed down most. Sees a sample of them.

The line offers every output, which costs it a comparison and at times an append; reading them is done beside it, once a
second, and bounded: where more is published than is read, a share of the outputs is passed over by lot. Ids are those
that are published, pseudonyms where ``privacy.hmac_key_file`` is set; where ids are not to be shown, none leave here.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa

from sie_online.client.rows import weight_rows
from sie_online.unpacking import FramedRows
from streams.observe.page.lowest import Lowest, Weighed
from streams.observe.page.statement import Statement, explained

LOOK_S = 1.0
LOOK_ROWS = 1_000
"""Statements read in a second, on the mean."""
WAITING_ROWS = 8 * LOOK_ROWS
"""No output is taken in while so many wait: after a quiet second the share is 1, whatever comes next."""
RENEW_S = 5.0
EXAMPLE_S = 15.0
"""An example stands so long: a person has to read it."""
MEMORY = 0.9995
"""Of what was offered and read, per look: half of it is of the last 23 minutes."""


class Shown(msgspec.Struct, frozen=True):
    """What the page gets. ``read_share``: of the statements published lately, how many were read; None: none were.

    ``ids``: whether ids are shown; else they are empty.
    """

    ids: bool
    users: list[Weighed] = []
    items: list[Weighed] = []
    example: Statement | None = None
    read_share: float | None = None


class Showcase:
    """``offer`` and ``taken`` are the line's thread's; ``read`` may be any other's, one at a time.

    Attributes:
        shown: what there is to show as of the last ``read``; replaced, never changed.
    """

    def __init__(self, *, ids: bool, lots: random.Random | None = None) -> None:
        self.shown = Shown(ids)
        self._lots = lots or random.Random()  # noqa: S311 - which outputs are looked at is no secret
        self._waiting: list[FramedRows] = []
        self._waiting_rows = 0
        self._offered_rows = 0
        self._share = 1.0
        self._offered, self._read = 0.0, 0.0  # lately
        self._lowest = Lowest()
        self._renewed_at = self._example_at = -EXAMPLE_S

    def offer(self, rows: FramedRows) -> None:
        """An output was published: its weights. Keeps a reference, or does nothing."""
        n = len(rows)
        self._offered_rows += n
        if n and self._waiting_rows < WAITING_ROWS and (self._share >= 1.0 or self._lots.random() < self._share):
            self._waiting.append(rows)
            self._waiting_rows += n

    def taken(self) -> Sequence[FramedRows]:
        """What was kept of the offers since the last time, to be read; the next second's share follows from it."""
        taken, offered = self._waiting, self._offered_rows
        self._waiting, self._waiting_rows, self._offered_rows = [], 0, 0
        self._share = min(1.0, LOOK_ROWS / offered) if offered else 1.0
        self._offered = MEMORY * self._offered + offered
        self._read = MEMORY * self._read + sum(len(rows) for rows in taken)
        return taken

    def read(self, taken: Sequence[FramedRows], at: float) -> None:
        """Look through what was ``taken`` at ``at``, s since 1970, and renew what is shown where that is due."""
        batches = [rows.batch for rows in taken]
        for batch in batches:
            self._lowest.take(batch, at)
        if at - self._renewed_at >= RENEW_S:
            self._renewed_at = at
            self.shown = Shown(
                ids=self.shown.ids,
                users=[self._named(each) for each in self._lowest.most("user", at)],
                items=[self._named(each) for each in self._lowest.most("item", at)],
                example=self._example(batches, at),
                read_share=self._read / self._offered if self._offered else None,
            )

    def _example(self, batches: Sequence[pa.RecordBatch], at: float) -> Statement | None:
        """The newest first statement, once the one that is shown has stood long enough."""
        if not batches or at - self._example_at < EXAMPLE_S:
            return self.shown.example
        self._example_at, newest = at, batches[-1]
        first = np.flatnonzero(newest.column("revision").to_numpy() == 0)
        (row,) = weight_rows(newest.slice(int(first[-1]) if len(first) else len(newest) - 1, 1))
        found = explained(row)
        return found if self.shown.ids else msgspec.structs.replace(found, event_id="", user_id="", item_id="")

    def _named(self, weighed: Weighed) -> Weighed:
        return weighed if self.shown.ids else msgspec.structs.replace(weighed, id="")
