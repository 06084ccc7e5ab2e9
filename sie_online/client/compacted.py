"""Follows a compacted topic into a table: what every reader of the newest value per key has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, Self

from sie_online.client.connection import settings_at
from sie_online.client.reader import Message, TopicReader
from sie_online.client.rows import Place, place
from sie_online.client.unreadable import Unreadable
from sie_online.errors import MessageError
from sie_online.settings import Settings

VALUE_BYTES = 1 << 16
"""What is written takes some 200 bytes, or 20 ids; longer values are not parsed."""


class CompactedReader(ABC):
    """Reads a topic from its beginning, again and again to where its log ends, and has a table take each record in.

    A record that the table refuses is counted (``unreadable``) and passed over; with ``strict`` it is an error.

    Args:
        settings: of the connection; by default those of the environment.
        broker: in place of the settings' one.
        topic: in place of the settings' one.
        strict: whether a record that is refused is an error.

    Raises, on entering, what ``TopicReader`` raises.
    """

    topic_setting: ClassVar[str]
    """The topic's name in the settings' section ``topics``."""
    what: ClassVar[str]
    """The topic's records, in words for an error."""
    table_type: ClassVar[type[Any]]
    """Makes the empty ``table``."""

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        broker: str | None = None,
        topic: str | None = None,
        strict: bool = False,
    ) -> None:
        settings = settings_at(settings, broker)
        self.table = self.table_type()
        self._unreadable = Unreadable(strict=strict)
        self._reader = TopicReader(settings, topic or str(getattr(settings.topics, self.topic_setting)))

    @abstractmethod
    def take_in(self, record: Message) -> Any:
        """Have the table take ``record`` in; raises ``ValueError`` where it is none, having changed nothing."""

    async def __aenter__(self) -> Self:
        await self._reader.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reader.stop()

    @property
    def unreadable(self) -> int:
        """Records passed over so far."""
        return self._unreadable.count

    async def refresh(self) -> int:
        """Read on to where the log ends now; how many records, nulls included, that were.

        Raises:
            MessageError: with ``strict``, a record is none of the topic's.
        """
        spans = await self._reader.spans()
        count = 0
        while not self._reader.reached(spans):
            records = await self._reader.poll(timeout_s=1.0)
            count += sum(1 for _ in self._unreadable.readable(records, self._apply))
        return count

    def _apply(self, record: Message) -> None:
        with_place(record, self.what, lambda: self.take_in(record))


def with_place(record: Place, what: str, read: Callable[[], Any]) -> Any:
    """What ``read`` makes of ``record``; raises ``MessageError`` with its place where that is a ``ValueError``."""
    try:
        return read()
    except ValueError as error:
        raise MessageError(f"{place(record)}: no {what}: {error}") from None


def text_of(value: Any) -> str:
    """``value`` if it is text; raises ``TypeError`` or ``ValueError``."""
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # half a surrogate pair is no text
    return value


def whole(value: Any, most: int) -> int:
    """``value`` if it is a whole number up to ``most``; raises ``ValueError``."""
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"a number is not whole and within 0 and {most}")
    return value


def short(value: bytes, most: int = VALUE_BYTES) -> bytes:
    """``value`` if it has at most ``most`` bytes, short enough to parse; raises ``ValueError``."""
    if len(value) > most:
        raise ValueError(f"a value of {len(value)} bytes; {most} are read")
    return value
