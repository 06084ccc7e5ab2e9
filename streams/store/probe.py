"""Whether the store answers, may be written, and keeps rivals apart: tried out by every process that relies on it."""

from __future__ import annotations

import os
import socket

from sie_online.errors import UnreachableError
from sie_online.settings import Settings
from streams.store import Part, open_store


def check_store(settings: Settings) -> None:
    """Write an object to the store, read it back, try to create it a second time, and delete it.

    Raises:
        UnreachableError: it does not answer, or may not be written; or it creates what is there, as a service does
            that speaks S3's protocol but knows no conditional writes. No claim of ownership would be worth anything.
    """
    name, content = f"probe-{socket.gethostname()}-{os.getpid()}", b"sie"
    try:
        store = open_store(settings.store)
        store.put(name, [Part.of(content)])
        store.read(name)
        keeps_rivals_apart = not store.create(name, content)
        store.delete(name)
    except UnreachableError as error:
        raise UnreachableError(f"store {settings.store} cannot be used: {error}") from error
    if not keeps_rivals_apart:
        raise UnreachableError(
            f"store {settings.store} cannot be used: it creates what is there already (it ignores If-None-Match),"
            " so two workers could own one partition: use a service with conditional writes (docs/stores.md)"
        )
