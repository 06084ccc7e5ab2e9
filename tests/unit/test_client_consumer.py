"""An idle consumer leaves a broker in peace that answers empty fetches at once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from sie_online.client import consumer
from sie_online.client.consumer import PAUSE_S, PatientConsumer


def _fetching(monkeypatch: pytest.MonkeyPatch, *news: bool) -> tuple[Any, list[float]]:
    """The fetch of a consumer whose broker answers at once, with these ``news``; and what it has slept."""
    answers, slept = iter(news), list[float]()

    async def fetch(*_request: Any) -> bool:
        return next(answers)

    async def start(self: AIOKafkaConsumer) -> None:
        self._fetcher = SimpleNamespace(_proc_fetch_request=fetch)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(AIOKafkaConsumer, "start", start)
    monkeypatch.setattr(consumer.asyncio, "sleep", sleep)
    patient = PatientConsumer.__new__(PatientConsumer)
    patient._closed = True  # or its finaliser complains
    asyncio.run(patient.start())
    return patient._fetcher._proc_fetch_request, slept


def test_only_after_an_empty_answer_it_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch, slept = _fetching(monkeypatch, True, False, True)
    assert [asyncio.run(fetch()) for _ in range(3)] == [True, False, True]
    (pause,) = slept
    assert 0 < pause <= PAUSE_S


def test_an_assignment_that_ends_meanwhile_brought_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch, _ = _fetching(monkeypatch, False)

    async def cancelled(_seconds: float) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(consumer.asyncio, "sleep", cancelled)
    assert asyncio.run(fetch()) is False
