"""A stack's plan and its questions: what is taken is named, and what nobody answers counts as unanswered."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest

from deploy.stack import plan
from deploy.stack.answers import ask_all, pages
from deploy.stack.plan import Ports, StackPlan
from deploy.stack.prometheus import Prometheus
from sie_online.errors import UsageError
from tests.support.brokers import free_ports


def test_a_port_that_is_taken_is_named_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(plan, "USUAL", Ports(*free_ports(2), port, *free_ports(3)))
        with pytest.raises(UsageError, match=rf"ports taken: {port} \(worker\): .*--free-ports"):
            StackPlan.usual(Path("build/stack"), 20.0)


def test_worker_trainer_and_load_meet_at_the_plan_s_addresses(tmp_path: Path) -> None:
    made = StackPlan.anywhere(tmp_path, 20.0)
    assert len(set(made.ports)) == len(made.ports)
    assert made.settings.broker == f"127.0.0.1:{made.ports.kafka}"
    assert (made.settings.web.port, made.settings.trainer.web.port) == (made.ports.worker, made.ports.trainer)
    assert Path(made.settings.store.removeprefix("file://")).parent == tmp_path


def test_what_nobody_answers_is_unanswered() -> None:
    async def asked() -> list[bool]:
        async with aiohttp.ClientSession() as session:
            nobody = Prometheus(f"http://127.0.0.1:{free_ports()[0]}", session)
            return [bool(query.numbers) for query in await ask_all(nobody, limit_s=0.1)]

    assert asyncio.run(asked()) == [False] * sum(len(page.queries) for page in pages())
