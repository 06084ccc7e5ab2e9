"""CSV files as people have them, and what Python's ``csv`` module reads in them: ``python -m tests.fuzz.csv_files``.

Each file is made from a seed. ``expected`` reads it with ``csv.reader`` and makes events of its rows; ``difference``
says where the reader of ours disagrees. A file at fault is kept in ``build/fuzz``.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from sie_online.ingest.sources import Reading, read_events
from tests.fuzz.run import FOUND

TRUE_SIZE = 1_150_000
"""Characters: many blocks of the reader, and long fields among them."""
T = 1_700_000_000_000
REQUIRED = ("event_id", "user_id", "item_id", "event_type", "timestamp_ms")
TEXTS = ("query", "category_id", "session_id")
UNKNOWN = ("colour", "note, or so")
TYPES = ("impression", "view", "click", "cart", "favorite", "purchase", "return", "rating")
DELIMITERS = (",", ";", "\t", "|")
GHOST = "ghost"
END = "the end"
LONG = (2_000, 20_000, 140_000)
"""Lengths of long fields; the last is beyond what ``csv`` reads unless told otherwise."""


@dataclass(frozen=True)
class CsvFile:
    """A generated file, and how ``csv`` has to be told to read it."""

    text: str
    delimiter: str = ","
    escapes: bool = False
    spaced: bool = False
    encoding: str = "utf-8"

    def write(self, path: Path) -> None:
        path.write_bytes(self.text.encode(self.encoding))

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Every record that ``csv`` reads, with the line it begins in, from 1; blank ones are none."""
        read, first = self._reader(self.text), 1
        for row in read:
            if row:
                yield first, row
            first = read.line_num + 1

    def ends_in_quotes(self) -> bool:
        """Whether the quote that opens in the last record is never closed: what follows would be part of it."""
        last = [row for row in self._reader(f"{self.text}\n{END}") if row][-1]
        return last != [END]

    def _reader(self, text: str) -> Any:
        lines, escape = io.StringIO(text, newline=""), "\\" if self.escapes else None
        return csv.reader(lines, delimiter=self.delimiter, escapechar=escape, skipinitialspace=self.spaced)


Row = tuple[int, dict[str, Any] | list[str]]


def expected(file: CsvFile) -> list[Row]:
    """Line and JSON value of every record that the reader is to give: an event, or the fields of a row that is none.

    Delimiters at the end of a row are no fields; a line of blanks is no row; one whose quote never ends no event.
    """
    with _long_fields():
        (_, header), *rows = file.rows()
        is_torn = bool(rows) and file.ends_in_quotes()
    names = [name.strip() for name in header]
    found: list[Row] = []
    for at, (line, row) in enumerate(rows, 1):
        if len(row) == 1 and not row[0].strip():
            continue
        fields = row[: len(names)] if not any(row[len(names) :]) else row
        is_event = len(fields) == len(names) and not (is_torn and at == len(rows))
        found.append((line, _event(dict(zip(names, fields, strict=True))) if is_event else row))
    return found


def given(path: Path, reading: Reading) -> Iterator[Row]:
    """Line and JSON value of every record that the reader gives."""
    for chunk in read_events([path], reading):
        for at, record in enumerate(chunk.records):
            assert chunk.origin is not None
            value = json.loads(record.value or b"")
            assert not isinstance(value, list) or at in chunk.origin.faults
            yield int(chunk.origin.lines[at]), value


def difference(file: CsvFile, path: Path, *, said: bool) -> str:
    """The first record in which ``csv`` and the reader disagree, in words; nothing if none.

    ``said``: the delimiter is named, not left to be recognised.
    """
    file.write(path)
    reading = Reading(delimiter=file.delimiter if said else "")
    for number, (mine, theirs) in enumerate(zip_longest(given(path, reading), expected(file))):
        if mine != theirs:
            return f"record {number}: csv reads {_short(theirs)}, the reader {_short(mine)}"
        if isinstance(mine[1], dict) and mine[1].get("user_id") == GHOST:
            return f"record {number}: quoted text became an event: {_short(mine)}"
    return ""


def csv_file(seed: int, size: int) -> CsvFile:
    """A file of at least ``size`` characters; every choice follows from ``seed``."""
    rng = random.Random(seed)
    writer = _Writer(rng)
    names = [*REQUIRED, *rng.sample(TEXTS, rng.randint(1, 3)), *rng.sample(UNKNOWN, rng.randint(0, 2))]
    rng.shuffle(names)
    end = rng.choice(("\n", "\n", "\r\n", "\r"))
    parts, length, number = [writer.header(names) + end], 0, 0
    long_ones = {rng.randrange(1, 40): rng.choice(LONG) for _ in range(rng.randint(0, 3)) if size > 100_000}
    while length < size:
        row = writer.row(names, number, long_ones.get(number, 0)) + end
        parts.append(row)
        length, number = length + len(row), number + 1
        if rng.random() < 0.01:
            parts.append(rng.choice((end, end + end, f"ragged{writer.delimiter}row{end}", f"alone{end}")))
    if rng.random() < 0.3:
        parts[-1] = parts[-1].removesuffix(end)
    encoding = rng.choice(("utf-8", "utf-8", "utf-8-sig"))
    return CsvFile("".join(parts), writer.delimiter, writer.escapes, writer.spaced, encoding)


class _Writer:
    """Writes rows as one program would."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.delimiter = rng.choice(DELIMITERS)
        self.escapes = rng.random() < 0.25
        self.spaced = rng.random() < 0.2
        self._between = self.delimiter + " " * self.spaced
        self._quotes_all = rng.random() < 0.15

    def header(self, names: Sequence[str]) -> str:
        return self._between.join(self._name(name) for name in names)

    def row(self, names: Sequence[str], number: int, long: int) -> str:
        plain = {
            "event_id": f"e{number}",
            "user_id": f"u{self._rng.randrange(99)}",
            "item_id": f"i{self._rng.randrange(999)}",
            "event_type": self._rng.choice(TYPES),
            "timestamp_ms": str(T + number),
        }
        wild = self._rng.choice([name for name in names if name not in REQUIRED])
        fields = {name: self._quoted(text) if self._quotes_all else text for name, text in plain.items()}
        fields |= {name: self._wild(long) if name == wild else self._plain() for name in names if name not in plain}
        return self._between.join(fields[name] for name in names)

    def _name(self, name: str) -> str:
        return self._quoted(name) if self._quotes_all or self.delimiter in name else name

    def _plain(self) -> str:
        return self._rng.choice(("", "c1", "Größe 42", "trailing  ", "漢字", "it's"))

    def _wild(self, long: int) -> str:
        """A field that has hurt readers of CSV before."""
        if long:
            return self._quoted(self._rng.choice("xé\n") * long)
        d, rng = self.delimiter, self._rng
        ghost = d.join(("9", GHOST, "i1", "purchase", str(T)))
        texts: tuple[Callable[[], str], ...] = (
            self._plain,
            lambda: self._quoted(f"red shoes\nsize {rng.randrange(50)}"),
            lambda: self._quoted(f"wide{d}\r\nleather"),
            lambda: self._quoted("old\rMac\n\n"),
            lambda: self._quoted(f"text\n{ghost}\nmore"),
            lambda: self._quoted(f'said "\n{ghost}\n" again'),
            lambda: self._quoted('"whole"'),
            lambda: self._quoted('""'),
            lambda: self._quoted('"'),
            lambda: self._quoted(" blanks around ") + " " * rng.randint(0, 2),
            lambda: self._quoted("🛒\u2028line separator\x0b\x0c\x1c\x85"),
            lambda: 'half"quoted"',
            lambda: self._quoted("then") + "bare",
            lambda: " " + "leading",
            lambda: "\x0bvertical",
            lambda: self._quoted("a" * rng.randint(1, 300) + "\n" * rng.randint(0, 3)),
            lambda: "half bare" if self.escapes else self._quoted(r"C:\temp\new"),
        )
        return rng.choice(texts)()

    def _quoted(self, text: str) -> str:
        if self.escapes:
            return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return '"' + text.replace('"', '""') + '"'


def _event(fields: dict[str, str]) -> dict[str, Any]:
    fields["event_type"] = fields["event_type"].strip()
    event: dict[str, Any] = {name: fields[name] for name in (*REQUIRED, *TEXTS) if fields.get(name)}
    with suppress(ValueError, KeyError):
        event["timestamp_ms"] = int(event["timestamp_ms"])
    return event


@contextmanager
def _long_fields() -> Iterator[None]:
    before = csv.field_size_limit(1 << 30)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _short(row: object) -> str:
    text = repr(row)
    return text if len(text) < 600 else f"{text[:300]} … {text[-300:]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare files until one differs, and say so."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.csv_files", description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--size", type=int, default=TRUE_SIZE, help="characters of each, at least")
    parser.add_argument("--seed", type=int, default=0, help="of the first file")
    asked = parser.parse_args(arguments)
    began, size = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.csv"
        for number, seed in enumerate(range(asked.seed, asked.seed + asked.files), 1):
            file = csv_file(seed, asked.size)
            if found := difference(file, path, said=seed % 2 == 0):
                FOUND.mkdir(parents=True, exist_ok=True)
                kept = FOUND / f"csv-{seed}.csv"
                file.write(kept)
                print(f"\nseed {seed}: {found}\n  {kept}")
                return 1
            size += path.stat().st_size
            print(f"\r{number}/{asked.files} files, {size / 1e6:,.0f} MB, {time.monotonic() - began:.0f} s", end="")
    print(": no difference")
    return 0


if __name__ == "__main__":
    sys.exit(main())
