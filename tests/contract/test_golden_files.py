"""What topics held yesterday must read the same for ever; what we write today must read like it."""

from __future__ import annotations

import json
import math
from typing import Any

import pyarrow as pa
import pytest

from models.manifest import Manifest
from sie_online import content, contracts, statements, unpacking
from sie_online.announcements import Adoption
from sie_online.client.entities import EntityTable, Name, parse_key, parse_statement
from sie_online.client.recommendations import RecommendationTable, parse_recommendations, parse_user
from sie_online.client.rows import SAMPLES, Source, read_batch, weight_rows
from sie_online.client.unreadable import Unreadable
from streams.cli.views import DeadLettersView
from streams.model_registry.registry import empty_registry, take_in
from tests.contract import golden_files
from tests.contract.golden_files import BUILDERS, DIRECTORY, FORMER, build, rows

ANYWHERE = Source("topic", 0, 0)
ARROW = sorted(name for name in BUILDERS if name.endswith(".arrow"))
LINES = sorted(name for name in BUILDERS if name.endswith(".ndjson"))
TEXT = sorted(set(BUILDERS) - set(ARROW) - set(FORMER))
LETTERS = sorted(name for name in BUILDERS if name.startswith("dead-letters"))


def _current(name: str) -> pa.Schema:
    first = rows(name)[0]
    if name.startswith("weights"):
        return contracts.WEIGHTS
    return contracts.samples_schema("sie.events", len(first["features"]), len(first["dense"]), "any")


def _schema(name: str) -> pa.Schema:
    return contracts.WEIGHTS if name.startswith("weights") else SAMPLES


@pytest.mark.parametrize("name", ARROW)
def test_an_arrow_golden_file_decodes_to_its_rows(name: str) -> None:
    read = read_batch((DIRECTORY / name).read_bytes(), ANYWHERE, _schema(name))
    known = unpacking.from_message((DIRECTORY / name).read_bytes()).schema.names
    assert read.select(known).to_pylist() == rows(name.removesuffix(".arrow"))


@pytest.mark.parametrize("name", ARROW)
def test_a_column_added_later_comes_as_nulls(name: str) -> None:
    later = _schema(name).append(pa.field("later", pa.float64(), nullable=False))
    read = read_batch((DIRECTORY / name).read_bytes(), ANYWHERE, later)
    assert read["later"].null_count == len(read) > 0


@pytest.mark.parametrize("name", ARROW)
def test_an_arrow_golden_file_names_its_source_and_code(name: str) -> None:
    metadata = read_batch((DIRECTORY / name).read_bytes(), ANYWHERE, _schema(name)).schema.metadata
    assert metadata[b"source_topic"] == b"sie.events"
    assert metadata[b"code_version"] == b"0.1.0"


@pytest.mark.parametrize("name", ARROW)
def test_todays_message_of_the_same_rows_decodes_to_the_same_table(name: str) -> None:
    golden = unpacking.from_message((DIRECTORY / name).read_bytes())
    assert unpacking.from_message(build(name)).equals(golden)


@pytest.mark.parametrize("name", ARROW)
def test_columns_are_only_added_at_the_end(name: str) -> None:
    golden = unpacking.from_message((DIRECTORY / name).read_bytes()).schema
    current = _current(name.removesuffix(".arrow"))
    assert list(current)[: len(golden)] == list(golden)


@pytest.mark.parametrize("name", LINES)
def test_golden_json_lines_are_their_rows_whoever_reads_them(name: str) -> None:
    message, stored = (DIRECTORY / name).read_bytes(), rows(name.removesuffix(".ndjson").replace("-json", ""))
    assert [json.loads(line) for line in message.splitlines()] == stored
    assert read_batch(message, ANYWHERE, _schema(name)).select(list(stored[0])).to_pylist() == stored


def test_golden_headers_name_a_media_type_and_a_contract() -> None:
    lines = [json.loads(line) for line in (DIRECTORY / "headers-1.jsonl").read_bytes().splitlines()]
    *kinds, metadata = [dict(line["headers"]) for line in lines]
    assert all(set(said) == {"content-type", "sie-schema"} for said in kinds)
    assert len({said["sie-schema"] for said in kinds}) == len(kinds)
    assert content.metadata_of({name: text.encode() for name, text in metadata.items()}).keys() == set(
        contracts.METADATA
    )


@pytest.mark.parametrize("name", TEXT)
def test_a_text_golden_file_is_written_the_same_today(name: str) -> None:
    assert build(name) == (DIRECTORY / name).read_bytes()


@pytest.mark.parametrize("name", ["weights-1.arrow", "weights-packed-1.arrow"])
def test_golden_weights_are_the_exponential_of_their_parts(name: str) -> None:
    batch = read_batch((DIRECTORY / name).read_bytes(), ANYWHERE, contracts.WEIGHTS)
    for row in weight_rows(batch):
        assert sum(row.factors.values()) == pytest.approx(math.log(row.weight), abs=1e-6)


def _keyed(name: str) -> list[tuple[bytes, bytes]]:
    lines = (DIRECTORY / f"{name}.tsv").read_bytes().splitlines()
    return [(key, value) for key, _, value in (line.partition(b"\t") for line in lines)]


def test_golden_entities_are_read_alike_by_shard_and_client() -> None:
    for (key, value), row in zip(_keyed("entities-1"), rows("entities-1"), strict=True):
        name, partition = parse_key(key)
        assert (partition is None) == (name.kind == "user")
        if value:
            state = statements.decode(value)
            assert parse_statement(value)._asdict() == row["value"]
            assert {field: getattr(state, field) for field in state.__struct_fields__} == row["value"]


def test_golden_entities_make_a_table() -> None:
    table = EntityTable()
    for key, value in _keyed("entities-1"):
        table.apply(key, value or None)
    assert {(entity.kind, entity.id) for entity in table} == {
        ("user", "ann"),
        ("item", "42"),
        ("item", "a#1"),
        ("category", "été"),
    }
    assert table[Name("user", "ann")].mean_weight == 1.5


def test_golden_recommendations_are_read_alike_by_shard_and_client() -> None:
    for (key, value), row in zip(_keyed("recs-1"), rows("recs-1"), strict=True):
        user_id = parse_user(key)
        assert key == row["key"].encode()
        if value:
            made = statements.decode_recommendations(value)
            assert {field: getattr(made, field) for field in made.__struct_fields__} == row["value"]
            read = parse_recommendations(user_id, value)
            assert read._asdict() | {"items": list(read.items)} == row["value"]


def test_golden_recommendations_make_a_table() -> None:
    table = RecommendationTable()
    for (key, value), row in zip(_keyed("recs-1"), rows("recs-1"), strict=True):
        table.apply(key, value or None, row["value"]["partition"] if value else 1)
    assert {made.user_id: made.items for made in table} == {"ann": ("7",), "a:b": ("42",)}


def test_golden_announcements_say_what_each_partition_adopts_and_where() -> None:
    registry = empty_registry()
    for line in (DIRECTORY / "models-1.tsv").read_bytes().splitlines():
        key, _, value = line.partition(b"\t")
        take_in(registry, key, value)
    first, second = "01ARZ3NDEKTSV4RRFFQ69G5FAA", "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    noise = registry["noise"]
    assert list(noise.adoptions(0)) == [
        Adoption(1, first, 100, "noise"),
        Adoption(2, second, 200, "noise"),
        Adoption(3, "builtin", 300, "noise"),
    ]
    assert [adoption.offset for adoption in noise.adoptions(1)] == [70, 90, 0]
    assert {model: registered.newest for model, registered in registry.items()} == {"net": 1, "priors": 0, "noise": 3}
    parents = [Manifest.from_json(noise.manifests[version]).parent for version in (first, second)]
    assert parents == [None, first]


def test_golden_events_decode_to_their_table() -> None:
    values = (DIRECTORY / "events-1.jsonl").read_bytes().splitlines()
    expected = [json.loads(line) for line in (DIRECTORY / "events-1.table.jsonl").read_bytes().splitlines()]
    assert golden_files.event_table(values) == expected


class _Letter:
    """A consumer's record of a golden dead letter."""

    topic, partition, offset, timestamp = "sie.dead-letters.v1", 0, 0, 0

    def __init__(self, line: dict[str, Any]) -> None:
        self.key = None if line["key"] is None else line["key"].encode()
        self.value = None if line["value"] is None else line["value"].encode()
        self.headers = [(name, text.encode()) for name, text in line["headers"]]


@pytest.mark.parametrize("name", LETTERS)
def test_golden_dead_letters_decode_to_their_rows(name: str, settings: Any) -> None:
    lines = (DIRECTORY / name).read_bytes().splitlines()
    (batch,) = DeadLettersView(settings()).read([_Letter(json.loads(line)) for line in lines], Unreadable(strict=True))
    read = [
        (row["source_partition"], row["source_offset"], row["source_timestamp_ms"], row["reason"], row["exception"])
        for row in batch.to_pylist()
    ]
    expected = [
        (row["partition"], row["offset"], row["timestamp_ms"], row["reason"], row["detail"])
        for row in rows(name.removesuffix(".jsonl"))
    ]
    assert read == expected


@pytest.mark.parametrize("name", LETTERS)
def test_golden_dead_letters_carry_every_promised_header(name: str) -> None:
    for line in (DIRECTORY / name).read_bytes().splitlines():
        names = [name for name, _ in json.loads(line)["headers"]]
        assert [name for name in names if name in contracts.DEAD_LETTER_HEADERS] == list(contracts.DEAD_LETTER_HEADERS)
