"""A real Prometheus scrapes a worker's site and sees its figures move."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sie_online.settings import Settings
from streams.observe.metrics import Metrics
from streams.observe.web import WorkerHealth, WorkerSite
from tests.support.brokers import free_ports
from tests.support.metrics import busy, counts
from tests.support.requirements import PROMETHEUS, need
from tests.support.waiting import awaited

WELL = WorkerHealth(stalled_s=lambda: 0.0, assigned=lambda: True, recovered=lambda: True, agents_running=lambda: True)
SEEN_WITHIN_S = 30

CONFIG = """
global:
  scrape_interval: 250ms
  scrape_timeout: 250ms
scrape_configs:
  - job_name: sie
    static_configs:
      - targets: ["{target}"]
"""


@pytest.fixture(autouse=True)
def _needs_prometheus() -> None:
    need("prometheus", "promtool", install=PROMETHEUS)


@asynccontextmanager
async def scraping(target: str, folder: Path) -> AsyncIterator[str]:
    """A Prometheus of our own that scrapes ``target``; yields its address."""
    config, log, port = folder / "prometheus.yml", folder / "prometheus.log", free_ports()[0]
    config.write_text(CONFIG.format(target=target))
    checked = await asyncio.create_subprocess_exec(
        "promtool", "check", "config", str(config), stdout=subprocess.DEVNULL
    )
    assert await checked.wait() == 0
    arguments = {
        "config.file": config,
        "storage.tsdb.path": folder / "tsdb",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            "prometheus", *(f"--{name}={value}" for name, value in arguments.items()), stdout=output, stderr=output
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def query(session: aiohttp.ClientSession, address: str, expression: str) -> list[dict[str, Any]]:
    """The instant vector of ``expression``; empty while Prometheus starts."""
    try:
        async with session.get(f"{address}/api/v1/query", params={"query": expression}) as answer:
            if answer.status != 200:
                return []
            result: list[dict[str, Any]] = json.loads(await answer.text())["data"]["result"]
            return result
    except aiohttp.ClientConnectionError:
        return []


async def until(
    session: aiohttp.ClientSession, address: str, expression: str, holds: Callable[[list[float]], bool]
) -> list[float]:
    """The values of ``expression`` as soon as they are as expected; fails with the last ones seen."""

    async def values() -> list[float]:
        return [float(series["value"][1]) for series in await query(session, address, expression)]

    return await awaited(values, f"{expression} as expected", SEEN_WITHIN_S, holds=holds)


def test_prometheus_sees_a_worker_move(settings: Callable[..., Settings], tmp_path: Path) -> None:
    async def run() -> None:
        metrics = Metrics(settings())
        busy(metrics)
        async with (
            WorkerSite(settings(), metrics.registry, WELL) as site,
            aiohttp.ClientSession() as session,
            scraping(site.url.removeprefix("http://"), tmp_path) as prometheus,
        ):
            await until(session, prometheus, 'up{job="sie"}', lambda up: up == [1.0])
            total = 'sum(sie_events_total{outcome="weighted"})'
            await until(session, prometheus, total, lambda events: events == [96.0])
            metrics.observe_counts(0, counts(weighted=(0, 1_000, 0, 0, 0, 0, 0, 0)))
            metrics.set_lag(0, 5)
            await until(session, prometheus, total, lambda events: events == [1_096.0])
            await until(session, prometheus, "sie_lag_records", lambda lag: lag == [5.0])
            await until(session, prometheus, "rate(sie_events_total[10s]) > 0", lambda rates: len(rates) >= 1)
            slowest = "histogram_quantile(0.5, sum by (le) (sie_event_to_publish_seconds_bucket))"
            assert await until(session, prometheus, slowest, lambda found: bool(found)) == [
                pytest.approx(0.375, abs=0.126)
            ]
            metrics.revoke(0)
            await until(session, prometheus, "sie_lag_records", lambda lag: lag == [])

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
