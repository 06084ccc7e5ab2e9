"""What rounds come to: ratios within a round, spreads over rounds, and nothing that silently goes missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.contestants import FETCH, STOCK, WORKER, Run
from tests.benchmarks.peers import PEERS
from tests.benchmarks.pictures import draw
from tests.benchmarks.report import BenchmarkReport, spreads


def run(contestant: str, rate: float, cores: float = 0.5) -> Run:
    threads = {"shards": 4.0} if contestant == WORKER else {}
    return Run(contestant, 1_000, 1_000 / rate, {"contestant": cores, "broker": 0.25}, {"process_s": 0.1}, threads)


def report(*rates: tuple[float, float]) -> BenchmarkReport:
    """Rounds of a worker and an empty fetch at these rates."""
    rounds = [{WORKER: run(WORKER, mine), FETCH: run(FETCH, theirs)} for mine, theirs in rates]
    return BenchmarkReport({"kafka": "4"}, {"partitions": 4}, rounds)


def test_ratios_are_taken_within_a_round() -> None:
    made = report((10, 100), (20, 50), (30, 100))
    assert made.ratios(WORKER, FETCH) == pytest.approx([0.1, 0.4, 0.3])
    told = made.as_dict()["ratio"]
    assert told["worker/empty-fetch"] == pytest.approx({"min": 0.1, "median": 0.3, "max": 0.4})
    assert told["empty-fetch/worker"]["median"] == pytest.approx(1 / 0.3)


def test_processor_time_is_cores_by_seconds_over_events() -> None:
    assert run(WORKER, 100_000, cores=0.5).cpu_us == pytest.approx({"contestant": 5.0, "broker": 2.5})
    assert report((10, 100), (20, 100)).cpu_us(WORKER)["contestant"] == pytest.approx(
        {"min": 25_000, "median": 37_500, "max": 50_000}
    )


def test_a_name_counts_where_it_was_seen() -> None:
    assert spreads([{"a": 1.0}, {"a": 3.0, "b": 5.0}]) == {
        "a": {"min": 1.0, "median": 2.0, "max": 3.0},
        "b": {"min": 5.0, "median": 5.0, "max": 5.0},
    }


def test_who_did_not_run_is_named_with_the_reason() -> None:
    made = report((10, 100), (20, 100))
    made.not_run["pathway"] = "uv pip: no wheel"
    made.rounds[0]["pathway"] = run("pathway", 5)  # it failed in the second round
    assert "pathway" not in made.contestants
    assert "pathway: not run: uv pip: no wheel" in str(made)
    assert made.as_dict()["not_run"] == {"pathway": "uv pip: no wheel"}


def test_the_table_says_what_each_was_asked_to_do() -> None:
    made = report((10, 100))
    made.rounds[0]["bytewax"] = run("bytewax", 50)
    assert f"bytewax: {PEERS['bytewax'].job}" in str(made)
    assert f"{STOCK}:" not in str(made)


def test_a_result_read_again_gives_the_same_picture(tmp_path: Path) -> None:
    made = report((10, 100), (20, 100))
    made.write(tmp_path / "result.json")
    again = json.loads((tmp_path / "result.json").read_text())
    first, second = draw(made.as_dict(), tmp_path / "a.svg"), draw(again, tmp_path / "b.svg")
    assert first.read_text() == second.read_text()
    assert ">empty-fetch<" in first.read_text()
