"""``samples.parquet``: what workers publish of the same records, in order of settlement, whole or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sie_online.contracts import samples_schema
from sie_online.evaluation.run import evaluate
from sie_online.evaluation.samples import SAMPLES_FILE, SampleTable
from sie_online.features import N_DENSE, N_FEATURES, schema_hash
from sie_online.settings import Settings
from sie_online.simulator import Scenario, simulate
from streams.cli.root import run
from tests.support.rows import sample_batch

STARTED_MS = 1_760_000_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation in two partitions."""
    folder, settings = tmp_path_factory.mktemp("evaluated"), Settings()
    with SampleTable(folder / SAMPLES_FILE, settings) as table:
        chunks = simulate(Scenario(events=4_000, seed=11)).chunks()
        evaluate(chunks, settings, folder, partitions=2, started_ms=STARTED_MS, listeners=[table])
    return folder


def test_columns_and_metadata_are_those_of_the_topic(folder: Path) -> None:
    schema = pq.read_schema(folder / SAMPLES_FILE)
    expected = samples_schema("sie.events", N_FEATURES, N_DENSE, schema_hash())
    assert schema.names == expected.names
    assert schema.metadata.items() >= expected.metadata.items()
    assert schema.field("features").type == expected.field("features").type


def test_every_sample_has_its_last_word_once_in_the_order_of_settlement(folder: Path) -> None:
    samples = pl.read_parquet(folder / SAMPLES_FILE)
    final = pl.read_parquet(folder / "weights.parquet").filter("final", pl.col("label").is_not_null())
    key = ["partition", "offset", "revision"]
    shared = [*key, "event_id", "label", "weight", "noise_probability", "probability", "event_time_ms"]
    assert samples.select(shared).sort(key).equals(final.select(shared).sort(key))
    assert samples["partition"].n_unique() == 2
    for _, rows in samples.group_by("partition", maintain_order=True):
        assert (np.diff(rows["settled_ms"].to_numpy()) >= 0).all()


def test_the_option_writes_it_and_leaves_the_rest_as_it_is(folder: Path, tmp_path: Path) -> None:
    events = tmp_path / "events.parquet"
    assert run(["sample-events", "--out", str(events), "--events", "1000", "--json"]) == 0
    outs = []
    for name, more in (("plain", []), ("with", ["--samples"])):
        assert run(["evaluate", str(events), "--out", str(tmp_path / name), "--json", *more]) == 0
        outs.append(tmp_path / name)
    plain, with_samples = ({path.name for path in out.iterdir()} for out in outs)
    assert with_samples - plain == {SAMPLES_FILE}
    for name in ("weights.parquet", "predictions.parquet"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()


def test_one_that_is_broken_off_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / SAMPLES_FILE
    path.write_bytes(b"of the last run")
    table = SampleTable(path, Settings())
    with pytest.raises(KeyboardInterrupt), table:
        table.settled(sample_batch(1, 2))
        raise KeyboardInterrupt
    assert path.read_bytes() == b"of the last run"
    assert list(tmp_path.iterdir()) == [path]


def test_where_nothing_settles_there_is_a_table_without_rows(tmp_path: Path) -> None:
    path = tmp_path / SAMPLES_FILE
    with SampleTable(path, Settings()):
        pass
    table: pa.Table = pq.read_table(path)
    assert len(table) == 0
    assert "features" in table.column_names
