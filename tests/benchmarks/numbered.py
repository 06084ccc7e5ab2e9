"""Events made by the hundred thousand a second: one JSON text over and over, but for what is written into it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.ingest.records import RecordBatch

PLACE = re.compile(r"<(\w+):(\d+)>")
KEY, TIME = "user", "time"


class Template:
    """An event as JSON in which ``<name:width>`` stands for a number of so many digits, or a text of that length.

    One of the places is `KEY`: with the character before it, it is the record's key. One is `TIME`: Kafka's, too.
    """

    def __init__(self, text: str) -> None:
        self._places: dict[str, list[slice]] = {}
        self._row, end = b"", 0
        for found in PLACE.finditer(text):
            self._row += text[end : found.start()].encode()
            width, end = int(found[2]), found.end()
            self._places.setdefault(found[1], []).append(slice(len(self._row), len(self._row) + width))
            self._row += b"0" * width
        self._row += text[end:].encode()

    def batch(self, start: int, **columns: NDArray[Any]) -> RecordBatch:
        """A record per element of ``columns``: int64 (n,), or text, uint8 (n, width); offsets from ``start``."""
        times, length = columns[TIME], len(self._row)
        n = len(times)
        rows = np.tile(np.frombuffer(self._row, np.uint8), (n, 1))
        for name, values in columns.items():
            for place in self._places[name]:
                rows[:, place] = _digits(values, place.stop - place.start) if values.ndim == 1 else values
        begin, key = np.arange(n, dtype=np.int64) * length, self._places[KEY][0]
        return RecordBatch(
            topic="sie.events",
            partition=0,
            epoch=1,
            start=start,
            end=start + n,
            buffer=rows.tobytes(),
            values=np.stack([begin, begin + length], axis=1),
            keys=np.stack([begin + key.start - 1, begin + key.stop], axis=1),
            offsets=start + np.arange(n, dtype=np.int64),
            timestamps_ms=times,
        )


def _digits(numbers: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    return (numbers[:, np.newaxis] // 10 ** np.arange(width - 1, -1, -1) % 10 + ord("0")).astype(np.uint8)
