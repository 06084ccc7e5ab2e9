"""The settled samples of a file of events, as a topic would hold them: ``python -m tests.benchmarks.settled_samples``.

The project's own evaluation, with the settings that it has by default and one partition.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from sie_online.evaluation.run import evaluate
from sie_online.ingest.records import RecordBatch
from sie_online.ingest.sources import Reading, read_events
from sie_online.settings import load
from sie_online.tables import write_parquet


class Kept:
    """Keeps the samples that settle (`sie_online.evaluation.run.Listener`)."""

    def __init__(self) -> None:
        self.batches: list[pa.RecordBatch] = []

    def heard(self, batch: RecordBatch) -> None:
        """Records are of no interest."""

    def settled(self, samples: pa.RecordBatch) -> None:
        """Keep columns of ``sie.samples.v1``."""
        self.batches.append(samples)


def settled_samples(file: Path) -> pa.Table:
    """The samples of the events in ``file``, in the order in which they settled."""
    kept = Kept()
    with TemporaryDirectory() as out:
        evaluate(
            read_events([file], Reading()),
            load({}),
            Path(out),
            partitions=1,
            started_ms=int(time.time() * 1_000),
            listeners=[kept],
        )
    return pa.Table.from_batches(kept.batches)


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.settled_samples", description=__doc__)
    parser.add_argument("file", type=Path, help="events, as 'sie evaluate' reads them")
    parser.add_argument("out", type=Path, help="the Parquet file to write")
    given = parser.parse_args()
    samples = settled_samples(given.file)
    write_parquet(samples, given.out)
    print(f"{given.out}: {len(samples):,} samples")


if __name__ == "__main__":
    main()
