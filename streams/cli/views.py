"""The topics that people read: how each becomes rows, lines on a terminal, JSON documents and one table."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import pyarrow as pa
from rich.text import Text

from sie_online import contracts, tables
from sie_online.client.compacted import with_place
from sie_online.client.entities import WHAT as ENTITY
from sie_online.client.entities import parse_key, parse_statement
from sie_online.client.reader import Message
from sie_online.client.recommendations import WHAT as RECOMMENDATIONS
from sie_online.client.recommendations import RecommendationTable, Recommended, parse_recommendations, parse_user
from sie_online.client.rows import SAMPLES, place, read_batch
from sie_online.client.unreadable import Unreadable
from sie_online.contracts import INT64_MAX, PARTITION_MAX
from sie_online.errors import MessageError, UsageError
from sie_online.moments import moment
from sie_online.settings import Settings
from streams.cli.text import Column, Row, excerpt, figure, ratio


class Kind(enum.StrEnum):
    """Topics that ``sie tail`` knows."""

    WEIGHTS = "weights"
    SAMPLES = "samples"
    ENTITIES = "entities"
    RECS = "recs"
    DEAD_LETTERS = "dead-letters"


class TopicView:
    """One topic. ``read`` makes rows of records; ``merge`` makes one table of many batches of them."""

    columns: ClassVar[Sequence[Column]]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def topic(self) -> str:
        """The topic's name."""
        raise NotImplementedError

    def read(self, records: Iterable[Message], unreadable: Unreadable) -> Iterator[pa.RecordBatch]:
        """The rows of ``records``, in order; what cannot be read goes to ``unreadable``."""
        raise NotImplementedError

    def merge(self, batches: Sequence[pa.RecordBatch]) -> pa.Table:
        """The rows that count, each once, sorted."""
        raise NotImplementedError

    def document(self, row: Row) -> dict[str, Any]:
        """``row`` as JSON can hold it."""
        return dict(row)

    def line(self, row: Row) -> Text:
        """``row`` for a terminal."""
        return Text("  ").join(column.cell(row) for column in self.columns)

    def heading(self) -> Text:
        """The line above."""
        return Text("  ").join(column.heading() for column in self.columns)


def _weight_style(row: Row) -> str:
    return "red" if row["weight"] < 0.5 else "green" if row["weight"] > 1.5 else ""


def _noise_style(row: Row) -> str:
    return "red" if row["noise_probability"] > 0.5 else ""


_EVENT = (
    Column("event time (UTC)", 19, lambda row: moment(row["event_time_ms"]), style=lambda row: "dim"),
    Column("event", 18, lambda row: row["event_id"]),
    Column("type", 10, lambda row: row["event_type"]),
)
_SCORES = (
    Column("label", 5, lambda row: "·" if row["label"] is None else str(row["label"]), right=True),
    Column("p", 6, lambda row: figure(row["probability"]), right=True),
    Column("noise", 6, lambda row: figure(row["noise_probability"]), right=True, style=_noise_style),
    Column("weight", 6, lambda row: figure(row["weight"]), right=True, style=_weight_style),
)
_PLACE = Column("source", 0, lambda row: f"{row['partition']}:{row['offset']}", style=lambda row: "dim")


class WeightsView(TopicView):
    """``sie.weights.v1``: every statement, repeats of a replay included; merged, the highest generation of each."""

    columns = (
        *_EVENT,
        Column("user", 12, lambda row: row["user_id"]),
        Column("item", 12, lambda row: row["item_id"]),
        Column("rev", 7, lambda row: f"{row['revision']} final" if row["final"] else str(row["revision"])),
        *_SCORES,
        _PLACE,
    )

    @property
    def topic(self) -> str:
        return self.settings.topics.weights

    def read(self, records: Iterable[Message], unreadable: Unreadable) -> Iterator[pa.RecordBatch]:
        return unreadable.readable(
            records, lambda record: read_batch(record.value, record, contracts.WEIGHTS, record.headers)
        )

    def merge(self, batches: Sequence[pa.RecordBatch]) -> pa.Table:
        schema = batches[0].schema if batches else contracts.weights_schema(self.settings.topics.events)
        return tables.newest_statements(batches, schema)


class SamplesView(TopicView):
    """``sie.samples.v1``: settled samples with their features."""

    columns = (*_EVENT, Column("settled (UTC)", 19, lambda row: moment(row["settled_ms"])), *_SCORES, _PLACE)

    @property
    def topic(self) -> str:
        return self.settings.topics.samples

    def read(self, records: Iterable[Message], unreadable: Unreadable) -> Iterator[pa.RecordBatch]:
        return unreadable.readable(records, lambda record: read_batch(record.value, record, SAMPLES, record.headers))

    def merge(self, batches: Sequence[pa.RecordBatch]) -> pa.Table:
        if not batches:
            raise UsageError(f"{self.topic} holds no samples yet, so that the table's columns are not known")
        try:
            return tables.newest_statements(batches, batches[0].schema)
        except pa.ArrowInvalid as error:
            raise UsageError(f"{self.topic} holds samples of several feature schemas: {error}") from None


class EntitiesView(TopicView):
    """``sie.entities.v1``: what single shards say; merged, the newest statement per key."""

    columns = (
        Column("kind", 8, lambda row: row["kind"]),
        Column("id", 20, lambda row: row["id"]),
        Column("shard", 5, lambda row: str(_or_dash(row["source_partition"])), right=True),
        Column("events", 8, lambda row: str(_or_dash(row["n_events"])), right=True),
        Column("mean w", 7, lambda row: ratio(row["sum_weight"], row["n_events"]), right=True),
        Column("noise", 6, lambda row: ratio(row["noise_alpha"], _total_noise(row)), right=True),
        Column("model", 0, lambda row: row["model_version"] or "erased", style=lambda row: "dim"),
    )
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("kind", pa.string()),
            ("id", pa.string()),
            ("n_events", pa.int64()),
            ("sum_weight", pa.float64()),
            ("noise_alpha", pa.float64()),
            ("noise_beta", pa.float64()),
            ("source_partition", pa.int32()),
            ("source_offset", pa.int64()),
            ("model_version", pa.string()),
        ]
    )

    @property
    def topic(self) -> str:
        return self.settings.topics.entities

    def read(self, records: Iterable[Message], unreadable: Unreadable) -> Iterator[pa.RecordBatch]:
        rows = unreadable.readable(records, lambda record: with_place(record, ENTITY, lambda: _statement(record)))
        yield pa.RecordBatch.from_pylist(list(rows), schema=self.schema)

    def merge(self, batches: Sequence[pa.RecordBatch]) -> pa.Table:
        rows = [row for batch in batches for row in batch.to_pylist()]
        newest = {(row["kind"], row["id"], row["kind"] != "user" and row["source_partition"]): row for row in rows}
        kept = [newest[key] for key in sorted(newest) if newest[key]["n_events"] is not None]
        return pa.Table.from_pylist(kept, schema=self.schema)


class RecommendationsView(TopicView):
    """``sie.recs.v1``: lists as they were made; merged, the newest of each user."""

    columns = (
        Column("event time (UTC)", 19, lambda row: _moment_or_dash(row["event_time_ms"]), style=lambda row: "dim"),
        Column("user", 20, lambda row: row["user_id"]),
        Column("source", 14, lambda row: f"{row['partition']}:{_or_dash(row['offset'])}"),
        Column("n", 3, lambda row: str(len(row["items"] or ())), right=True),
        Column("best first", 0, lambda row: "erased" if row["items"] is None else " ".join(row["items"])),
    )
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("user_id", pa.string()),
            ("items", pa.list_(pa.string())),
            ("event_time_ms", pa.int64()),
            ("partition", pa.int32()),
            ("offset", pa.int64()),
            ("generation", pa.int64()),
        ]
    )

    @property
    def topic(self) -> str:
        return self.settings.topics.recs

    def read(self, records: Iterable[Message], unreadable: Unreadable) -> Iterator[pa.RecordBatch]:
        rows = unreadable.readable(records, lambda record: with_place(record, RECOMMENDATIONS, lambda: _list(record)))
        yield pa.RecordBatch.from_pylist(list(rows), schema=self.schema)

    def merge(self, batches: Sequence[pa.RecordBatch]) -> pa.Table:
        table = RecommendationTable()
        for row in (row for batch in batches for row in batch.to_pylist()):
            table.put(row["user_id"], row["partition"], None if row["items"] is None else Recommended(**row))
        rows = sorted(table, key=lambda made: made.user_id)
        return pa.Table.from_pylist([made._asdict() for made in rows], schema=self.schema)


class DeadLettersView(TopicView):
    """``sie.dead-letters.v1``: records that were no events; merged, one per source record."""

    columns = (
        Column("recorded (UTC)", 19, lambda row: moment(row["source_timestamp_ms"]), style=lambda row: "dim"),
        Column("reason", 14, lambda row: row["reason"], style=lambda row: "yellow"),
        Column("source", 24, lambda row: f"{row['source_topic']} {row['source_partition']}:{row['source_offset']}"),
        Column("bytes", 9, lambda row: f"{row['value_bytes']:,}", right=True),
        Column("exception", 36, lambda row: row["exception"]),
        Column("value", 0, lambda row: excerpt(row["value"]) or "null", style=lambda row: "dim"),
    )
    schema: ClassVar[pa.Schema] = pa.schema(
        [
            ("source_topic", pa.string()),
            ("source_partition", pa.int32()),
            ("source_offset", pa.int64()),
            ("source_timestamp_ms", pa.int64()),
            ("reason", pa.string()),
            ("exception", pa.string()),
            ("value_bytes", pa.int64()),
            ("key", pa.binary()),
            ("value", pa.binary()),
        ]
    )

    @property
    def topic(self) -> str:
        return self.settings.topics.dead_letters

    def read(self, records: Iterable[Message], unreadable: Unreadable) -> Iterator[pa.RecordBatch]:
        rows = unreadable.readable(records, _dead_letter)
        yield pa.RecordBatch.from_pylist(list(rows), schema=self.schema)

    def merge(self, batches: Sequence[pa.RecordBatch]) -> pa.Table:
        rows = [row for batch in batches for row in batch.to_pylist()]
        once = {(row["source_topic"], row["source_partition"], row["source_offset"]): row for row in rows}
        return pa.Table.from_pylist([once[identity] for identity in sorted(once)], schema=self.schema)

    def document(self, row: Row) -> dict[str, Any]:
        return {**row, "key": excerpt(row["key"]), "value": excerpt(row["value"])}


def _statement(record: Message) -> dict[str, Any]:
    name, partition = parse_key(record.key)
    statement = parse_statement(record.value)._asdict() if record.value else {"source_partition": partition}
    return {"kind": name.kind, "id": name.id, **statement}


def _list(record: Message) -> dict[str, Any]:
    user_id = parse_user(record.key)
    made = parse_recommendations(user_id, record.value)._asdict() if record.value else {"partition": record.partition}
    return {"user_id": user_id, **made}


def _dead_letter(record: Message) -> dict[str, Any]:
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers if value is not None}
    try:
        return {
            "source_topic": headers["sie-source-topic"],
            "source_partition": _whole(headers["sie-source-partition"], PARTITION_MAX),
            "source_offset": _whole(headers["sie-source-offset"], INT64_MAX),
            "source_timestamp_ms": _whole(headers["sie-source-timestamp-ms"], INT64_MAX),
            "reason": headers["sie-reason"],
            "exception": headers["sie-exception"],
            "value_bytes": _whole(headers.get("sie-value-bytes", str(len(record.value or b""))), INT64_MAX),
            "key": record.key,
            "value": record.value,
        }
    except (KeyError, ValueError) as error:
        raise MessageError(f"{place(record)}: no dead letter of ours: header {error} is missing or no number") from None


def _whole(text: str, most: int) -> int:
    number = int(text)
    if abs(number) > most:  # a record without a timestamp has -1
        raise ValueError(f"{number} is beyond {most}")
    return number


VIEWS: dict[Kind, type[TopicView]] = {
    Kind.WEIGHTS: WeightsView,
    Kind.SAMPLES: SamplesView,
    Kind.ENTITIES: EntitiesView,
    Kind.RECS: RecommendationsView,
    Kind.DEAD_LETTERS: DeadLettersView,
}


def _total_noise(row: Row) -> float | None:
    return None if row["noise_alpha"] is None else float(row["noise_alpha"] + row["noise_beta"])


def _moment_or_dash(time_ms: int | None) -> str:
    return "·" if time_ms is None else moment(time_ms)


def _or_dash(value: Any) -> Any:
    return "·" if value is None else value
