"""Where a lake is and of which format: what ``--to`` and ``--format`` say."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sie_online.errors import UsageError
from streams.lake.delta import DeltaLakeTable
from streams.lake.parquet import ParquetTable
from streams.lake.port import LakeTable
from streams.store import open_store

TABLES: dict[str, Callable[[str], LakeTable]] = {"delta": DeltaLakeTable, "parquet": ParquetTable}
"""What writes a table at a URL, by format."""

HOW_TO_WRITE = "delta+file:///data/lake, delta+s3://bucket/lake, or parquet+ in place of delta+"


class Place(NamedTuple):
    """A lake; a table of it lies in the folder of its stream."""

    format: str
    url: str

    @classmethod
    def of(cls, to: str, named: str = "", option: str = "--to") -> Place:
        """From ``FORMAT+URL``, as given by ``option``, or a URL and the format ``named`` beside it.

        Raises:
            UsageError: neither says the format, both say another one, or the URL is of no store.
        """
        prefix, plus, url = to.partition("+")
        written, url = (prefix, url) if plus and "://" not in prefix else ("", to)
        if written and named and written != named:
            raise UsageError(f"{option} {to} says {written}, --format says {named}: leave one out")
        found = written or named
        if not found:
            raise UsageError(f"{option} {to}: of which format? Write {HOW_TO_WRITE}")
        if found not in TABLES:
            raise UsageError(f"{option} {to}: format {found!r} is not known: there are {', '.join(TABLES)}")
        open_store(url)  # opens nothing, and refuses what is no place
        return cls(found, url.rstrip("/"))

    def table(self, stream: str) -> LakeTable:
        """The table of ``stream`` (weights or samples). Raises ``UsageError`` where its extra is missing."""
        return TABLES[self.format](self.table_url(stream))

    def table_url(self, stream: str) -> str:
        """Where that lies."""
        return f"{self.url}/{stream}"
