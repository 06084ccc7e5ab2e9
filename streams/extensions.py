"""What settings name that may be an extension, found before anything is done with it."""

from __future__ import annotations

from sie_online.ingest.formats import new_decoder
from sie_online.settings import Settings
from streams.store import open_store


def check_extensions(settings: Settings) -> None:
    """Refuse settings that name a kind of store, or a format, that there is not.

    Raises:
        UsageError: one is unknown; the message names it and those there are.
    """
    open_store(settings.store)
    new_decoder(settings.events.format)
