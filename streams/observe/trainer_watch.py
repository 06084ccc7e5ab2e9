"""Asks the site of the trainer that a worker has started how it is, for the worker's page, which repeats it.

A page of one site may not load from another, so the worker asks, on the loopback interface.
"""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
import msgspec

from sie_online.settings import TrainerWeb
from streams.observe.page.state import State
from streams.observe.page.trainer import DOCUMENT_BYTES, Told, TrainerBeside

ANSWER_S = 2.0
ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask who listens on every address

NOT_HEARD = State("unknown", "busy", "The trainer beside this worker does not answer.", "It may just be starting.")
NO_PORT = State("unknown", "good", "A trainer runs beside this worker, on a port that its log names.")


class TrainerWatch:
    """Of the trainer that listens on ``address``; ``restarts`` says how often it was started anew."""

    def __init__(self, address: TrainerWeb, restarts: Callable[[], int]) -> None:
        host = ANYWHERE.get(address.host, address.host)
        self._port = address.port
        self._url = f"http://[{host}]:{address.port}" if ":" in host else f"http://{host}:{address.port}"
        self._restarts = restarts
        self._told = Told(NOT_HEARD if address.port else NO_PORT)

    @property
    def told(self) -> TrainerBeside:
        """As of the last ``look``."""
        return TrainerBeside(self._port, self._told.state, self._told.device, self._restarts())

    async def look(self) -> None:
        """Ask; no answer, or none that can be read, is said as such."""
        if not self._port:
            return
        try:
            self._told = await self._ask()
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError):
            self._told = Told(NOT_HEARD)

    async def _ask(self) -> Told:
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{self._url}/status.json", allow_redirects=False) as answer,
        ):
            if (answer.content_length or 0) > DOCUMENT_BYTES:
                return Told(NOT_HEARD)
            return msgspec.json.decode(await answer.read(), type=Told)
