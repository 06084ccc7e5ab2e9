"""Contracts: light imports, schemas that are current, messages that survive older and newer readers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import sie_online
from sie_online import contracts, schemas, statements
from sie_online.client.rows import SAMPLES, Source, WeightRow, read_batch, weight_rows
from sie_online.errors import MessageError
from tests.support.brokers import ROOT
from tests.support.rows import sample_batch, weight_batch, weight_message, weight_row

HEAVY = {"faust", "mode", "numba", "river", "msgspec", "torch", "typer", "rich", "scipy", "sklearn", "aiohttp"}
SOURCE = Source("sie.weights.v1", 3, 1234)


def _imported_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_client_imports_nothing_heavy() -> None:
    imported = _imported_by("from sie_online import *")
    assert "aiokafka" in imported
    assert imported & HEAVY == set()


def test_contracts_import_pyarrow_and_nothing_of_ours() -> None:
    imported = _imported_by("import sie_online.contracts")
    assert "pyarrow" in imported
    assert imported & (HEAVY | {"aiokafka", "pydantic"}) == set()


def test_importing_the_package_imports_nothing() -> None:
    assert _imported_by("import sie_online") & (HEAVY | {"aiokafka", "pydantic", "pyarrow", "numpy"}) == set()


@pytest.mark.parametrize("name", sie_online.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(sie_online, name) is not None
    assert name in dir(sie_online)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="WeightSubscribe"):
        _ = sie_online.WeightSubscribe  # type: ignore[attr-defined]


def test_the_committed_schemas_are_current() -> None:
    assert schemas.stale(ROOT / schemas.DIRECTORY) == []


def test_check_finds_a_schema_that_is_not_current(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert schemas.main(["--out", str(tmp_path)]) == 0
    assert schemas.main(["--check", "--out", str(tmp_path)]) == 0
    (tmp_path / "sie.events.json").write_text("{}")
    assert schemas.main(["--check", "--out", str(tmp_path)]) == 2
    assert "sie.events.json" in capsys.readouterr().err


def test_check_finds_a_missing_schema(tmp_path: Path) -> None:
    assert schemas.main(["--check", "--out", str(tmp_path)]) == 2


def test_schemas_name_every_dead_letter_header_and_required_field() -> None:
    texts = {name: json.loads(text) for name, text in schemas.texts().items()}
    headers = texts["sie.dead-letters.v1.json"]
    assert set(contracts.DEAD_LETTER_HEADERS) <= set(headers["properties"])
    event = texts["sie.events.json"]["$defs"]["Event"]
    assert event["required"] == ["event_id", "user_id", "item_id", "event_type", "timestamp_ms"]


def test_an_entity_key_names_kind_id_and_shard() -> None:
    assert statements.key("user", b"ann", 3) == b"user:ann"
    assert statements.key("item", b"a#1", 3) == b"item:a#1#3"
    assert statements.key("category", "été".encode(), 0) == "category:été#0".encode()


def test_a_typed_row_has_the_columns_of_the_contract() -> None:
    plain = [name for name in contracts.WEIGHTS.names if not name.startswith("f_")]
    assert WeightRow._fields == (*plain, "factors")


def test_typed_rows_carry_every_value() -> None:
    factors = {f"f_{name}": float(at) for at, name in enumerate(contracts.FACTORS)}
    row = weight_row(7, 2, label=1, error=0.75, final=True, event_type="click", **factors)
    (typed,) = weight_rows(read_batch(weight_message(row), SOURCE, contracts.WEIGHTS))
    assert typed._asdict() == {
        **{name: value for name, value in row.items() if not name.startswith("f_")},
        "factors": {name: float(at) for at, name in enumerate(contracts.FACTORS)},
    }


def test_a_message_of_an_older_worker_reads_with_nulls_in_newer_columns_and_their_factors_left_out() -> None:
    batch = weight_batch(weight_row(1), weight_row(2))
    newest = batch.schema.names[-1]
    older = batch.select(batch.schema.names[:-1])
    read = read_batch(contracts.to_message(older), SOURCE, contracts.WEIGHTS)
    assert read.schema.names == contracts.WEIGHTS.names
    assert read.column(newest).null_count == 2
    known = set(contracts.FACTORS) - {newest.removeprefix("f_")}
    assert [set(row.factors) for row in weight_rows(read)] == [known, known]


def test_a_message_of_a_newer_worker_keeps_its_new_columns_at_the_end() -> None:
    batch = weight_batch(weight_row(1)).append_column("f_drift", pa.array([0.5]))
    read = read_batch(contracts.to_message(batch), SOURCE, contracts.WEIGHTS)
    assert read.schema.names == [*contracts.WEIGHTS.names, "f_drift"]
    assert next(weight_rows(read)).factors["drift"] == 0.5


@pytest.mark.parametrize(
    "message",
    [
        None,
        b"",
        b"{}",
        b"\xff" * 100,
        weight_message(weight_row())[:-50],
        contracts.to_message(pa.RecordBatch.from_pylist([{"other": 1}])),
        contracts.to_message(pa.RecordBatch.from_pylist([weight_row() | {"revision": None}])),
        contracts.to_message(pa.RecordBatch.from_pylist([weight_row() | {"offset": "7"}])),
        contracts.to_message(pa.RecordBatch.from_pylist([weight_row() | {"weight": "much"}])),
    ],
    ids=["null", "empty", "json", "noise", "cut", "other", "null-revision", "text-offset", "text-weight"],
)
def test_a_foreign_message_is_refused_by_its_place(message: bytes | None) -> None:
    with pytest.raises(MessageError, match=r"sie\.weights\.v1, partition 3, offset 1234"):
        read_batch(message, SOURCE, contracts.WEIGHTS)


def test_an_empty_batch_reads_as_an_empty_batch() -> None:
    assert len(read_batch(contracts.to_message(weight_batch()), SOURCE, contracts.WEIGHTS)) == 0


def test_samples_keep_their_shape_over_a_message() -> None:
    batch = sample_batch(1, 2, n_features=4, n_dense=3)
    read = read_batch(contracts.to_message(batch), SOURCE, SAMPLES)
    assert read.equals(batch)
    assert read.schema.field("features").type == pa.list_(pa.uint32(), 4)
    assert read.schema.metadata[b"feature_schema_hash"] == b"feature-schema"
