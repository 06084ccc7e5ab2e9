"""How often a broker that refuses is tried."""

from __future__ import annotations

import asyncio

import pytest

from sie_online.client import backoff


class Client:
    """As much of aiokafka's as is wrapped; ``answers`` are what connecting gives, one after the other."""

    def __init__(self, *answers: str | None) -> None:
        self._answers = list(answers)

    async def _get_conn(self, node_id: int, **how: object) -> str | None:
        return self._answers.pop(0)


def _waits(monkeypatch: pytest.MonkeyPatch, *answers: str | None) -> list[float]:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def run() -> None:
        client = Client(*answers)
        backoff.back_off(client)
        for answer in answers:
            assert await client._get_conn(1) == answer

    with monkeypatch.context() as patched:
        patched.setattr(backoff.asyncio, "sleep", sleep)
        asyncio.run(run())
    return waits


def test_each_try_waits_longer_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = _waits(monkeypatch, *[None] * 12)
    assert waits == sorted(waits)
    assert waits[0] == backoff.FIRST_S
    assert waits[-1] == waits[-2] == backoff.LONGEST_S


def test_a_connection_is_handed_over_without_a_wait_once_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(_waits(monkeypatch, None, None, "connected", "connected", "connected")) == 2


def test_another_node_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        client = Client(None, "connected")
        backoff.back_off(client)
        await client._get_conn(1)
        monkeypatch.setattr(backoff.asyncio, "sleep", None)  # not called
        assert await client._get_conn(2) == "connected"

    asyncio.run(run())
