"""Layout 2 of the messages of weights and samples: what repeats, or follows from the rest, is left out.

A message is an Arrow IPC stream in either layout. One of layout 1 has the contract's columns. One of layout 2 has the
entry ``layout`` in its schema's metadata (``Head``, as JSON), and its columns are matrices with a row per row:

- ``whole``, uint32: offset and event time, each less what the head says; and ms from the event until the statement
  became known, unless that is the same in every row
- ``codes``, uint8: event type; label (2: unknown, and 4 more in a final row of weights); revision; and how many bytes
  the event id has, and in weights user id and item id
- ``numbers``, float32: the columns that the head names
- of samples ``hashes``, uint64 (user, item, category), ``features``, uint16, and ``dense``, float32
- ``ids``, uint8: the ids of all rows as UTF-8, one behind the other, and zeros until the rows are of one length

Where a number does not fit, its whole matrix is of a wider type (int64, int32, uint32). `sie_online.unpacking` gives
the contract's columns back, for every reader to the bit: published numbers are float32 in both layouts
(`sie_online.shard.pack`), and ``f_normaliser`` is what the other parts leave of log weight. Readers pass over what they
do not know of the head, and hand on columns that they do not know. Imports numpy and pyarrow only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sie_online import ipc
from sie_online.contracts import INT64_MAX, PARTITION_MAX

LAYOUT = b"layout"
"""The metadata's entry that a message of layout 2 has and one of layout 1 has not."""

SCORES = {
    "weights": ("probability", "feature_score", "noise_probability", "weight", "uncertainty"),
    "samples": ("probability", "feature_score", "noise_probability", "weight"),
}
"""The first columns of ``numbers``, by what a message has rows of; parts of log weight follow."""

LABEL_UNKNOWN, FINAL = 2, 4
"""In the code of a label: not known; more where the row is a final one of weights."""

N_CODES = {"weights": 6, "samples": 4}
LEFT = "f_normaliser"
"""The part of log weight that is what the others leave."""

_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # of an Arrow IPC stream
_BOUNDED = ("generation", "offset", "time_ms", "delay_ms")


class Head(NamedTuple):
    """What all rows of a message have in common; in the schema's metadata as JSON."""

    version: int
    rows: str
    """``weights`` or ``samples``."""
    partition: int
    generation: int
    model_version: str
    """Empty in samples, which do not say."""
    offset: int
    time_ms: int
    """What offsets and event times are counted from."""
    delay_ms: int
    """Until every row's statement became known; 0 where ``whole`` says it of each."""
    numbers: tuple[str, ...]
    """Columns of ``numbers``."""
    zero: tuple[str, ...]
    """Parts of log weight that are 0 in every row."""

    @classmethod
    def parse(cls, text: bytes) -> Head:
        """Raises ``ValueError`` where it is none."""
        try:
            given = json.loads(text)
            values = {name: given[name] for name in cls._fields}  # there may be more
            head = cls(**values | {name: tuple(given[name]) for name in ("numbers", "zero")})
        except (TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"its layout is described in no way we know: {ipc.in_short(error)}") from None
        head._check()
        return head

    def _check(self) -> None:
        texts = (self.rows, self.model_version, *self.numbers, *self.zero)
        bounds = {"partition": PARTITION_MAX} | dict.fromkeys(_BOUNDED, INT64_MAX)
        if self.version != 2 or not all(isinstance(text, str) for text in texts) or self.rows not in SCORES:
            raise ValueError(f"layout {self.version!r:.20} is none that we know")
        for name, most in bounds.items():
            value = getattr(self, name)
            if type(value) is not int or not -most <= value <= most:
                raise ValueError(f"{name} of its layout is no number, or out of bounds")


class Framing(NamedTuple):
    """The schema of a message, and the bytes that say it."""

    schema: pa.Schema
    message: bytes

    def frame(self, columns: Sequence[pa.Array]) -> bytes:
        """One message: schema and one record batch as an Arrow IPC stream."""
        batch = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        return b"".join((self.message, batch.serialize(), _END))


@lru_cache(maxsize=1_024)
def framing(head: Head, matrices: tuple[tuple[str, int, str], ...], common: tuple[tuple[str, str], ...]) -> Framing:
    """The framing of messages with ``head``; kept, for most messages of a shard have the same.

    ``matrices`` are name, number of columns and numpy type of each, ``common`` the metadata that layout 1 has, too.
    """
    kinds = [(name, n, pa.from_numpy_dtype(np.dtype(dtype))) for name, n, dtype in matrices]
    fields = [
        pa.field(name, pa.list_(pa.field("item", kind, nullable=False), n), nullable=False) for name, n, kind in kinds
    ]
    text = json.dumps(head._asdict(), separators=(",", ":"))
    schema = pa.schema(fields, metadata={LAYOUT.decode(): text, **dict(common)})
    return Framing(schema, schema.serialize().to_pybytes())


def matrix_array(values: NDArray[Any], kind: Any) -> pa.Array:
    """The rows of ``values`` (n, k), C-contiguous, as lists of type ``kind``; nothing is copied."""
    n, width = values.shape
    flat = pa.Array.from_buffers(kind.value_type, n * width, [None, pa.py_buffer(values)])
    return pa.Array.from_buffers(kind, n, [None], children=[flat])
