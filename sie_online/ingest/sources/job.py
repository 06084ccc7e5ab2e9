"""What the readers of all formats share: how files are to be read, and how far they have been."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sie_online.ingest.sources.encoder import Encoder
from sie_online.ingest.sources.files import EventFile
from sie_online.ingest.sources.mapping import Shape, shapes_of
from sie_online.ingest.sources.reading import Reading
from sie_online.ingest.sources.times import TimeReader, zone_of

CHUNK_ROWS = 8_192
Note = Callable[[str], None]
"""Told, in a sentence, what was recognised that a person may want to know."""


@dataclass
class Job:
    """The reading of one or several files.

    Attributes:
        reading: what was asked for.
        shapes: what it may mean.
        note: whom to tell.
        rows: read so far, all files together.
    """

    reading: Reading
    shapes: Sequence[Shape]
    note: Note
    rows: int = 0

    @classmethod
    def of(cls, reading: Reading, note: Note) -> Job:
        """The job that ``reading`` asks for.

        Raises:
            UsageError: it asks for something that there is not.
        """
        return cls(reading, shapes_of(reading), note)

    def fitting(self, names: Collection[str], file: EventFile) -> Shape | None:
        """The first shape that ``file`` has if its columns are ``names``."""
        available = {*names, *file.keys}
        return next((shape for shape in self.shapes if not shape.missing(available)), None)

    def times(self, file: EventFile, shape: Shape) -> TimeReader:
        """Reads the times of ``file``."""
        zone, earliest = zone_of(self.reading.time_zone), self.reading.earliest_ms
        return TimeReader(file.name, shape.source("timestamp_ms"), shape.time_unit, zone, earliest)

    def encoder(self, file: EventFile, shape: Shape) -> Encoder:
        """Makes records of the rows of ``file``."""
        return Encoder(file, shape, self.times(file, shape))

    def noted(self, file: EventFile) -> Note:
        """Notes about ``file``."""
        return lambda sentence: self.note(f"{file.name}: {sentence}")
