"""Rows of a file as the records that a producer would have sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sie_online.ingest.sources.files import EventFile
from sie_online.ingest.sources.mapping import Shape
from sie_online.ingest.sources.reading import SKIP
from sie_online.ingest.sources.times import TimeReader
from sie_online.ingest.sources.values import CONVERT, FIELDS
from sie_online.ingest.wire import Chunk, Origin, Records

Value: Any = msgspec.defstruct("Value", [(name, Any, None) for name in FIELDS], omit_defaults=True, gc=False)
"""The JSON value of an event, fields in the contract's order; what is None is left out."""


@dataclass(frozen=True, slots=True)
class SourceRows:
    """n consecutive rows of a file.

    Attributes:
        columns: values by the file's names; of the rows that are not ``odd``.
        lines: (n,) see ``Origin``.
        odd: by number of the row: the record's value where the row is none that the columns describe, and why.
        row_groups: (n,) or None.
        first: number of the first row in all files together, from 0.
        share: of the file, read with these.
    """

    columns: Mapping[str, Sequence[Any]]
    lines: NDArray[np.int64]
    odd: Mapping[int, tuple[bytes, str]] = field(default_factory=dict)
    row_groups: NDArray[np.int64] | None = None
    first: int = 0
    share: float = 0.0


class Encoder:
    """Makes records of the rows of one file, whose columns are as ``shape`` says."""

    def __init__(self, file: EventFile, shape: Shape, times: TimeReader) -> None:
        self._file, self._shape, self._times = file, shape, times
        self._encode = msgspec.json.Encoder().encode
        self._encode_lines = msgspec.json.Encoder().encode_lines

    def chunk(self, rows: SourceRows) -> Chunk:
        """The records of ``rows``.

        Raises:
            UsageError: their times are of another unit than the shape says.
        """
        n, odd = len(rows.lines), rows.odd
        plain = np.setdiff1d(np.arange(n), list(odd)) if odd else np.arange(n)
        columns = [self._column(name, rows, plain) for name in FIELDS]
        records = self._records(columns, len(plain))
        keep = self._kept(columns[FIELDS.index("event_type")], rows, plain)
        faults = {at: fault for at, (_, fault) in odd.items() if fault}
        if odd:
            records = _interleaved(records, odd, n)
        if keep is None:
            return Chunk(records, rows.share, Origin(self._file.name, rows.lines, rows.row_groups, faults))
        kept = np.flatnonzero(keep)
        groups = None if rows.row_groups is None else rows.row_groups[kept]
        faults = {at: faults[row] for at, row in enumerate(kept.tolist()) if row in faults}
        origin = Origin(self._file.name, rows.lines[kept], groups, faults)
        return Chunk(records.take(kept.tolist()), rows.share, origin, n - len(kept))

    def _column(self, name: str, rows: SourceRows, plain: NDArray[np.int64]) -> list[Any]:
        values: Sequence[Any]
        source = self._shape.source(name)
        if name in self._shape.constants:
            values = self._constants(self._shape.constants[name], rows, plain)
        elif source in rows.columns:
            values = rows.columns[source]
        else:
            return [self._file.keys.get(source)] * len(plain)
        if name == "timestamp_ms":
            return self._times.milliseconds(values)
        if name != "event_type" or not self._shape.types:
            return CONVERT[name](values)
        types = self._shape.types
        return [types.get(word, word) if isinstance(word, str) else word for word in CONVERT[name](values)]

    def _constants(self, text: str, rows: SourceRows, plain: NDArray[np.int64]) -> Sequence[str]:
        text = text.replace("{file}", self._file.label)
        if "{" not in text:
            return [text] * len(plain)
        numbers = zip(rows.lines[plain].tolist(), (rows.first + plain).tolist(), strict=True)
        return [text.replace("{line}", str(line)).replace("{row}", str(row)) for line, row in numbers]

    def _records(self, columns: list[list[Any]], n: int) -> Records:
        if not n:
            return Records([], [])
        users = columns[FIELDS.index("user_id")]
        try:
            values = self._encode_lines(list(map(Value, *columns))).split(b"\n")[:n]  # it ends with one
            keys = [user.encode() if type(user) is str else _key(user) for user in users]
        except UnicodeEncodeError:
            values = [self._encoded(row) for row in zip(*columns, strict=True)]
            keys = [_key(user) for user in users]
        return Records(keys, values)

    def _encoded(self, row: tuple[Any, ...]) -> bytes:
        """One value, with the bytes that are no text as they came: the decoder will say so."""
        try:
            return bytes(self._encode(Value(*row)))
        except UnicodeEncodeError:
            return as_it_came({name: value for name, value in zip(FIELDS, row, strict=True) if value is not None})

    def _kept(self, types: list[Any], rows: SourceRows, plain: NDArray[np.int64]) -> NDArray[np.bool_] | None:
        """Which rows are not to be left out; None: all."""
        if SKIP not in types or SKIP not in self._shape.types.values():
            return None
        keep = np.ones(len(rows.lines), np.bool_)
        keep[plain] = [word != SKIP for word in types]
        return keep


def as_it_came(value: Any) -> bytes:
    """``value`` as JSON, lone surrogates as the bytes that they stand for."""
    return json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "surrogateescape")


def _interleaved(records: Records, odd: Mapping[int, tuple[bytes, str]], n: int) -> Records:
    """The records with the odd ones between them, n in all."""
    keys, values = iter(records.keys), iter(records.values)
    return Records(
        [None if at in odd else next(keys) for at in range(n)],
        [odd[at][0] if at in odd else next(values) for at in range(n)],
    )


def _key(user: Any) -> bytes | None:
    if isinstance(user, str):
        return user.encode("utf-8", "surrogateescape")
    return str(user).encode() if isinstance(user, int) and not isinstance(user, bool) else None
