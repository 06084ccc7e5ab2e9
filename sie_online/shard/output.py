"""What one pass of the event loop has to say, first as the kernel's rows, then as Arrow batches.

Owns the bounded output buffers of a shard and their translation into the topics' schemas.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sie_online.contracts import EVENT_TYPES, FACTORS, WEIGHTS, samples_schema, weights_schema
from sie_online.features import N_DENSE, N_FEATURES, schema_hash
from sie_online.jit import kernel

MAX_ROWS = 2_048
"""Rows per output, unless one event alone needs more."""
MAX_ENTITIES = 3 * 1_024

DONE, DRAIN, GROW, ENLARGE = range(4)
"""Why the loop stopped: at the end; output full; ring of open views full; one event needs a larger output."""

_FACTOR_COLUMNS = tuple(f"f_{name}" for name in FACTORS)
INTEGERS = tuple(field.name for field in WEIGHTS if field.type == pa.int64() and field.name != "generation")
REALS = tuple(field.name for field in WEIGHTS if field.type == pa.float64() and field.name not in _FACTOR_COLUMNS)
"""Columns that a kernel writes as they are published: `sie_online.shard.emit`."""

STATEMENT = np.dtype(
    [
        *((name, "i8") for name in INTEGERS),
        ("view", "i8"),  # sequence number of the open view, -1 for a record that is no sample
        ("revision", "i4"),
        ("label", "i4"),  # -1 unknown
        ("etype", "i4"),
        ("final", "i4"),
        *((name, "f8") for name in REALS),  # NaN: unknown
        ("factors", "f8", (len(FACTORS),)),
    ]
)
"""One statement as the kernels write it."""

STATEMENT_WORDS = {name: offset // 8 for name, (_, offset, *_) in (STATEMENT.fields or {}).items()}
"""Where each field begins in a statement, in words of eight bytes."""

EVENT_TYPE = WEIGHTS.field("event_type").type
EVENT_TYPE_NAMES = pa.array(EVENT_TYPES, pa.string())

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
        features=np.zeros((rows, N_FEATURES), np.uint32),
        dense=np.zeros((rows, N_DENSE), np.float32),
        entities=np.zeros(MAX_ENTITIES, STATED_ENTITY),
    )


class SettledSamples(NamedTuple):
    """Settled samples as the kernel left them, copied from the buffers; all of length n."""

    rows: NDArray[np.void]
    keys: NDArray[np.void]
    event_ids: list[bytes]
    features: NDArray[np.uint32]
    dense: NDArray[np.float32]


@kernel
def has_room(out: Any, rows: int) -> bool:
    """Whether ``rows`` more statements and one event's entities fit; else notes why not."""
    control = out.control[0]
    if control.rows + rows <= out.rows.shape[0] and control.entities + 3 <= out.entities.shape[0]:
        return True
    control.stop = DRAIN if control.rows > 0 or control.entities > 0 else ENLARGE
    control.needed = rows
    return False


class Renderer:
    """Turns filled buffers into the topics' rows for one shard.

    Most batches of a live stream have a handful of rows: what they cost is the making of some thirty Arrow arrays. So
    numbers are slices of one copy, and columns that say the same in every row slices of one array kept.
    """

    def __init__(self, topic: str, partition: int) -> None:
        self._partition = partition
        self._weights = weights_schema(topic)
        self._samples = samples_schema(topic, N_FEATURES, N_DENSE, schema_hash())
        self._no_weights, self._no_samples = (
            pa.RecordBatch.from_pylist([], schema=schema) for schema in (self._weights, self._samples)
        )
        self._same: dict[str, tuple[int | str, pa.Array]] = {}

    def weights(self, out: Out, generation: int, version: str) -> pa.RecordBatch:
        """All statements in ``out``, in order of emission; ``version`` is the model's that was in force."""
        n = int(out.control["rows"][0])
        if not n:
            return self._no_weights
        rows = out.rows[:n]
        numbers = _Numbers(rows)
        known = pa.py_buffer(np.packbits(rows["label"] >= 0, bitorder="little"))
        columns = self._shared(rows, numbers, generation, self._weights)
        columns |= {
            "event_id": _text(out.event_at, out.event_ids, n),
            "final": pa.array(rows["final"] != 0),
            "model_version": self._constant("model_version", version, n),
            "user_id": _text(out.user_at, out.user_ids, n),
            "item_id": _text(out.item_at, out.item_ids, n),
            "label": pa.Array.from_buffers(pa.int8(), n, [known, pa.py_buffer(rows["label"].astype(np.int8))]),
            "error": numbers.reals("error", valid=known),
        }
        return pa.RecordBatch.from_arrays([columns[name] for name in self._weights.names], schema=self._weights)

    def samples(self, settled: SettledSamples | None, generation: int) -> pa.RecordBatch:
        """The rows of ``settled``."""
        if settled is None:
            return self._no_samples
        rows, keys = settled.rows, settled.keys
        numbers = _Numbers(rows)
        columns = self._shared(rows, numbers, generation, self._samples)
        columns |= {
            "event_id": pa.array(settled.event_ids, pa.string()),
            "settled_ms": numbers.integers("published_ms"),
            "label": _plain(rows["label"].astype(np.int8)),
            "user_hash": _plain(keys["user_key"]),
            "item_hash": _plain(keys["item_key"]),
            "category_hash": _plain(keys["category_key"]),
            "features": _lists(settled.features),
            "dense": _lists(settled.dense),
        }
        return pa.RecordBatch.from_arrays([columns[name] for name in self._samples.names], schema=self._samples)

    def _shared(
        self, rows: NDArray[np.void], numbers: _Numbers, generation: int, schema: pa.Schema
    ) -> dict[str, pa.Array]:
        """The columns of ``schema`` that say the same in weights and samples, without their ids."""
        n, names = len(rows), set(schema.names)
        etypes = pa.py_buffer(rows["etype"].astype(np.int8))
        return {
            "event_type": pa.DictionaryArray.from_buffers(EVENT_TYPE, n, [None, etypes], EVENT_TYPE_NAMES),
            "partition": self._constant("partition", self._partition, n),
            "revision": _plain(rows["revision"]),
            "generation": self._constant("generation", generation, n),
            **{name: numbers.integers(name) for name in INTEGERS if name in names},
            **{name: numbers.reals(name) for name in REALS if name in names},
            **{name: numbers.reals("factors", at) for at, name in enumerate(_FACTOR_COLUMNS)},
        }

    def _constant(self, name: str, value: int | str, n: int) -> pa.Array:
        """``value`` in each of ``n`` rows of column ``name`` of the weights."""
        known, rows = self._same.get(name, (None, pa.nulls(0)))
        if known != value or len(rows) < n:
            kind = self._weights.field(name).type
            rows = pa.repeat(pa.scalar(value), max(n, MAX_ROWS))
            self._same[name] = (
                value,
                rows.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else rows.cast(kind),
            )
        return self._same[name][1].slice(0, n)


class _Numbers:
    """The eight-byte fields of statements as Arrow arrays, slices of one copy that has them as columns.

    An array each, made by numpy and then by Arrow, is most of what a batch of few rows costs.
    """

    def __init__(self, rows: NDArray[np.void]) -> None:
        self._n = len(rows)
        self._words = pa.py_buffer(rows.view(np.uint64).reshape(self._n, -1).T.copy())  # the rows are used again

    def integers(self, name: str) -> pa.Array:
        return self._slice(pa.int64(), name, 0, None)

    def reals(self, name: str, at: int = 0, valid: pa.Buffer | None = None) -> pa.Array:
        """Field ``name``, its ``at``-th number if it has several; null where ``valid`` (a bitmap) says so."""
        return self._slice(pa.float64(), name, at, valid)

    def _slice(self, kind: pa.DataType, name: str, at: int, valid: pa.Buffer | None) -> pa.Array:
        first = (STATEMENT_WORDS[name] + at) * 8 * self._n
        return pa.Array.from_buffers(kind, self._n, [valid, self._words.slice(first, 8 * self._n)])


def _plain(column: Any) -> pa.Array:
    """An Arrow array of a strided column (copied: the buffers are used again)."""
    return pa.array(column.copy())


def _lists(matrix: Any) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.reshape(-1)), matrix.shape[1])


def _text(offsets: Any, data: Any, n: int) -> pa.Array:
    """An Arrow string array of the first ``n`` ids."""
    return pa.StringArray.from_buffers(
        n, pa.py_buffer(offsets[: n + 1].tobytes()), pa.py_buffer(data[: offsets[n]].tobytes())
    )
