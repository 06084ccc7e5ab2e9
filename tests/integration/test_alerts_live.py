"""The delivered rules on a fleet that really runs: none holds while nothing happens, the right ones do afterwards."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sie_online.settings import Settings
from tests.support import topic_io, trainers
from tests.support.alerts import PROMETHEUS, alerts, document, metrics_while_idle, runbook_queries
from tests.support.brokers import embedded_broker
from tests.support.prometheus import Prometheus, running
from tests.support.requirements import PROMETHEUS as PROMETHEUS_INSTALL
from tests.support.requirements import need
from tests.support.waiting import awaited
from tests.support.workers import SIE_WORKER, WorkerProcess, worker_pool

pytestmark = [pytest.mark.embedded, pytest.mark.slow]

PARTITIONS = 2
START_WITHIN_S = 120
WATCHED_S = 8
"""As long as nothing must come true; several scrapes, evaluations and checkpoint intervals."""


@pytest.fixture(autouse=True)
def _needs_prometheus() -> None:
    need("prometheus", "promtool", install=PROMETHEUS_INSTALL)


def _config(targets: dict[str, str]) -> dict[str, Any]:
    """The delivered configuration, with these targets by job, and a second where it waits longer."""
    config = copy.deepcopy(document(PROMETHEUS / "prometheus.yml"))
    config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(PROMETHEUS / pattern) for pattern in config["rule_files"]]
    config["scrape_configs"] = [
        {"job_name": name, "static_configs": [{"targets": [targets[name]], "labels": {"fleet": "sie"}}]}
        for name in (job["job_name"] for job in config["scrape_configs"])
    ]
    return config


async def _true(prometheus: Prometheus) -> set[str]:
    """Alerts whose expression holds now, however long it has to before they fire."""
    return {alert.name for alert in alerts() if await prometheus.query(alert.expr)}


async def _holds(prometheus: Prometheus, *names: str) -> None:
    await awaited(lambda: _true(prometheus), f"truth of {names}", holds=lambda true: set(names) <= true)


async def _nothing_is_said_of_a_fresh_fleet(prometheus: Prometheus) -> None:
    await prometheus.until("sum(sie_assigned_partitions)", lambda owned: owned == [PARTITIONS], START_WITHIN_S)
    await prometheus.until('up{job="sie-trainer"}', lambda up: up == [1.0], START_WITHIN_S)
    for name in sorted(metrics_while_idle()):
        await prometheus.until(f"count({name})", lambda series: series != [])
    for question in runbook_queries():
        await prometheus.query(question)  # which Prometheus must understand
    ends = asyncio.get_running_loop().time() + WATCHED_S
    while asyncio.get_running_loop().time() < ends:
        assert await _true(prometheus) == set()
        await asyncio.sleep(1)  # that nothing happens takes time to see
    assert await prometheus.query('count_over_time(ALERTS{alertstate="firing"}[10m])') == []


def test_no_alert_is_true_of_a_fleet_that_just_started_and_the_right_ones_are_when_it_breaks(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    async def run(broker: Any, **jobs: WorkerProcess) -> None:
        urls = {
            f"sie-{name}": job.wait_for(r"web site up url=http://(\S+)", START_WITHIN_S).group(1)
            for name, job in jobs.items()
        }
        async with running(_config(urls), tmp_path) as prometheus:
            await _nothing_is_said_of_a_fresh_fleet(prometheus)
            broker.kill()
            await _holds(prometheus, "SieBrokerAway")
            for job in jobs.values():
                job.kill()
            await _holds(
                prometheus, "SieNoWorker", "SieWorkerDown", "SiePartitionUnowned", "SieTrainerDown", "SieSinkDown"
            )

    with embedded_broker(tmp_path / "broker") as broker:
        made = settings(broker=broker.address, topics={"partitions": PARTITIONS}, trainer={"web": {"port": 0}})
        topic_io.make_topics(made)
        to_lake = (*SIE_WORKER[:-1], "sink", "--to", f"parquet+{(tmp_path / 'lake').as_uri()}", "--metrics-port", "0")
        with (
            worker_pool(made, tmp_path) as start,
            trainers.running(made, tmp_path) as trainer,
            worker_pool(made, tmp_path / "sink", to_lake) as start_sink,
        ):
            asyncio.run(run(broker, worker=start(), trainer=trainer, sink=start_sink()))
