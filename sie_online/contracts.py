"""What the topics hold: event types and their bounds, Arrow schemas, factor and header names; settings of fine-tunes.

Imports pyarrow and nothing else of weight.

Within a major version (``.v1``) columns are only ever added, at the end. ``tests/contract`` holds golden files of
every topic, which must decode to the same table for ever. How messages of weights and samples are laid out is apart
from that: ``sie_online.packing`` has the layout that leaves out what these columns repeat.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import pyarrow as pa

CODE_VERSION = "0.2.0"

EventType = Literal["impression", "view", "click", "cart", "favorite", "purchase", "return", "rating"]
EVENT_TYPES: tuple[str, ...] = get_args(EventType)
"""Event types in code order: an event's uint8 code is its index here."""

SAMPLE_TYPES: tuple[EventType, ...] = ("impression", "view", "click")
CONVERSION_TYPES: tuple[EventType, ...] = ("purchase",)
"""Which get a label and which make earlier samples positive, unless the settings say otherwise."""

HEARTBEAT = "heartbeat"
"""Type of a record that only moves its partition's clock: ``{"event_type": "heartbeat", "timestamp_ms": …}``."""

ERASE = "erase"
"""Type of a record that makes its partition forget a user: ``{"event_type": "erase", "user_id": …}``."""

TYPE_CODES = {name: code for code, name in enumerate((*EVENT_TYPES, HEARTBEAT, ERASE))}
"""The number that stands for a record's type in columns, in kernels and in models."""

VIEW_CODE, CART_CODE, FAVORITE_CODE, PURCHASE_CODE, RETURN_CODE, RATING_CODE, HEARTBEAT_CODE, ERASE_CODE = (
    TYPE_CODES[name] for name in ("view", "cart", "favorite", "purchase", "return", "rating", HEARTBEAT, ERASE)
)
"""Those that code asks for by name; a heartbeat's and an erasure's are above all events'."""

FIRST_MS = 86_400_000
"""1970-01-02: no setting of ``limits.earliest`` admits less, and 0 is no time to a clock."""
LAST_MS = 253_402_300_799_000
"""The year 9999: whatever lies beyond does not fit a calendar."""
POSITION_MAX = 1_000_000
"""No list is as long."""
PARTITION_MAX, INT64_MAX = (1 << 31) - 1, (1 << 63) - 1
"""What Kafka has room for: partitions are 32-bit numbers, offsets and times 64-bit ones."""


class FactorColumn(NamedTuple):
    """One additive part of log weight, published as ``f_<name>``.

    A *raw* factor says something of the event, a *derived* one follows from the sum of the raw ones; the importance net
    takes the place of the raw ones that are *scores*.
    """

    name: str
    kind: Literal["raw", "score", "derived"] = "raw"


FACTOR_COLUMNS = (
    FactorColumn("noise"),
    FactorColumn("delay"),
    FactorColumn("balance"),
    FactorColumn("score", "score"),
    FactorColumn("normaliser", "derived"),
    FactorColumn("guard", "derived"),
    FactorColumn("clip", "derived"),
    FactorColumn("influence", "score"),
)
"""Every factor, in column order. What the raw ones are made of is in ``sie_online/importance/<name>``."""

FACTORS = tuple(column.name for column in FACTOR_COLUMNS)
RAW_FACTORS = tuple(column.name for column in FACTOR_COLUMNS if column.kind != "derived")
SCORE_FACTORS = tuple(column.name for column in FACTOR_COLUMNS if column.kind == "score")

NOISE_HEADS = ("sample", "act", "conversion")
"""Kinds of events that the noise model judges apart: what gets a label, what makes samples positive, and the rest."""

NOISE_MIXED = ("one", "logit", "user_mean", "user_recent", "item_mean", "newness")
"""What a noise model's second stage adds up: a constant, the event's own logit, means of the logits of its user and
item, and how new the account is.
"""

PROBABILITY_FLOOR = 1e-6
"""Published probabilities of conversion lie between this and 1 minus it: their logarithms are finite."""

BUILTIN_MODEL = "builtin"
"""``model_version`` while no announced model is in force."""

_FACTOR_FIELDS = [pa.field(f"f_{name}", pa.float64(), nullable=False) for name in FACTORS]

WEIGHTS = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("event_type", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("revision", pa.int32(), nullable=False),
        pa.field("final", pa.bool_(), nullable=False),
        pa.field("generation", pa.int64(), nullable=False),
        pa.field("model_version", pa.dictionary(pa.int8(), pa.string()), nullable=False),
        pa.field("event_time_ms", pa.int64(), nullable=False),
        pa.field("published_ms", pa.int64(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("label", pa.int8()),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("error", pa.float64()),
        pa.field("feature_score", pa.float64(), nullable=False),
        pa.field("noise_probability", pa.float64(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
        pa.field("uncertainty", pa.float64(), nullable=False),
        *_FACTOR_FIELDS,
    ]
)
"""``sie.weights.v1``: one row per statement about one event. Times in ms since 1970 (event time); ``probability``,
``noise_probability`` in [0, 1]; ``log(weight)`` is the sum of the ``f_`` columns."""

WEIGHT_KEY = ("partition", "offset", "revision")
"""Identity of a row within its source topic (the topic's name is in the schema metadata)."""


def weights_schema(source_topic: str) -> pa.Schema:
    """``WEIGHTS`` with the metadata every message carries."""
    return WEIGHTS.with_metadata({"source_topic": source_topic, "code_version": CODE_VERSION})


def samples_schema(
    source_topic: str,
    n_features: int,
    n_dense: int,
    feature_schema_hash: str,
    feature_names: Sequence[str] = (),
    dense_names: Sequence[str] = (),
) -> pa.Schema:
    """``sie.samples.v1``: one row per settled sample, with what a model would be trained on.

    ``features`` are indices of hashed one-hot features, ``dense`` real-valued ones, both as seen at the event;
    ``user_hash``, ``item_hash``, ``category_hash`` are 64-bit hashes of the ids (0: no category). The names, where they
    are given, are those of the columns of ``features`` and ``dense``.
    """
    return pa.schema(
        [
            pa.field("event_id", pa.string(), nullable=False),
            pa.field("event_type", pa.dictionary(pa.int8(), pa.string()), nullable=False),
            pa.field("partition", pa.int32(), nullable=False),
            pa.field("offset", pa.int64(), nullable=False),
            pa.field("revision", pa.int32(), nullable=False),
            pa.field("generation", pa.int64(), nullable=False),
            pa.field("event_time_ms", pa.int64(), nullable=False),
            pa.field("settled_ms", pa.int64(), nullable=False),
            pa.field("label", pa.int8(), nullable=False),
            pa.field("probability", pa.float64(), nullable=False),
            pa.field("error", pa.float64(), nullable=False),
            pa.field("feature_score", pa.float64(), nullable=False),
            pa.field("noise_probability", pa.float64(), nullable=False),
            pa.field("weight", pa.float64(), nullable=False),
            pa.field("user_hash", pa.uint64(), nullable=False),
            pa.field("item_hash", pa.uint64(), nullable=False),
            pa.field("category_hash", pa.uint64(), nullable=False),
            pa.field("features", pa.list_(pa.uint32(), n_features), nullable=False),
            pa.field("dense", pa.list_(pa.float32(), n_dense), nullable=False),
            *_FACTOR_FIELDS,
        ],
        metadata={
            "source_topic": source_topic,
            "code_version": CODE_VERSION,
            "feature_schema_hash": feature_schema_hash,
            **names_metadata(feature_names, dense_names),
        },
    )


def names_metadata(feature_names: Sequence[str], dense_names: Sequence[str]) -> dict[str, str]:
    """Metadata that name the columns of ``features`` and ``dense``, each a JSON array; nothing where there are none."""
    named = {"feature_names": feature_names, "dense_names": dense_names}
    return {name: json.dumps(list(given), separators=(",", ":")) for name, given in named.items() if given}


def feature_names(schema: pa.Schema) -> tuple[str, ...]:
    """Names of the columns of ``features``, in order; none where the message's worker did not tell them yet."""
    return _names(schema, b"feature_names")


def dense_names(schema: pa.Schema) -> tuple[str, ...]:
    """Names of the columns of ``dense``, in order; none where the message's worker did not tell them yet."""
    return _names(schema, b"dense_names")


def _names(schema: pa.Schema, entry: bytes) -> tuple[str, ...]:
    """Raises ``ValueError`` where the entry is no array of texts."""
    found = json.loads((schema.metadata or {}).get(entry, b"[]"))
    if not (isinstance(found, list) and all(isinstance(name, str) for name in found)):
        raise ValueError(f"{entry.decode()} are no names")
    return tuple(found)


METADATA = ("source_topic", "code_version", "feature_schema_hash", "feature_names", "dense_names")
"""Every entry of the schemas' metadata; of the last three only samples have any."""


DEAD_LETTER_HEADERS = (
    "sie-reason",
    "sie-exception",
    "sie-source-topic",
    "sie-source-partition",
    "sie-source-offset",
    "sie-source-timestamp-ms",
)
"""Headers added to every dead letter, all UTF-8 text."""

DEAD_LETTER_VALUE_HMAC = "sie-value-hmac-sha256"
"""Header that stands for a value which is left out because ``privacy.hmac_key_file`` is set."""

GROUP_HEADER, FINGERPRINT_HEADER = "sie-group", "sie-fingerprint"
"""Headers of weights and samples: the consumer group that published them, and the fingerprint of its settings (UTF-8).
Two groups cannot share topics."""

DEAD_LETTER_VALUE_BYTES = 512_000
"""Longer values are cut to this; ``sie-value-bytes`` and ``sie-value-sha256`` then tell of the whole."""


def to_message(batch: pa.RecordBatch) -> bytes:
    """One message in layout 1: schema, dictionaries and one record batch as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())
