"""What a reader does about messages that it cannot read: counts them and goes on, or ends at the first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from sie_online.errors import MessageError

log = logging.getLogger(__name__)

Found = TypeVar("Found")
Given = TypeVar("Given")


class Unreadable:
    """Counts what one reader passes over; of the first it says in the log why. ``strict``: that one is an error."""

    def __init__(self, *, strict: bool = False) -> None:
        self.count = 0
        self._strict = strict

    def pass_over(self, error: MessageError) -> None:
        """Count a message; raises ``error``, which names it, where the reader is strict."""
        self.count += 1
        if self._strict:
            raise error
        if self.count == 1:
            log.warning("passed over, as others like it will be, which are only counted: %s", error)

    def readable(self, messages: Iterable[Given], read: Callable[[Given], Found]) -> Iterator[Found]:
        """What ``read`` makes of each of ``messages``, but for those of which it raises ``MessageError``."""
        for message in messages:
            try:
                found = read(message)
            except MessageError as error:
                self.pass_over(error)
            else:
                yield found
