"""Event files as wire records: Parquet, CSV and JSON, in the documented schema or in any other that can be mapped.

    reading     how files are to be read (``Reading``)
    files       which files are meant: folders, globs, archives
    opening     what compresses them, and what their text is encoded in
    mapping     what their columns and event types are called; presets
    delimited   text in columns, as Python's csv reads it
    tables, documents, parquet   the formats: rows in, chunks out
    values, times   what the values of a row say
    encoder     rows as records
    ordered     in order of time
    job         what the formats share

Reading judges nothing: what is no event is sent as well, in a form that says so to whoever decodes it, and with the
place where it stands. Whole files are refused only for what none of their rows survives.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import cast

from sie_online.errors import UsageError
from sie_online.ingest.sources.documents import json_chunks
from sie_online.ingest.sources.files import EventFile, find
from sie_online.ingest.sources.job import CHUNK_ROWS, Job, Note
from sie_online.ingest.sources.mapping import PRESETS
from sie_online.ingest.sources.opening import PARQUET, Opened, opened, stated_encoding
from sie_online.ingest.sources.ordered import by_time
from sie_online.ingest.sources.parquet import parquet_chunks
from sie_online.ingest.sources.reading import Reading
from sie_online.ingest.sources.tables import csv_chunks
from sie_online.ingest.wire import Chunk, first, joined

__all__ = ["CHUNK_ROWS", "PRESETS", "Reading", "read_events"]

CHUNKS = {"csv": csv_chunks, "json": json_chunks, "jsonl": json_chunks, "parquet": parquet_chunks}


def read_events(
    files: Sequence[str | Path],
    reading: Reading | None = None,
    *,
    limit: int | None = None,
    note: Note = lambda _sentence: None,
) -> Iterator[Chunk]:
    """The records of event files, in their order and in chunks of at most ``CHUNK_ROWS``.

    ``files`` are paths, folders, globs, or ``-`` for standard input. ``limit`` ends after that many records. ``note``
    is told what was recognised that a person may want to know.

    Raises:
        UsageError: no such file; ``reading`` asks for something that there is not; a file is not what its name says,
            is cut off, lacks a column or has one twice, its times are of another unit, or its ids were rounded. What
            the first rows show is raised at once, all else while iterating.
    """
    reading = reading or Reading()
    job = Job.of(reading, note)
    found = find(files, any_name=bool(reading.format or reading.preset or reading.mapping))
    chunks = _limited(_all(found, job), limit)
    if reading.sort:
        chunks = by_time(chunks, CHUNK_ROWS)
    return chain((next(chunks),), chunks)


def _all(files: Sequence[EventFile], job: Job) -> Iterator[Chunk]:
    total, before = sum(file.size for file in files), 0
    for file in files:
        with opened(file) as content:
            for chunk in _gathered(CHUNKS[_format(file, content, job)](file, content, job)):
                share = (before + chunk.progress * file.size) / total if total else 0.0
                yield replace(chunk, progress=share)
        before += file.size
    yield Chunk([], 1.0)


def _gathered(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The chunks of one file, small ones put together; all that comes before an error as well."""
    held: list[Chunk] = []
    try:
        for chunk in chunks:
            if held and sum(map(len, held)) + len(chunk) > CHUNK_ROWS:
                yield joined(held)
                held = []
            held.append(chunk)
    except UsageError:
        if held:
            yield joined(held)
        raise
    if held:
        yield joined(held)


def _format(file: EventFile, content: Opened, job: Job) -> str:
    """As asked for; as its name says; or as its content looks."""
    if job.reading.format or file.format:
        return job.reading.format or file.format
    head = content.head()
    if head.startswith(PARQUET):
        return "parquet"
    text = head.decode(stated_encoding(head, job.reading.encoding) or "utf-8", "ignore")
    return "json" if text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[") else "csv"


def _limited(chunks: Iterator[Chunk], limit: int | None) -> Iterator[Chunk]:
    with closing(cast(Generator[Chunk, None, None], chunks)):
        for chunk in chunks:
            if limit is not None and len(chunk) >= limit:
                yield replace(first(chunk, limit), progress=1.0)
                return
            yield chunk
            limit = None if limit is None else limit - len(chunk)
