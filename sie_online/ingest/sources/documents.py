"""Event files of JSON: a document a line, or one array of them. What is an event already goes as it is."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TextIO

import msgspec
import numpy as np

from sie_online.contracts import ERASE, HEARTBEAT
from sie_online.errors import UsageError
from sie_online.ingest.sources.encoder import SourceRows
from sie_online.ingest.sources.files import EventFile
from sie_online.ingest.sources.job import CHUNK_ROWS, Job
from sie_online.ingest.sources.mapping import Shape
from sie_online.ingest.sources.opening import Opened, stated_encoding
from sie_online.ingest.wire import Chunk, Origin, Records

BLANKS = " \t\r\n"
BLOCK_CHARS = 1 << 20
MOST_CHARS = 1 << 24
"""An element of an array longer than this is no event."""

Documents = Iterator[tuple[list[bytes], list[int]]]
"""Values as they are in the file, some thousand at a time, and the line, from 1, at which each begins."""


class _Addressed(msgspec.Struct):
    """Whose event it is."""

    user_id: str | int = ""


class _StatedTime(msgspec.Struct):
    timestamp_ms: Any = None


def json_chunks(file: EventFile, found: Opened, job: Job) -> Iterator[Chunk]:
    """The records of a file of JSON documents.

    Raises:
        UsageError: an array is cut off or broken, or the times are of another unit.
    """
    is_array = job.reading.format != "jsonl" and _begins_with_bracket(found, job)
    documents = _array(file, found, job) if is_array else _lines(found, job)
    if all(shape.is_plain for shape in job.shapes) and not file.keys:
        yield from _as_they_are(file, found, job, documents)
    else:
        yield from _mapped(file, found, job, documents)


def _begins_with_bracket(found: Opened, job: Job) -> bool:
    head = found.head()
    text = head.decode(stated_encoding(head, job.reading.encoding) or "utf-8", "ignore")
    return text.lstrip("\ufeff" + BLANKS).startswith("[")


def _as_they_are(file: EventFile, found: Opened, job: Job, documents: Documents) -> Iterator[Chunk]:
    decode = msgspec.json.Decoder(_Addressed).decode
    times = job.times(file, job.shapes[0])
    is_checked = False
    for values, lines in documents:
        if not is_checked:
            times.check(_times(values))
            is_checked = True
        keys: list[bytes | None] = []
        for value in values:
            try:
                key = str(decode(value).user_id).encode() or None
            except (ValueError, RecursionError):
                key = None  # not a valid event in any case, or it would have a user
            keys.append(key)
        job.rows += len(values)
        yield Chunk(Records(keys, values), found.share(), Origin(file.name, np.array(lines, np.int64)))


def _times(values: list[bytes]) -> list[Any]:
    stated = []
    for value in values:
        try:
            stated.append(msgspec.json.decode(value, type=_StatedTime).timestamp_ms)
        except (ValueError, RecursionError):
            continue
    return stated


def _mapped(file: EventFile, found: Opened, job: Job, documents: Documents) -> Iterator[Chunk]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    shape: Shape | None = None
    for values, lines in documents:
        plain: list[dict[str, Any]] = []
        odd: dict[int, tuple[bytes, str]] = {}
        for at, value in enumerate(values):
            try:
                document = decode(value)
            except (ValueError, RecursionError):
                odd[at] = value, ""
                continue
            if document.get("event_type") in (HEARTBEAT, ERASE):
                odd[at] = value, ""
            else:
                plain.append(document)
        if shape is None:
            shape = next(filter(None, (job.fitting(document, file) for document in plain)), job.shapes[0])
            encoder = job.encoder(file, shape)
        names = {name for document in plain for name in document}
        columns = {name: [document.get(name) for document in plain] for name in names}
        first, job.rows = job.rows, job.rows + len(values)
        yield encoder.chunk(SourceRows(columns, np.array(lines, np.int64), odd, None, first, found.share()))


def _lines(found: Opened, job: Job) -> Documents:
    values: list[bytes] = []
    lines: list[int] = []
    for number, line in enumerate(_utf8(found, job), 1):
        value = line.strip(BLANKS.encode())
        if number == 1:
            value = value.removeprefix(BOM_UTF8)
        if value:
            values.append(value)
            lines.append(number)
        if len(values) == CHUNK_ROWS:
            yield values, lines
            values, lines = [], []
    yield values, lines


def _utf8(found: Opened, job: Job) -> Iterable[bytes]:
    """Lines in JSON's own encoding."""
    encoding = stated_encoding(found.head(), job.reading.encoding)
    if encoding in ("", "utf-8-sig"):
        return found.stream
    return (line.encode("utf-8", "surrogateescape") for line in found.decoded(encoding, "\n"))


def _array(file: EventFile, found: Opened, job: Job) -> Documents:
    encoding = stated_encoding(found.head(), job.reading.encoding) or "utf-8"
    elements = iter(_Elements(found.decoded(encoding, "\n"), file.name))
    while batch := list(islice(elements, CHUNK_ROWS)):
        yield [value for value, _ in batch], [line for _, line in batch]


class _Elements:
    """The elements of a JSON array as they are spelled, and the line at which each begins, with bounded memory."""

    def __init__(self, text: TextIO, name: str) -> None:
        self._text, self._name = text, name
        self._scan = json.JSONDecoder(strict=False).raw_decode
        self._buffer, self._at, self._line = "", 0, 1
        self._next("[")

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        if self._next() == "]":
            return
        while True:
            line, end = self._line, self._end()
            value = self._buffer[self._at : end]
            self._move(end)
            yield value.encode("utf-8", "surrogateescape"), line
            if self._next(",]") == "]" or self._next() == "]":
                return

    def _next(self, expected: str = "") -> str:
        """The next character that is not blank; it is passed over if it is one of ``expected``, which it must be."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in BLANKS:
                self._move(self._at + 1)
            if self._at < len(self._buffer):
                break
            if not self._more():
                raise UsageError(f"{self._name} is cut off: its array of JSON is not closed")
        char = self._buffer[self._at]
        if expected and char not in expected:
            raise self._broken(f"{' or '.join(expected)} should stand where {char!r} does")
        if expected:
            self._move(self._at + 1)
        return char

    def _end(self) -> int:
        """Where the element that begins here ends, something after it being in sight."""
        while True:
            try:
                end = self._scan(self._buffer, self._at)[1]
                if end < len(self._buffer):
                    return end
                problem = "it is cut off"
            except (ValueError, RecursionError) as error:
                problem = str(error).partition(":")[0]
            if len(self._buffer) - self._at > MOST_CHARS or not self._more():
                raise self._broken(problem)

    def _more(self) -> bool:
        block = self._text.read(max(BLOCK_CHARS, len(self._buffer) - self._at))
        self._buffer, self._at = self._buffer[self._at :] + block, 0
        return bool(block)

    def _move(self, to: int) -> None:
        self._line += self._buffer.count("\n", self._at, to)
        self._at = to

    def _broken(self, problem: str) -> UsageError:
        return UsageError(f"{self._name}, line {self._line}: from here on its array is no JSON: {problem}")
