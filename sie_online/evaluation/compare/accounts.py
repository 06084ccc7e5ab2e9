"""Which samples are of established accounts, as it was known at the event.

Held-out labels carry the same noise as those that were learned: whoever learns from bots predicts bots best, and on all
samples even perfect weights may look harmful. Crawlers and throw-away accounts rarely become established.
The guard judges by the same accounts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sie_online.evaluation.compare.settled import Ints, places
from sie_online.importance.guard import ESTABLISHED_ACTS, ESTABLISHED_EVENTS, ESTABLISHED_MS

COLUMNS = ["partition", "offset", "revision", "event_type", "event_time_ms", "user_id"]


def established(rows: Path, sample_types: Sequence[str], partition: NDArray[Any], offset: Ints) -> NDArray[np.bool_]:
    """Whether the events at ``partition`` and ``offset`` (n,) were of established accounts, (n,).

    ``rows`` is a table as `sie_online.evaluation.run` writes it, sorted by partition and offset.
    """
    table = pq.read_table(rows, columns=COLUMNS)
    table = table.filter(pa.array(table["revision"].to_numpy() == 0))
    user = table["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    kind = table["event_type"].cast(pa.string()).combine_chunks()
    is_act = ~pc.is_in(kind, value_set=pa.array(sample_types, pa.string())).to_numpy(zero_copy_only=False)
    time_ms = table["event_time_ms"].to_numpy()
    known = earlier(user, np.ones(len(user), np.int64)) >= ESTABLISHED_EVENTS
    known &= earlier(user, is_act.astype(np.int64)) >= ESTABLISHED_ACTS
    known &= time_ms - time_ms[np.unique(user, return_index=True)[1]][user] > ESTABLISHED_MS
    place = places(table["partition"].to_numpy(), table["offset"].to_numpy())
    return known[np.searchsorted(place, places(partition, offset))]


def earlier(group: Ints, value: Ints) -> Ints:
    """Sum of ``value`` over the rows of the same ``group`` (codes from 0 on) before each row, (n,)."""
    order = np.argsort(group, kind="stable")
    total = np.concatenate([[0], np.cumsum(value[order])])
    size = np.bincount(group)
    out = np.empty(len(group), np.int64)
    out[order] = total[:-1] - np.repeat(total[np.cumsum(size) - size], size)
    return out
