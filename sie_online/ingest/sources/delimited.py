"""Text in columns (CSV, TSV) as Python's ``csv`` reads it, in blocks that end where a row ends.

``csv`` itself is what reads: quoted line ends, doubled quotes, and, where the text shows that it has them, quotes
escaped by a backslash. Ours are the blocks, the numbers of lines, and the recognition of delimiter and escapes.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from sie_online.errors import UsageError

BLOCK_CHARS = 1 << 15
MOST_CHARS = 1 << 24
"""A row is not longer: it would be a quote that nobody closed, and the rest of the file in memory."""
SIGHT_CHARS = 1 << 20
"""As much is looked at, if need be, to tell whether quotes are escaped."""
DELIMITERS = (",", "\t", ";", "|", "::")
STAND_IN = "\x1f"
"""Takes the place of a delimiter of several characters, which ``csv`` does not know."""
END = "\0END\0"
ESCAPE = "\\"

csv.field_size_limit(min(sys.maxsize, (1 << 31) - 1))  # a field's length is the decoder's to judge


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows, and the line, from 1, at which each begins.

    The quote in the last one of an ``unclosed`` block never ends.
    """

    rows: list[list[str]]
    lines: NDArray[np.int64]
    unclosed: bool = False


class DelimitedText:
    """Reads a text once, from its beginning.

    Args:
        name: what it is called in messages.
        text: opened with ``newline=""``.
        delimiter: empty: the first one under which the first row ``fits``.
        fits: whether a first row, blanks around its fields taken off, is one that the text should have.
    """

    def __init__(self, name: str, text: TextIO, delimiter: str, fits: Callable[[list[str]], bool]) -> None:
        self._name = name
        self._text = text
        self._line = 1
        self._escapes = False
        self._spaced = False
        self._delimiter = delimiter
        self._rest = text.read(BLOCK_CHARS) + text.readline()
        if not delimiter:
            self._delimiter = self._recognised(fits)
        self._rest = self._prepared(self._rest)
        self._width = len(self.first_row())
        self._spaced = self._is_spaced()

    def first_row(self) -> list[str]:
        """The first row that is not blank, without the blanks around its fields. It will come with the blocks, too."""
        lines = _lines(self._prepared(self._rest))
        row: list[str] = next((row for row in self._reader(lines, skipinitialspace=True) if row), [])
        return [name.strip() for name in row]

    def blocks(self) -> Iterator[Block]:
        """All rows but empty lines, in order.

        Raises:
            UsageError: a row has no end in sight.
        """
        while self._rest:
            self._escapes = self._escapes or self._shows_escapes()
            end = END if self._rest[-1] in "\r\n" else "\n" + END
            rows, starts = self._parsed(self._rest + end)
            is_open, used = rows[-1] != [END], int(starts[-1])
            if is_open and not used and len(self._rest) > MOST_CHARS:
                raise UsageError(
                    f"{self._name}, line {self._line}: a quote is not closed within {MOST_CHARS:,} characters"
                )
            more = self._more()
            if is_open and not more:
                rows[-1][-1] = rows[-1][-1].removesuffix(end)
            else:
                rows.pop()
            self._rest = "".join([*_lines(self._rest)][used:]) + more if is_open and more else more
            first, self._line = self._line, self._line + used
            lines = first + starts[: len(rows)]
            if not all(rows):
                lines = lines[[bool(row) for row in rows]]
                rows = list(filter(None, rows))
            if rows:
                yield Block(rows, lines, is_open and not more)

    def _more(self) -> str:
        """What comes next, at least as long as what is at hand."""
        return self._prepared(self._text.read(max(BLOCK_CHARS, len(self._rest))) + self._text.readline())

    def _parsed(self, text: str) -> tuple[list[list[str]], NDArray[np.int64]]:
        """The rows of ``text``, which begins with one, and the line, from 0, at which each begins."""
        reader = self._reader(_lines(text))
        rows = list(reader)
        if reader.line_num == len(rows):
            return rows, np.arange(len(rows))
        reader = self._reader(_lines(text))  # some take several lines
        starts = [0, *(reader.line_num for _ in reader)]
        return rows, np.array(starts[:-1])

    def _reader(self, lines: Iterable[str], **options: Any) -> Any:
        given: dict[str, Any] = {"skipinitialspace": self._spaced, "escapechar": ESCAPE if self._escapes else None}
        delimiter = STAND_IN if len(self._delimiter) > 1 else self._delimiter
        return csv.reader(lines, delimiter=delimiter, **(given | options))

    def _prepared(self, text: str) -> str:
        return text.replace(self._delimiter, STAND_IN) if len(self._delimiter) > 1 else text

    def _recognised(self, fits: Callable[[list[str]], bool]) -> str:
        rows = {}
        for self._delimiter in DELIMITERS:
            rows[self._delimiter] = self.first_row()
            if fits(rows[self._delimiter]):
                return self._delimiter
        return max(rows, key=lambda delimiter: len(rows[delimiter]))

    def _is_spaced(self) -> bool:
        """Whether delimiters are followed by a blank: ``a, b, c``."""
        row: list[str] = next((row for row in self._reader(_lines(self._rest)) if row), [])
        return len(row) > 1 and all(name.startswith(" ") for name in row[1:])

    def _shows_escapes(self) -> bool:
        """Whether what is at hand, which begins with a row, reads better if a backslash escapes a quote."""
        if ESCAPE + '"' not in self._rest:
            return False
        while True:
            more_misfits = self._misfits(ESCAPE) - self._misfits(None)
            *_, last = self._reader(_lines(f"{self._rest}\n{END}"), escapechar=ESCAPE)
            is_decided = more_misfits and last == [END]  # or how the last row goes on may decide
            if is_decided or len(self._rest) > SIGHT_CHARS or not (more := self._more()):
                return more_misfits < 0
            self._rest += more

    def _misfits(self, escape: str | None) -> int:
        """How many rows are not as wide as the first, or have something between a closing quote and a delimiter."""
        reader = self._reader(_lines(self._rest), strict=True, escapechar=escape)
        misfits = 0
        while True:
            try:
                misfits += len(next(reader)) not in (0, self._width)
            except StopIteration:
                return misfits
            except csv.Error:
                misfits += 1  # and on with the next line


def _lines(text: str) -> Iterable[str]:
    return io.StringIO(text, newline="")
