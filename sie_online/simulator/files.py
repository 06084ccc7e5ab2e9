"""A simulation as files: the valid events in the documented schema, and the truth about them beside it.

Owns the formats and their names. The truth is a file of its own, so that nothing which reads the events can learn
from it.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from sie_online.errors import UsageError
from sie_online.simulator.columns import KINDS
from sie_online.simulator.stream import SCHEMA, Simulation
from sie_online.tables import whole_file

ROW_GROUP = 65_536  # rows written at a time

OnProgress = Callable[[int, float], None]
"""Called with (records written so far, share of all of them)."""


@dataclass(frozen=True, slots=True)
class SimulationFiles:
    """Where a simulation is written to: ``path``, whose ending is ``ending``, and ``truth`` beside it."""

    path: Path
    ending: str

    @classmethod
    def named(cls, path: Path) -> SimulationFiles:
        """The file whose format is what its name says.

        Raises:
            UsageError: the name ends as no format does.
        """
        for ending in WRITERS:
            if path.name.lower().endswith(ending) and len(path.name) > len(ending):
                return cls(path, ending)
        raise UsageError(f"{path}: cannot tell the format from the name: end it in {', '.join(WRITERS)}")

    @property
    def truth(self) -> Path:
        """The file of ``truth_table``."""
        return self.path.with_name(f"{self.path.name[: -len(self.ending)]}.truth.parquet")

    @property
    def in_lines(self) -> bool:
        """Can it hold duplicates, and records that are no events?"""
        return self.ending.startswith(".jsonl")

    def write(self, simulation: Simulation, on_progress: OnProgress = lambda written, share: None) -> None:
        """Write both files, or neither; what lay there before is replaced.

        A file of JSON lines holds the simulation's duplicates and malformed records, too. The same simulation gives
        the same bytes.

        Raises:
            OSError: no room, no right, no such folder.
        """
        with whole_file(self.path) as events, whole_file(self.truth) as truth:
            WRITERS[self.ending](simulation, events, on_progress)
            pa.parquet.write_table(truth_table(simulation), truth)


def truth_table(simulation: Simulation) -> pa.Table:
    """event_id, event_type, kind, and noisy (1: any kind but ``clean``), of every valid event in time order."""
    noisy = (simulation.columns.kind != KINDS.index("clean")).astype(np.int8)
    return simulation.truth.append_column("noisy", pa.array(noisy))


def _parquet(simulation: Simulation, stream: BinaryIO, on_progress: OnProgress) -> None:
    with pa.parquet.ParquetWriter(stream, SCHEMA) as writer:
        _write_tables(simulation, writer.write_table, on_progress)


def _csv(simulation: Simulation, stream: BinaryIO, on_progress: OnProgress) -> None:
    stream.write(",".join(SCHEMA.names).encode() + b"\n")
    unquoted = pa.csv.WriteOptions(include_header=False, quoting_style="none")  # no value of ours needs quotes
    with pa.csv.CSVWriter(stream, SCHEMA, write_options=unquoted) as writer:
        _write_tables(simulation, writer.write_table, on_progress)


def _write_tables(simulation: Simulation, write: Callable[[pa.Table], Any], on_progress: OnProgress) -> None:
    written = 0
    for table in simulation.tables(ROW_GROUP):
        write(table)
        written += len(table)
        on_progress(written, written / simulation.events)


def _json_lines(simulation: Simulation, stream: BinaryIO, on_progress: OnProgress) -> None:
    for written, line in enumerate(simulation.lines(), 1):
        stream.write(line + b"\n")
        if written % ROW_GROUP == 0:
            on_progress(written, written / len(simulation))
    on_progress(len(simulation), 1.0)


Writer = Callable[[Simulation, BinaryIO, OnProgress], None]


def _gzipped(write: Writer) -> Writer:
    def compressed(simulation: Simulation, stream: BinaryIO, on_progress: OnProgress) -> None:
        # neither name nor time of writing, or the bytes would differ
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=stream, mtime=0) as inner:
            write(simulation, cast(BinaryIO, inner), on_progress)

    return compressed


WRITERS: dict[str, Writer] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".csv.gz": _gzipped(_csv),
    ".jsonl": _json_lines,
    ".jsonl.gz": _gzipped(_json_lines),
}
"""By the name's ending."""
