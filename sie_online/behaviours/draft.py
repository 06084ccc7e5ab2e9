"""What one behaviour does to a log: events that it adds, and events that it moves to another account or time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sie_online.behaviours.log import Bools, Floats, Ints
from sie_online.behaviours.shop import Shop


class Draft(NamedTuple):
    """New accounts are numbered from ``shop.users`` on; ``at`` as in `sie_online.behaviours.shop`."""

    user: Ints  # (a,) of what is added
    item: Ints  # (a,)
    etype: Ints  # (a,)
    at: Floats  # (a,)
    rows: Ints  # (m,) of the log that are moved, each once
    moved_user: Ints  # (m,)
    moved_at: Floats  # (m,)

    @property
    def events(self) -> int:
        """How many it adds or moves."""
        return len(self.user) + len(self.rows)

    def adding(self, kept: Bools | Ints) -> Draft:
        """The same but for what it adds: that only which is ``kept``."""
        return self._replace(user=self.user[kept], item=self.item[kept], etype=self.etype[kept], at=self.at[kept])

    def moving(self, kept: Bools | Ints) -> Draft:
        """The same but for what it moves: that only which is ``kept``."""
        moved_user, moved_at = self.moved_user[kept], self.moved_at[kept]
        return self._replace(rows=self.rows[kept], moved_user=moved_user, moved_at=moved_at)


_NO_INTS, _NO_FLOATS = np.empty(0, np.int64), np.empty(0, np.float64)
NONE = Draft(_NO_INTS, _NO_INTS, _NO_INTS, _NO_FLOATS, _NO_INTS, _NO_INTS, _NO_FLOATS)
"""A behaviour that found nothing to do."""


def added(user: ArrayLike, item: ArrayLike, etype: ArrayLike, at: ArrayLike) -> Draft:
    """Events that are added; what is no column counts for all of them."""
    columns = np.broadcast_arrays(user, item, etype, at)
    return NONE._replace(
        user=columns[0].astype(np.int64),
        item=columns[1].astype(np.int64),
        etype=columns[2].astype(np.int64),
        at=columns[3].astype(np.float64),
    )


def moved(shop: Shop, rows: Ints, *, user: ArrayLike | None = None, at: ArrayLike | None = None) -> Draft:
    """Rows of the log that change their account, their time, or both."""
    return NONE._replace(
        rows=rows,
        moved_user=np.broadcast_to(shop.log.user[rows] if user is None else user, rows.shape).astype(np.int64),
        moved_at=np.broadcast_to(shop.at[rows] if at is None else at, rows.shape).astype(np.float64),
    )


def joined(drafts: Sequence[Draft]) -> Draft:
    """All of them as one; at least one."""
    return Draft(
        user=np.concatenate([each.user for each in drafts]),
        item=np.concatenate([each.item for each in drafts]),
        etype=np.concatenate([each.etype for each in drafts]),
        at=np.concatenate([each.at for each in drafts]),
        rows=np.concatenate([each.rows for each in drafts]),
        moved_user=np.concatenate([each.moved_user for each in drafts]),
        moved_at=np.concatenate([each.moved_at for each in drafts]),
    )


def within(shop: Shop, draft: Draft) -> Draft:
    """``draft`` without what would lie outside the log's time."""
    end = shop.span + shop.tick_ms
    adding, moving = (draft.at >= 0) & (draft.at < end), (draft.moved_at >= 0) & (draft.moved_at < end)
    return draft.adding(adding).moving(moving)
