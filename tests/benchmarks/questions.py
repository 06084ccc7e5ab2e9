"""Questions at a steady rate: ``python -m tests.benchmarks.questions --url URL …``, as a process.

Routes take turns; each question is about an event that was published lately (``--known``, JSON lists of event, user and
item). A question's time counts from when it was due, so that one that waits holds up no other and hides nothing;
``late_ms`` is the part of it that passed before this process got round to asking. Logs ``ASKING``, then
``RESULT {route: {"ms": [...], "late_ms": [...], "statuses": {...}}}``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

CONNECTIONS = 32


def questions(known: list[list[str]], routes: list[str]) -> Iterator[tuple[str, str]]:
    """Route and path with query, without end."""
    for (event, user, item), route in zip(cycle(known), cycle(routes), strict=False):
        paths = {
            "weights": f"/v1/weights/{quote(event, safe='')}",
            "explain": f"/v1/explain/{quote(event, safe='')}?user={quote(user)}",
            "entities": f"/v1/entities/user/{quote(user, safe='')}",
            "items": f"/v1/entities/item/{quote(item, safe='')}",
            "score": f"/v1/score?user={quote(user)}&item={quote(item)}",
            "recommend": f"/v1/recommend?user={quote(user)}&n=10",
        }
        yield route, paths[route]


async def run(given: argparse.Namespace) -> dict[str, Any]:
    """Ask ``rate`` questions a second for ``seconds``."""
    took: dict[str, list[float]] = defaultdict(list)
    late: dict[str, list[float]] = defaultdict(list)
    statuses: dict[str, Counter[int]] = defaultdict(Counter)
    headers = {"Authorization": f"Bearer {given.token_file.read_text().strip()}"}
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(given.url, headers=headers, connector=connector) as session:

        async def ask(route: str, path: str, due: float) -> None:
            late[route].append(1000 * (time.perf_counter() - due))
            async with session.get(path) as answer:
                await answer.read()
            took[route].append(1000 * (time.perf_counter() - due))
            statuses[route][answer.status] += 1

        print("ASKING", flush=True)  # what it took to get here is not the worker's load
        began, asked = time.perf_counter(), []
        for number, (route, path) in enumerate(questions(json.loads(given.known.read_text()), given.routes)):
            due = began + number / given.rate
            if number / given.rate >= given.seconds:
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asked.append(asyncio.create_task(ask(route, path, due)))
        await asyncio.gather(*asked)
    return {route: {"ms": took[route], "late_ms": late[route], "statuses": statuses[route]} for route in took}


def main() -> None:
    """Ask, then say how long it took."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.questions", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--known", type=Path, required=True)
    parser.add_argument("--routes", nargs="+", required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    print("RESULT", json.dumps(asyncio.run(run(parser.parse_args()))), flush=True)


if __name__ == "__main__":
    main()
