"""How Faust "decodes" a turn: not at all. Values reach the shard as raw bytes and are parsed there, once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import faust
from faust.types import AppT, Message


class BatchSchema(faust.Schema[Any, Any]):
    """Passes the batches of a message through untouched, so that no bad record can stop an agent."""

    def compile(self, app: AppT, **_: Any) -> Callable[..., Awaitable[Any]]:
        """The function that makes an event of a message."""

        async def decode(message: Message, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, {}, message)

        return decode
