"""The formats there are, by the name that ``events.format`` gives them. A new one is its module and one line here."""

from __future__ import annotations

from sie_online.ingest.formats.json import JsonDecoder
from sie_online.ingest.formats.port import RecordDecoder
from sie_online.plugins import find_class

SETTING = "events.format"

DECODERS: dict[str, type[RecordDecoder]] = {
    "json": JsonDecoder,
}


def new_decoder(name: str) -> RecordDecoder:
    """A decoder of the format ``name``: of ``DECODERS``, or ``package.module:Class``.

    Raises:
        SettingsError: there is no such format.
    """
    return find_class(SETTING, name, DECODERS, RecordDecoder)()  # type: ignore[type-abstract]  # to be a subclass of
