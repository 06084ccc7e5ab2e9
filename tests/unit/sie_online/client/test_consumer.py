"""A consumer that has nothing to catch up with leaves the broker in peace for a while after every answer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from sie_online.client import consumer
from sie_online.client.consumer import FULL, PAUSE_S, PatientConsumer

OFFSET = 40
REQUEST = SimpleNamespace(topics=[("t", [(0, OFFSET, 1 << 20)])])


class Fetching:
    """The fetch of a consumer whose broker answers at once, from a log that ends ``ahead`` records further on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ahead: int, lso: int | None = None) -> None:
        self.slept: list[float] = []
        end = OFFSET + ahead
        self._assignment = SimpleNamespace(state_value=lambda tp: SimpleNamespace(highwater=end, lso=lso))

        async def fetch(*_request: Any) -> bool:
            return ahead > 0

        async def start(self: AIOKafkaConsumer) -> None:
            self._fetcher = SimpleNamespace(_proc_fetch_request=fetch, _records={})

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        monkeypatch.setattr(AIOKafkaConsumer, "start", start)
        monkeypatch.setattr(consumer.asyncio, "sleep", sleep)
        self._patient = PatientConsumer.__new__(PatientConsumer)
        self._patient._closed = True  # or its finaliser complains
        self._patient._pause_s = self._patient._trickle_pause_s = PAUSE_S
        self._patient._drain_bytes = 1 << 20
        asyncio.run(self._patient.start())

    def __call__(self, node: int = 1) -> bool:
        fetch = self._patient._fetcher._proc_fetch_request
        news: bool = asyncio.run(fetch(self._assignment, node, REQUEST))
        return news


@pytest.mark.parametrize("ahead", [0, 3, FULL - 1])
def test_a_broker_that_had_little_to_say_is_asked_again_after_a_pause(
    monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    fetch = Fetching(monkeypatch, ahead)
    assert fetch() == (ahead > 0)
    assert fetch.slept == []
    fetch()
    (pause,) = fetch.slept
    assert 0 < pause <= PAUSE_S


@pytest.mark.parametrize(
    ("found", "meanwhile_s", "pause_s"),
    [
        (0, 0.5, 0.02),
        (1, 3600.0, 0.1),  # the first after a silence
        (10, 0.1, 0.1),  # 100 a second
        (10, 0.05, 0.05),
        (20, 0.02, 0.02),  # 1,000 a second
        (FULL - 1, 0.1, 0.02),
        (FULL, 0.1, 0.0),
    ],
)
def test_the_fewer_records_come_the_longer_is_the_pause(found: int, meanwhile_s: float, pause_s: float) -> None:
    reader = PatientConsumer.__new__(PatientConsumer)
    reader._closed = True  # or its finaliser complains
    reader._pause_s, reader._trickle_pause_s = 0.02, 0.1
    assert reader._pause(found, meanwhile_s) == pytest.approx(pause_s)


def test_a_reader_that_is_behind_does_not_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = Fetching(monkeypatch, FULL)
    assert (fetch(), fetch()) == (True, True)
    assert fetch.slept == []


def test_records_of_an_open_transaction_cannot_be_caught_up_with(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = Fetching(monkeypatch, FULL, lso=OFFSET + 1)
    fetch()
    fetch()
    assert len(fetch.slept) == 1


def test_every_broker_has_a_pause_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = Fetching(monkeypatch, 1)
    fetch(node=1)
    fetch(node=2)
    assert fetch.slept == []


def test_an_assignment_that_ends_meanwhile_brought_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = Fetching(monkeypatch, 1)
    fetch()

    async def cancelled(_seconds: float) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(consumer.asyncio, "sleep", cancelled)
    assert fetch() is False


class Stopping:
    """A consumer whose stop waits for ``cancelled``, a fetch of its own that it has cancelled, or for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, cancelled: bool) -> None:
        self.closed = False

        async def stop(_: AIOKafkaConsumer) -> None:
            waiting = asyncio.get_running_loop().create_future()
            if cancelled:
                waiting.cancel()
            await waiting

        async def close() -> None:
            self.closed = True

        monkeypatch.setattr(AIOKafkaConsumer, "stop", stop)
        self.consumer = PatientConsumer.__new__(PatientConsumer)
        self.consumer._closed = True
        self.consumer._client = SimpleNamespace(close=close)


def test_a_fetch_that_is_cancelled_by_stopping_ends_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = Stopping(monkeypatch, cancelled=True)
    asyncio.run(stopping.consumer.stop())
    assert stopping.closed


def test_whoever_is_cancelled_while_stopping_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = Stopping(monkeypatch, cancelled=False)

    async def cancel() -> None:
        task = asyncio.create_task(stopping.consumer.stop())
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancel())
