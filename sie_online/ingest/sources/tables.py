"""Event files that are text in columns: CSV, TSV and the like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.errors import UsageError
from sie_online.ingest.sources.delimited import Block, DelimitedText
from sie_online.ingest.sources.encoder import Encoder, SourceRows, as_it_came
from sie_online.ingest.sources.files import EventFile
from sie_online.ingest.sources.job import CHUNK_ROWS, Job
from sie_online.ingest.sources.mapping import Shape, repeated, why_unfit
from sie_online.ingest.sources.opening import Opened
from sie_online.ingest.sources.values import FIELDS
from sie_online.ingest.wire import Chunk

UNCLOSED = "the quote that opens here is never closed: the rest of the file is in it"


def csv_chunks(file: EventFile, found: Opened, job: Job) -> Iterator[Chunk]:
    """The records of a CSV file.

    Raises:
        UsageError: it is empty, a column is missing or there twice, or its times are of another unit.
    """
    text = found.text(job.reading.encoding, job.noted(file))
    table = DelimitedText(file.name, text, job.reading.delimiter, lambda row: _layout(row, file, job) is not None)
    first = table.first_row()
    if not first:
        raise UsageError(f"{file.name} is empty")
    layout = _layout(first, file, job)
    if layout is None:
        raise why_unfit(job.shapes, file.name, first)
    shape, names = layout
    repeated(names, {shape.source(name) for name in FIELDS if name not in shape.constants}, file.name)
    encoder = job.encoder(file, shape)
    skip = names is first
    for block in table.blocks():
        for start in range(int(skip), len(block.rows), CHUNK_ROWS):
            yield _chunk(encoder, block, slice(start, start + CHUNK_ROWS), names, job, found.share())
        skip = False


def _layout(row: list[str], file: EventFile, job: Job) -> tuple[Shape, list[str]] | None:
    """The shape of a file with this first row, and its columns: the row itself, if it is a header."""
    if (shape := job.fitting(row, file)) is not None:
        return shape, row
    headless = (shape for shape in job.shapes if shape.names and len(shape.names) == len(row))
    return next(((shape, list(shape.names)) for shape in headless), None)


def _chunk(encoder: Encoder, block: Block, part: slice, names: list[str], job: Job, share: float) -> Chunk:
    rows, lines, width = block.rows[part], block.lines[part], len(names)
    is_whole = set(map(len, rows)) == {width}
    if not is_whole:
        rows, lines = _without_blanks(rows, lines)
    odd: dict[int, tuple[bytes, str]] = {}
    if block.unclosed and len(lines) and lines[-1] == block.lines[-1]:
        odd[len(rows) - 1] = as_it_came(rows[-1]), UNCLOSED
    if not is_whole:
        for at, row in enumerate(rows):
            if len(row) > width and not any(row[width:]):
                rows[at] = row[:width]  # delimiters at the end of the line
            elif len(row) != width:
                odd.setdefault(at, (as_it_came(row), f"{len(row)} fields where {width} belong"))
    plain = [row for at, row in enumerate(rows) if at not in odd] if odd else rows
    columns: dict[str, Any] = dict(zip(names, zip(*plain, strict=True), strict=True)) if plain else {}
    first, job.rows = job.rows, job.rows + len(rows)
    return encoder.chunk(SourceRows(columns, lines, odd, None, first, share))


def _without_blanks(rows: list[list[str]], lines: NDArray[np.int64]) -> tuple[list[list[str]], NDArray[np.int64]]:
    kept = [at for at, row in enumerate(rows) if len(row) > 1 or row[0].strip()]
    return [rows[at] for at in kept], lines[kept]
