"""A real Prometheus for tests: started with a configuration of theirs, asked, and ended."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.support.brokers import free_ports
from tests.support.waiting import awaited

SEEN_WITHIN_S = 30


class Prometheus:
    """One that runs; ``address`` is where."""

    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self.address = address
        self._session = session

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector of ``expression``; empty while Prometheus starts."""
        try:
            async with self._session.get(f"{self.address}/api/v1/query", params={"query": expression}) as answer:
                if answer.status == 503:
                    return []
                body = json.loads(await answer.text())
        except aiohttp.ClientConnectionError:
            return []
        assert answer.status == 200, f"{expression}: {body}"
        result: list[dict[str, Any]] = body["data"]["result"]
        return result

    async def until(
        self, expression: str, holds: Callable[[list[float]], bool], within_s: float = SEEN_WITHIN_S
    ) -> list[float]:
        """The values of ``expression`` as soon as they are as expected; fails with the last ones seen."""

        async def values() -> list[float]:
            return [float(series["value"][1]) for series in await self.query(expression)]

        return await awaited(values, f"{expression} as expected", within_s, holds=holds)


@asynccontextmanager
async def running(config: Mapping[str, Any], folder: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus of our own with ``config``, which promtool has accepted; its data lie in ``folder``."""
    file, log, port = folder / "prometheus.yml", folder / "prometheus.log", free_ports()[0]
    file.write_text(yaml.safe_dump(dict(config)))
    checked = await asyncio.create_subprocess_exec("promtool", "check", "config", str(file), stdout=subprocess.DEVNULL)
    assert await checked.wait() == 0
    arguments = {
        "config.file": file,
        "storage.tsdb.path": folder / "tsdb",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            "prometheus", *(f"--{name}={value}" for name, value in arguments.items()), stdout=output, stderr=output
        )
    try:
        async with aiohttp.ClientSession() as session:
            yield Prometheus(f"http://127.0.0.1:{port}", session)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
