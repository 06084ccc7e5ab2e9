"""Whether the store answers and may be written: tried out by every process before it relies on it."""

from __future__ import annotations

import os
import socket

from sie_online.errors import UnreachableError
from sie_online.settings import Settings
from streams.store import Part, open_store


def check_store(settings: Settings) -> None:
    """Write an object to the store, read it back and delete it.

    Raises:
        UnreachableError: it does not answer, or may not be written.
    """
    name, content = f"probe-{socket.gethostname()}-{os.getpid()}", b"sie"
    try:
        store = open_store(settings.store)
        store.put(name, [Part.of(content)])
        store.read(name)
        store.delete(name)
    except UnreachableError as error:
        raise UnreachableError(f"store {settings.store} cannot be used: {error}") from error
