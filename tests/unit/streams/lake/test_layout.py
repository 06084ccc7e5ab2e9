"""Rows of the topics in the lake's columns."""

from __future__ import annotations

import datetime

import pytest

from streams.lake.layout import Hour, by_hour, lake_batch, newest_rows
from tests.support.lakes import T0_MS, message, row
from tests.support.rows import sample_batch


@pytest.mark.parametrize(
    ("time_ms", "place"),
    [
        (T0_MS, (datetime.date(2023, 11, 14), 22)),
        (0, (datetime.date(1970, 1, 1), 0)),
        (-5, (datetime.date(1970, 1, 1), 0)),
        (2**62, (datetime.date(9999, 12, 31), 23)),
    ],
)
def test_day_and_hour_are_the_events_in_utc(time_ms: int, place: tuple[datetime.date, int]) -> None:
    found = lake_batch(message(0, row(0, event_time_ms=time_ms)).batch)
    assert (found["day"][0].as_py(), found["hour"][0].as_py()) == place


def test_an_hour_knows_its_folder_and_the_folder_its_hour() -> None:
    hour = Hour.of(datetime.date(2026, 11, 27), 7)
    assert hour.folder == "day=2026-11-27/hour=7"
    assert Hour.of_path(f"{hour.folder}/a.parquet") == hour


def test_rows_are_divided_by_hour_in_their_order() -> None:
    batch = lake_batch(message(0, *map(row, (9, 0, 1, 8, 2))).batch)
    table = newest_rows([batch], batch.schema)
    assert [part["offset"].to_pylist() for _, part in by_hour(table)] == [[0, 1, 2], [8, 9]]
    assert list(by_hour(table.slice(0, 0))) == []


def test_a_slice_of_samples_keeps_its_own_lists() -> None:
    whole = sample_batch(0, 1, 2)
    assert lake_batch(whole.slice(1, 1)).to_pylist() == lake_batch(whole).slice(1, 1).to_pylist()
