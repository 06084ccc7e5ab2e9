"""What a worker's page learns of the trainer beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from sie_online.settings import TrainerWeb
from streams.observe.http import HttpServer, json_page
from streams.observe.page.trainer import DOCUMENT_BYTES, TrainerBeside
from streams.observe.trainer_watch import NOT_HEARD, TrainerWatch

SAID = {"state": {"name": "waiting", "tone": "good", "sentence": "Waiting."}, "device": "cuda", "more": [1]}


def watched(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> TrainerBeside:
    """What is told after a look at a site that gives this ``answer``."""

    async def run() -> TrainerBeside:
        server = HttpServer("trainer.web", TrainerWeb(port=0), {"/status.json": answer})
        await server.open()
        try:
            watch = TrainerWatch(TrainerWeb(port=int(server.url.rpartition(":")[2])), lambda: 3)
            await watch.look()
            return watch.told
        finally:
            await server.close()

    return asyncio.run(run())


def test_its_sentence_is_repeated() -> None:
    async def answer(_: web.Request) -> web.Response:
        return json_page(SAID)

    told = watched(answer)
    assert (told.state.sentence, told.device, told.restarts) == ("Waiting.", "cuda", 3)
    assert told.port > 0


@pytest.mark.parametrize("body", [b"", b"{}", b'{"state": 1}', b"no JSON", b" " * (DOCUMENT_BYTES + 1)])
def test_what_cannot_be_read_is_no_answer(body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body)

    assert watched(answer).state == NOT_HEARD


def test_one_that_is_away_and_one_on_any_port_are_told_as_such() -> None:
    async def look(port: int) -> TrainerBeside:
        watch = TrainerWatch(TrainerWeb(port=port), lambda: 0)
        await watch.look()
        return watch.told

    assert asyncio.run(look(1)).state == NOT_HEARD
    told = asyncio.run(look(0))
    assert told.port == 0
    assert "on a port that its log names" in told.state.sentence
