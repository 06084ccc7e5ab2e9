"""Events made by the hundred thousand a second: one JSON text over and over, but for the numbers in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sie_online.ingest.records import RecordBatch

FIELD = b"##########"
"""Where a number goes, in decimal, with leading zeros."""
TIME = b"@@@@@@@@@@@@@"
USER = b'"user_id":"'


def batch(template: bytes, numbers: NDArray[np.int64], times_ms: NDArray[np.int64], start: int) -> RecordBatch:
    """One record per row of ``numbers``, from offset ``start``: the k-th `FIELD` of ``template`` has the k-th column.

    `TIME` has the event's time, Kafka's too. A record's key is its user's id.
    """
    n, length = len(numbers), len(template)
    text = np.tile(np.frombuffer(template, np.uint8), (n, 1))
    _write(text, template.index(TIME), len(TIME), times_ms)
    at = -1
    for column in numbers.T:
        at = template.index(FIELD, at + 1)
        _write(text, at, len(FIELD), column)
        at += len(FIELD)
    begin = np.arange(n, dtype=np.int64) * length
    user = template.index(USER) + len(USER)
    user_end = template.index(b'"', user)
    return RecordBatch(
        topic="sie.events",
        partition=0,
        epoch=1,
        start=start,
        end=start + n,
        buffer=text.tobytes(),
        values=np.stack([begin, begin + length], axis=1),
        keys=np.stack([begin + user, begin + user_end], axis=1),
        offsets=start + np.arange(n, dtype=np.int64),
        timestamps_ms=times_ms,
    )


def _write(text: NDArray[np.uint8], at: int, width: int, numbers: NDArray[np.int64]) -> None:
    left = numbers.copy()
    for place in reversed(range(at, at + width)):
        left, digit = np.divmod(left, 10)
        text[:, place] = digit + ord("0")
