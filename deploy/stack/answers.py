"""What Prometheus answers to the dashboards: every query of every panel, asked as Grafana would ask it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.stack.plan import DEPLOY
from deploy.stack.prometheus import SCRAPE_S, Prometheus

DASHBOARDS = DEPLOY / "grafana" / "dashboards"
GIVEN = {"__rate_interval": f"{4 * SCRAPE_S}s"}
"""Variables of Grafana's own: four scrapes."""
ASK_EVERY_S = 1.0


@dataclass
class Asked:
    """One query of a panel, and the numbers that answered it; none yet, or none at all."""

    dashboard: str
    panel: str
    promql: str
    numbers: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Page:
    """A dashboard as far as it asks: its queries, and how its variables get their values, in order."""

    variables: Sequence[Mapping[str, Any]]
    queries: Sequence[Asked]


def pages(folder: Path = DASHBOARDS) -> list[Page]:
    """Every dashboard in ``folder``."""
    return [_page(json.loads(file.read_text("utf-8"))) for file in sorted(folder.glob("*.json"))]


def _page(document: Mapping[str, Any]) -> Page:
    asked = [
        Asked(document["title"], panel["title"], target["expr"])
        for panel in document["panels"]
        for target in panel.get("targets", ())
    ]
    return Page(document["templating"]["list"], asked)


async def ask_all(prometheus: Prometheus, limit_s: float) -> list[Asked]:
    """Ask every query until it was answered with a number once, or ``limit_s`` are over.

    Raises:
        ValueError: Prometheus refuses a query.
    """
    deadline, asking = time.monotonic() + limit_s, pages()
    while time.monotonic() < deadline:
        for page in asking:
            await _ask(prometheus, page)
        if all(query.numbers for page in asking for query in page.queries):
            break
        await asyncio.sleep(ASK_EVERY_S)
    return [query for page in asking for query in page.queries]


async def _ask(prometheus: Prometheus, page: Page) -> None:
    values = await _values(prometheus, page.variables)
    for query in page.queries:
        if not query.numbers:
            query.numbers = await prometheus.numbers(_substituted(query.promql, values))


async def _values(prometheus: Prometheus, variables: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What each variable stands for: all of its values, or what is chosen at first."""
    values = dict(GIVEN)
    for variable in variables:
        if variable["type"] == "query":
            series, label = _label_of(_substituted(variable["definition"], values))
            values[variable["name"]] = "|".join(await prometheus.label_values(series, label))
        elif variable["type"] == "custom":
            values[variable["name"]] = variable["current"]["value"]
    return values


def _label_of(definition: str) -> tuple[str, str]:
    """Series and label of ``label_values(series, label)``."""
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", definition)
    if match is None:
        raise ValueError(f"not the values of a label: {definition}")
    return match[1], match[2]


def _substituted(promql: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda name: values[name[1]], promql)
