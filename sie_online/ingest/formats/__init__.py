"""Formats of the input topic's records: one module each.

* ``port``: what a format must do (``RecordDecoder``), and how it refuses (``RefusedError``).
* ``json``: the default, with a fast path.
* ``registry``: those there are, by name.
"""

from sie_online.ingest.events import RefusedError
from sie_online.ingest.formats.json import JsonDecoder
from sie_online.ingest.formats.port import RecordDecoder
from sie_online.ingest.formats.registry import DECODERS, new_decoder

__all__ = ["DECODERS", "JsonDecoder", "RecordDecoder", "RefusedError", "new_decoder"]
