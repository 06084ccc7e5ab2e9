"""What one pass of the event loop has to say, as the kernels write it: the bounded output buffers of a shard."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import FACTORS
from sie_online.features import N_DENSE, N_FEATURES
from sie_online.jit import kernel
from sie_online.recommender.kernels import TWINS

MAX_ROWS = 8_192
"""Rows per output, unless one event alone needs more: those of the 4,000 records that a worker is handed at a time."""
MAX_ENTITIES = 8_192

DONE, DRAIN, CLAIM, ENLARGE = range(4)
"""Why the loop stopped: at the end; output full; no disk for the next open view; one event needs a larger output."""

REALS = ("probability", "error", "feature_score", "noise_probability", "weight", "uncertainty")
"""Scores of a statement; an error is NaN where the label is not known."""

STATEMENT = np.dtype(
    [
        *((name, "i8") for name in ("offset", "event_time_ms", "published_ms")),
        ("view", "i8"),  # sequence number of the open view, -1 for a record that is no sample
        ("revision", "i4"),
        ("label", "i4"),  # -1 unknown
        ("etype", "i4"),
        ("final", "i4"),
        *((name, "f8") for name in REALS),
        ("factors", "f8", (len(FACTORS),)),
    ]
)
"""One statement as the kernels write it."""

STATED_ENTITY = np.dtype(
    [
        ("kind", "i8"),
        ("event", "i8"),  # row of the batch that carries the id
        ("n_events", "f8"),
        ("sum_weight", "f8"),
        ("noise_alpha", "f8"),
        ("noise_beta", "f8"),
        ("offset", "i8"),
    ]
)

SETTLED_KEYS = np.dtype([("user_key", "u8"), ("item_key", "u8"), ("category_key", "u8"), ("row", "i8")])

CONTROL = np.dtype([("rows", "i8"), ("settled", "i8"), ("entities", "i8"), ("stop", "i8"), ("needed", "i8")])


class Out(NamedTuple):
    """Buffers that the event loop fills; ``control[0]`` counts what is in them."""

    control: NDArray[np.void]
    rows: NDArray[np.void]
    event_ids: NDArray[np.uint8]
    user_ids: NDArray[np.uint8]
    item_ids: NDArray[np.uint8]
    event_at: NDArray[np.int32]
    user_at: NDArray[np.int32]
    item_at: NDArray[np.int32]
    settled: NDArray[np.void]
    predicted: NDArray[np.float64]  # by either twin, at the event, of what settled
    features: NDArray[np.uint32]
    dense: NDArray[np.float32]
    entities: NDArray[np.void]


def new_out(rows: int, id_bytes: int) -> Out:
    """Room for ``rows`` statements whose ids have at most ``id_bytes`` bytes each."""
    return Out(
        control=np.zeros(1, CONTROL),
        rows=np.zeros(rows, STATEMENT),
        event_ids=np.zeros(rows * id_bytes, np.uint8),
        user_ids=np.zeros(rows * id_bytes, np.uint8),
        item_ids=np.zeros(rows * id_bytes, np.uint8),
        event_at=np.zeros(rows + 1, np.int32),
        user_at=np.zeros(rows + 1, np.int32),
        item_at=np.zeros(rows + 1, np.int32),
        settled=np.zeros(rows, SETTLED_KEYS),
        predicted=np.zeros((rows, TWINS), np.float64),
        features=np.zeros((rows, N_FEATURES), np.uint32),
        dense=np.zeros((rows, N_DENSE), np.float32),
        entities=np.zeros(MAX_ENTITIES, STATED_ENTITY),
    )


@kernel
def has_room(out: Any, rows: int) -> bool:
    """Whether ``rows`` more statements and one event's entities fit; else notes why not."""
    control = out.control[0]
    if control.rows + rows <= out.rows.shape[0] and control.entities + 3 <= out.entities.shape[0]:
        return True
    control.stop = DRAIN if control.rows > 0 or control.entities > 0 else ENLARGE
    control.needed = rows
    return False
