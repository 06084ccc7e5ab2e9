"""What the metrics are told of shards beside their outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sie_online.settings import Settings
from streams.observe.metrics import Metrics
from streams.worker import report
from streams.worker.report import ShardReports
from tests.support.metrics import VERSION, stats
from tests.support.waiting import awaited

ANNOUNCED_MS = {("net", 3): 1_500_000_000_000}


class Leases(list[Any]):
    """Shards in memory; of which ``partitions`` are owned."""

    def __init__(self, *leases: Any) -> None:
        super().__init__(leases)
        self.partitions = {0, 1}


def lease(partition: int, n: int) -> Any:
    """A shard in which announcement ``n`` of the net is in force, and nothing else that was announced."""
    return SimpleNamespace(
        partition=partition,
        shard=SimpleNamespace(
            stats=lambda: stats({"user": 3 + n}),
            announced=lambda model: n if model == "net" else 0,
            version=lambda model: VERSION if n and model == "net" else "builtin",
        ),
    )


@pytest.fixture
def metrics(settings: Callable[..., Settings]) -> Metrics:
    return Metrics(settings())


def reports(leases: Leases, metrics: Metrics) -> ShardReports:
    adoptions = SimpleNamespace(announced_at_ms=lambda model, n: ANNOUNCED_MS.get((model, n), 0))
    return ShardReports(cast(Any, leases), cast(Any, adoptions), metrics)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_report_tells_how_a_shard_stands_and_what_is_in_force(metrics: Metrics) -> None:
    reports(Leases(), metrics).report(lease(1, 3))
    assert value(metrics, "sie_entity_slots", partition="1", kind="user") == 6
    assert value(metrics, "sie_model_in_force_info", partition="1", model="net", version=VERSION) == 1
    assert value(metrics, "sie_model_in_force_timestamp_seconds", partition="1", model="net") == 1_500_000_000
    assert value(metrics, "sie_model_in_force_info", partition="1", model="noise", version="builtin") == 1
    assert value(metrics, "sie_model_in_force_timestamp_seconds", partition="1", model="noise") == 0


def test_how_many_partitions_are_owned_is_asked_at_every_scrape(metrics: Metrics) -> None:
    leases = Leases()
    reports(leases, metrics)
    assert value(metrics, "sie_assigned_partitions") == 2
    leases.partitions = set()
    assert value(metrics, "sie_assigned_partitions") == 0


def test_every_shard_is_reported_on_again_and_again(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "EVERY_S", 0.0)
    leases = Leases(lease(0, 0))
    service = SimpleNamespace(should_stop=False, sleep=asyncio.sleep)

    async def run() -> None:
        running = asyncio.create_task(reports(leases, metrics).run(cast(Any, service)))
        await awaited(lambda: value(metrics, "sie_open_views", partition="0") == 7, "the first")
        leases.append(lease(1, 3))
        await awaited(lambda: value(metrics, "sie_model_adopted", partition="1", model="net") == 3, "the other")
        service.should_stop = True
        await running

    asyncio.run(run())
