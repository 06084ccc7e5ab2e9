"""A generated file holds the simulation's events and nothing of the truth, is always the same, and never half there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sie_online.errors import UsageError
from sie_online.ingest.sources import read_events
from sie_online.simulator import Scenario, Simulation, SimulationFiles, simulate
from sie_online.simulator.files import WRITERS
from sie_online.simulator.malformed import MALFORMED, NO_LINES, malformed_line

SCENARIO = Scenario(events=3_000, seed=5, malformed=0)

every_format = pytest.mark.parametrize("ending", WRITERS)


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(SCENARIO).without_duplicates()


def written(simulation: Simulation, path: Path) -> SimulationFiles:
    target = SimulationFiles.named(path)
    target.write(simulation)
    return target


def read_back(path: Path) -> list[Any]:
    return [json.loads(record.value or b"") for chunk in read_events([path]) for record in chunk.records]


@every_format
def test_what_is_read_back_are_the_events_of_the_stream(simulation: Simulation, tmp_path: Path, ending: str) -> None:
    file = written(simulation, tmp_path / f"events{ending}")
    assert read_back(file.path) == [json.loads(record.value or b"") for record in simulation.records()]


@every_format
def test_the_same_scenario_gives_the_same_bytes_under_any_name(tmp_path: Path, ending: str) -> None:
    first, again, other = (
        written(simulate(replace(SCENARIO, seed=seed)), tmp_path / f"{name}{ending}")
        for name, seed in (("a", 5), ("b", 5), ("c", 6))
    )
    assert first.path.read_bytes() == again.path.read_bytes() != other.path.read_bytes()
    assert first.truth.read_bytes() == again.truth.read_bytes() != other.truth.read_bytes()


def test_the_truth_names_every_event_in_order_and_the_events_do_not_tell_it(
    simulation: Simulation, tmp_path: Path
) -> None:
    file = written(simulation, tmp_path / "events.parquet")
    events, truth = pd.read_parquet(file.path), pd.read_parquet(file.truth)
    assert file.truth == tmp_path / "events.truth.parquet"
    assert list(truth) == ["event_id", "event_type", "kind", "noisy"]
    assert truth[["event_id", "event_type"]].equals(events[["event_id", "event_type"]])
    assert truth["kind"].value_counts().to_dict() == simulation.counts_by_kind()
    assert (truth["noisy"] == (truth["kind"] != "clean")).all()
    assert not {"kind", "noisy"} & set(events)


@pytest.mark.parametrize("nth", range(len(MALFORMED) - len(NO_LINES)))
def test_a_malformed_line_is_one_line_and_broken_without_its_key(nth: int) -> None:
    event = {"event_id": "m1", "user_id": "u1", "item_id": "i1", "event_type": "view",
             "timestamp_ms": 1_750_000_000_000, "price": 3.5}  # fmt: skip
    key, value, _ = malformed_line(nth, event)
    assert key == b"u1"
    assert value is not None
    assert value.strip()
    assert b"\n" not in value
    assert value != json.dumps(event, separators=(",", ":")).encode()


def test_lines_hold_duplicates_and_malformed_records_where_the_simulation_has_them(tmp_path: Path) -> None:
    untidy = simulate(replace(SCENARIO, malformed=40))
    lines = written(untidy, tmp_path / "events.jsonl").path.read_bytes().splitlines()
    events = [line for line in lines if line.startswith(b'{"event_id":"e')]
    assert len(lines) == len(untidy)
    assert len(events) - len(set(events)) == untidy.duplicates > 0


def test_a_file_that_could_not_be_written_whole_is_not_there_and_an_older_one_still_is(
    simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = Simulation.tables

    def interrupted(self: Simulation, rows: int) -> Iterator[pa.Table]:
        yield next(tables(self, rows))
        raise KeyboardInterrupt

    older = written(simulation, tmp_path / "older.parquet")
    before = older.path.read_bytes(), older.truth.read_bytes()
    monkeypatch.setattr(Simulation, "tables", interrupted)
    for name in ("older.parquet", "new.csv"):
        with pytest.raises(KeyboardInterrupt):
            written(simulate(replace(SCENARIO, seed=6)), tmp_path / name)
    assert sorted(tmp_path.iterdir()) == [older.path, older.truth]
    assert (older.path.read_bytes(), older.truth.read_bytes()) == before


def test_a_larger_file_is_written_in_parts_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sie_online.simulator.files.ROW_GROUP", 1_000)
    simulation = simulate(SCENARIO)
    for ending in (".parquet", ".jsonl"):
        told: list[tuple[int, float]] = []
        target = SimulationFiles.named(tmp_path / f"events{ending}")
        target.write(simulation, lambda *progress, told=told: told.append(progress))
        assert len(told) > 2
        assert told == sorted(told)
        assert told[-1][1] == 1.0
    assert pq.ParquetFile(tmp_path / "events.parquet").num_row_groups == -(-simulation.events // 1_000)


@pytest.mark.parametrize("name", ["events", "events.txt", "events.parquet.gz", "events.csv.zst", ".csv"])
def test_a_name_that_says_no_format_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"end it in \.parquet, \.csv"):
        SimulationFiles.named(Path(name))


@pytest.mark.parametrize("hours", [0.5, 2_161, float("nan")])
def test_a_span_that_no_stream_has_is_refused(hours: float) -> None:
    with pytest.raises(UsageError, match="1 to 2,160"):
        Scenario(hours=hours)
