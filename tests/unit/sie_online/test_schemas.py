"""What the schemas describe is what the code writes."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import jsonschema
import msgspec
import pytest

from models.manifest import Manifest, TensorInfo, Verdict
from sie_online import contracts, ndjson_text
from sie_online.contracts import names_metadata
from sie_online.features import DENSE_NAMES, FEATURE_NAMES
from sie_online.schemas import model_records, rows, schemas
from sie_online.shard import ShardOutput
from tests.contract.golden_files import DIRECTORY
from tests.support.events import newest_statements, process, random_events, samples, weights


def valid(topic: str, value: Any) -> bool:
    return jsonschema.Draft202012Validator(schemas()[topic]).is_valid(value)


@pytest.fixture(scope="module")
def outputs() -> list[ShardOutput]:
    """What a shard says about some events, of which many settle."""
    return process(random_events(400, seed=1))


@pytest.mark.parametrize("topic", sorted(schemas()))
def test_a_schema_is_one(topic: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas()[topic])


def test_lines_of_rows_are_valid_and_need_every_column(outputs: list[ShardOutput]) -> None:
    for topic, table in (("sie.weights.v1", weights(outputs)), ("sie.samples.v1", samples(outputs))):
        lines = [
            json.loads(line)
            for batch in table.to_batches()
            for line in ndjson_text.lines(batch).data.tobytes().splitlines()
        ]
        assert len(lines) > 100
        assert all(valid(topic, line) for line in lines)
        for name in lines[0]:
            assert not valid(topic, {key: value for key, value in lines[0].items() if key != name}), name
        assert not valid(topic, lines[0] | {"weight": "much"})
        assert not valid(topic, lines[0] | {"event_type": "nap"})


def test_what_shards_say_of_entities_is_valid(outputs: list[ShardOutput]) -> None:
    values = [json.loads(value) for value in newest_statements(outputs).values()]
    assert values
    assert all(valid("sie.entities.v1", value) for value in values)


def test_golden_model_records_are_valid() -> None:
    for line in (DIRECTORY / "models-1.tsv").read_bytes().splitlines():
        key, _, value = line.partition(b"\t")
        assert valid("sie.models.v1", json.loads(value)), key


@pytest.mark.parametrize(
    ("described", "kept"),
    [(model_records.Manifest, Manifest), (model_records.TensorInfo, TensorInfo), (model_records.Verdict, Verdict)],
)
def test_a_manifest_is_described_as_it_is_kept(described: type[msgspec.Struct], kept: type) -> None:
    names = ["bytes" if field.name == "size" else field.name for field in fields(kept)]
    assert [field.name for field in msgspec.structs.fields(described)] == names


def test_every_column_is_explained() -> None:
    for schema in (rows.weights(), rows.samples()):
        plain = [name for name in schema["properties"] if not name.startswith("f_")]
        assert set(plain) <= rows.COLUMNS.keys()
        assert all(column["description"] for column in schema["properties"].values())


def test_samples_name_their_features(outputs: list[ShardOutput]) -> None:
    schema = samples(outputs).schema
    assert contracts.feature_names(schema) == FEATURE_NAMES
    assert contracts.dense_names(schema) == DENSE_NAMES
    widths = schema.field("features").type.list_size, schema.field("dense").type.list_size
    assert widths == (len(FEATURE_NAMES), len(DENSE_NAMES))


def test_samples_of_an_older_worker_name_none_and_strange_names_are_refused() -> None:
    older = contracts.samples_schema("sie.events", 3, 2, "schema")
    assert contracts.feature_names(older) == contracts.dense_names(older) == ()
    assert names_metadata((), ()) == {}
    with pytest.raises(ValueError, match="feature_names"):
        contracts.feature_names(older.with_metadata({"feature_names": "[1]"}))
