"""A real Prometheus scrapes a worker's site and sees its figures move."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sie_online.settings import Settings
from streams.observe.metrics import Metrics
from streams.observe.web import WorkerHealth, WorkerSite
from tests.support.metrics import busy, counts
from tests.support.prometheus import running
from tests.support.requirements import PROMETHEUS, need

WELL = WorkerHealth(stalled_s=lambda: 0.0, assigned=lambda: True, recovered=lambda: True, agents_running=lambda: True)


def _scraping(target: str) -> dict[str, Any]:
    """A configuration that scrapes ``target`` four times a second."""
    return {
        "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms"},
        "scrape_configs": [{"job_name": "sie", "static_configs": [{"targets": [target]}]}],
    }


@pytest.fixture(autouse=True)
def _needs_prometheus() -> None:
    need("prometheus", "promtool", install=PROMETHEUS)


def test_prometheus_sees_a_worker_move(settings: Callable[..., Settings], tmp_path: Path) -> None:
    async def run() -> None:
        metrics = Metrics(settings())
        busy(metrics)
        async with (
            WorkerSite(settings(), metrics.registry, WELL) as site,
            running(_scraping(site.url.removeprefix("http://")), tmp_path) as prometheus,
        ):
            await prometheus.until('up{job="sie"}', lambda up: up == [1.0])
            total = 'sum(sie_events_total{outcome="weighted"})'
            await prometheus.until(total, lambda events: events == [96.0])
            metrics.observe_counts(0, counts(weighted=(0, 1_000, 0, 0, 0, 0, 0, 0)))
            metrics.set_lag(0, 5)
            await prometheus.until(total, lambda events: events == [1_096.0])
            await prometheus.until("sie_lag_records", lambda lag: lag == [5.0])
            await prometheus.until("rate(sie_events_total[10s]) > 0", lambda rates: len(rates) >= 1)
            slowest = "histogram_quantile(0.5, sum by (le) (sie_event_to_publish_seconds_bucket))"
            assert await prometheus.until(slowest, lambda found: bool(found)) == [pytest.approx(0.375, abs=0.126)]
            metrics.revoke(0)
            await prometheus.until("sie_lag_records", lambda lag: lag == [])

    asyncio.run(run())


def test_promtool_has_nothing_to_say_about_what_is_served(settings: Callable[..., Settings]) -> None:
    async def served() -> bytes:
        metrics = Metrics(settings())
        busy(metrics)
        async with (
            WorkerSite(settings(), metrics.registry, WELL) as site,
            aiohttp.ClientSession() as session,
            session.get(f"{site.url}/metrics") as answer,
        ):
            return await answer.read()

    done = subprocess.run(
        ["promtool", "check", "metrics"], input=asyncio.run(served()), capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
