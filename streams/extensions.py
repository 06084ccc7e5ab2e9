"""What settings name that may be an extension, found before anything is done with it."""

from __future__ import annotations

from sie_online.ingest.formats import new_decoder
from sie_online.settings import Settings
from streams.sinks import new_sink
from streams.store import open_store


def check_extensions(settings: Settings) -> None:
    """Refuse settings that name a kind of store, a format or a sink that there is not.

    Raises:
        UsageError: one is unknown; the message names it and those there are.
    """
    open_store(settings.store)
    new_decoder(settings.events.format)
    for entry in settings.sinks:
        new_sink(entry)
