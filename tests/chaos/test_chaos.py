"""The short chaos run, and that it finds what it should find; ``make chaos`` runs the long one."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.faults import Fault, kill, short_plan
from tests.chaos.run import ChaosReport, run
from tests.support.brokers import apache_kafka
from tests.support.workers import SIE_WORKER

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SEED = 1


def _run(folder: Path, plan: Sequence[Fault], command: Sequence[str] = SIE_WORKER) -> ChaosReport:
    with apache_kafka(folder / "broker") as broker:
        return run(broker, folder, SEED, plan, command)


def test_kills_pauses_departures_and_a_dead_broker_change_no_published_row(tmp_path: Path) -> None:
    report = _run(tmp_path, short_plan(random.Random(SEED)))

    assert report.problems == []
    assert len(report.served_s) == 3
    assert min(report.lag_at_kill) > 0, "every victim was busy"
    assert report.repeated_rows > 0, "something was replayed"
    assert report.commit_looks > 100
    assert report.served >= 3, "nets came into force while all this happened"
    assert report.shared, "what the partitions learned was put together meanwhile"
    assert report.lists > report.taken_back > 0, "lists were published, and erasures took some back"


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("commit-ahead", "is committed, a checkpoint covers"),
        ("skip-replay", "rows are missing"),
        ("count-twice", "differ"),
    ],
)
def test_a_worker_with_this_fault_is_found_out(tmp_path: Path, fault: str, finding: str) -> None:
    broken = (sys.executable, "-m", "tests.chaos.broken_worker", fault)
    report = _run(tmp_path, [kill], broken)

    assert any(finding in problem for problem in report.problems), report
