"""Prometheus of a stack: its configuration on this machine, and its answers."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from typing import Any

import aiohttp
import yaml

from deploy.stack.plan import DEPLOY, StackPlan

CONFIGURATION = DEPLOY / "prometheus"
SCRAPE_S = 2
"""Seconds: somebody watches, or waits."""
INTERVALS = ("scrape_interval", "scrape_timeout", "evaluation_interval")
TIMEOUT = aiohttp.ClientTimeout(total=10)


def configure(plan: StackPlan) -> list[str]:
    """Write what Prometheus reads; the command that runs it.

    It is what ``deploy/prometheus`` has, but for the targets and the interval.
    """
    folder = plan.directory / "prometheus"
    shutil.copytree(CONFIGURATION, folder)
    file = folder / "prometheus.yml"
    configuration = yaml.safe_load(file.read_text("utf-8"))
    configuration["global"] |= dict.fromkeys(INTERVALS, f"{SCRAPE_S}s")
    ports = {"sie-worker": plan.ports.worker, "sie-trainer": plan.ports.trainer, "sie-sink": plan.ports.sink}
    configuration["scrape_configs"] = [
        {"job_name": job["job_name"], "static_configs": [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]}
        for job in configuration["scrape_configs"]
    ]
    file.write_text(yaml.safe_dump(configuration), "utf-8")
    return [
        "prometheus",
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{plan.ports.prometheus}",
    ]


class Prometheus:
    """The one at ``address``; where it does not answer, it knows nothing."""

    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self._address = address
        self._session = session

    async def numbers(self, promql: str) -> list[float]:
        """The values of an instant query that are numbers.

        Raises:
            ValueError: it refuses the query.
        """
        answer = await self._get("query", {"query": promql})
        if answer.get("status") == "error":
            raise ValueError(f"{answer['error']}: {promql}")
        results = answer.get("data", {}).get("result", [])
        values = (float(series["value"][1]) for series in results)
        return [value for value in values if not math.isnan(value)]

    async def label_values(self, series: str, label: str) -> list[str]:
        """The values of ``label`` of ``series``."""
        return list((await self._get(f"label/{label}/values", {"match[]": series})).get("data", []))

    async def _get(self, path: str, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            async with self._session.get(f"{self._address}/api/v1/{path}", params=parameters, timeout=TIMEOUT) as reply:
                answer: Mapping[str, Any] = await reply.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return {}
        return answer
