"""Tables of published rows: one row per statement, whatever was repeated, and files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sie_online import contracts, tables
from tests.support.rows import SOURCE, sample_batch, weight_batch, weight_row

SCHEMA = contracts.weights_schema(SOURCE)

identities = st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2), st.integers(1, 3))


@given(st.lists(st.lists(identities, max_size=8), max_size=5))
def test_the_highest_generation_of_each_statement_is_kept_in_order(messages: list[list[tuple[int, ...]]]) -> None:
    batches = [
        weight_batch(*(weight_row(o, r, partition=p, generation=g, weight=float(g)) for p, o, r, g in message))
        for message in messages
    ]
    table = tables.newest_statements(batches, SCHEMA)
    highest: dict[tuple[int, ...], int] = {}
    for message in messages:
        for *identity, generation in message:
            highest[tuple(identity)] = max(generation, highest.get(tuple(identity), 0))
    keys = list(zip(*(table[name].to_pylist() for name in contracts.WEIGHT_KEY), strict=True))
    assert keys == sorted(highest)
    assert table["generation"].to_pylist() == [highest[key] for key in keys]
    assert table["weight"].to_pylist() == [float(highest[key]) for key in keys]


def test_the_table_has_exactly_the_topics_columns() -> None:
    table = tables.newest_statements([weight_batch(weight_row())], SCHEMA)
    assert table.schema.names == contracts.WEIGHTS.names
    assert table.schema.metadata == SCHEMA.metadata
    assert tables.newest_statements([], SCHEMA).schema.names == contracts.WEIGHTS.names


def test_more_model_versions_than_a_message_can_name_fit_a_table() -> None:
    batches = [weight_batch(weight_row(at, model_version=f"version-{at}")) for at in range(300)]
    table = tables.newest_statements(batches, SCHEMA)
    assert table["model_version"].to_pylist() == [f"version-{at}" for at in range(300)]


def test_a_column_that_only_newer_messages_have_is_null_elsewhere() -> None:
    newer = weight_batch(weight_row(1)).append_column("f_drift", pa.array([0.5]))
    table = tables.newest_statements([weight_batch(weight_row(0)), newer], SCHEMA)
    assert table["f_drift"].to_pylist() == [None, 0.5]


def test_samples_make_a_table_too() -> None:
    batches = [sample_batch(3, 1), sample_batch(1, generation=2)]
    table = tables.newest_statements(batches, batches[0].schema)
    assert table["offset"].to_pylist() == [1, 3]
    assert table["generation"].to_pylist() == [2, 1]
    assert table["features"].to_pylist() == [[0, 1, 2]] * 2


def test_a_written_table_reads_back_equal(tmp_path: Path) -> None:
    table = tables.newest_statements([weight_batch(weight_row(1, label=1), weight_row(0))], SCHEMA)
    tables.write_parquet(table, tmp_path / "weights.parquet")
    assert pq.read_table(tmp_path / "weights.parquet").equals(table, check_metadata=True)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.parquet"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.parquet"
    path.write_bytes(b"before")

    def fail(table: pa.Table, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("disk full")

    monkeypatch.setattr(tables.pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        tables.write_parquet(pa.table({"a": np.arange(3)}), path)
    assert path.read_bytes() == b"before"
    assert [one.name for one in tmp_path.iterdir()] == ["weights.parquet"]
