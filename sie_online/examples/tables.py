"""What the examples of tables share: samples beside a table of the user's own, and the options that name it.

Their recommender is the plainest there is, a smoothed conversion rate by item, or by whatever column is asked for:

    rate = (sum of weight * label + PRIOR * overall rate) / (sum of weight + PRIOR)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sie_online.errors import UsageError
from sie_online.escape import harmless
from sie_online.examples.command import parser, read_samples, run
from sie_online.examples.samples import Floats, TrainingSamples
from sie_online.examples.trial import Learner
from sie_online.tables import write_parquet

PRIOR = 20.0  # as many samples as the overall rate is worth


@dataclass(frozen=True, slots=True)
class OwnTable:
    """A Parquet file with a column ``event_id``, and the column ``by`` in it that rates are of."""

    path: Path
    by: str

    def check(self) -> None:
        """Whether it is one.

        Raises:
            UsageError: it cannot be read, lacks one of the columns, or has one of ours.
        """
        try:
            names = pq.read_schema(self.path).names
        except (OSError, pa.ArrowException) as error:
            raise UsageError(f"--features: {self.path}: {str(error).splitlines()[0]}") from None
        if missing := {"event_id", self.by} - set(names):
            raise UsageError(f"--features: {self.path} has no column {min(missing)!r}; it has {', '.join(names)}")
        if taken := {"label", "weight"} & set(names):
            raise UsageError(f"--features: {self.path} has a column {min(taken)!r} of its own: rename it")


def stated(samples: TrainingSamples, weight: Floats) -> pa.Table:
    """``event_id``, ``label`` and ``weight``, in order."""
    columns = {"label": pa.array(samples.label, pa.int8()), "weight": pa.array(weight, pa.float64())}
    return pa.table({"event_id": pa.array(samples.event_id, pa.string()), **columns})


def main_of(
    name: str,
    arguments: Sequence[str] | None,
    new_learner: Callable[[OwnTable], Learner],
    training_table: Callable[[pa.Table, Path], pa.Table],
) -> int:
    """Run the command of one library; its exit code.

    ``training_table`` puts what was ``stated`` beside the columns of the user's own file.
    """
    summary = "Join the samples to a table of yours; conversion rates by item with and without the weights."
    options = parser(name, summary, example=" --features events.parquet")
    options.add_argument("--features", type=Path, required=True, metavar="FILE", help="your own table, with event_id")
    options.add_argument("--by", default="item_id", metavar="COLUMN", help="of it: rates are by that (default item_id)")
    options.add_argument("--out", type=Path, metavar="FILE", help="write your table with label and weight, to train on")

    def read(given: argparse.Namespace) -> TrainingSamples:
        OwnTable(given.features, given.by).check()
        return read_samples(given)

    def write(given: argparse.Namespace, samples: TrainingSamples) -> None:
        if given.out is not None:
            joined = training_table(stated(samples, samples.weight), given.features)
            write_parquet(joined, given.out)
            sys.stderr.write(f"{harmless(str(given.out))}: {len(joined):,} of {len(samples):,} samples\n")

    return run(options, arguments, lambda given: new_learner(OwnTable(given.features, given.by)), read, write)
