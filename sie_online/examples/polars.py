"""``python -m sie_online.examples.polars``: samples and your own table as frames, aggregates with and without weights.

The whole use of the weights is ``(weight * label).sum() / weight.sum()`` where else ``label.mean()`` stands, and a
column of the training table for whatever trains on it. Clean log, or no "they help" at the end? Keep the mean; and
count and bill with ``len``, never with weights.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from sie_online.examples.command import library
from sie_online.examples.samples import Floats, TrainingSamples
from sie_online.examples.tables import PRIOR, OwnTable, main_of, stated

with library("polars"):
    import polars as pl

CONVERSIONS, SAMPLES = (pl.col("weight") * pl.col("label")).sum(), pl.col("weight").sum()


class ItemRates:
    """A smoothed conversion rate by item; what was never learned has the overall rate."""

    def __init__(self, own: OwnTable) -> None:
        self._own = _rows(own.path).select("event_id", key=pl.col(own.by)).collect()
        self._learned: list[pl.DataFrame] = []

    def learn(self, samples: TrainingSamples, weight: Floats) -> None:
        """Add to what was learned: sums need no order."""
        self._learned.append(_frame(stated(samples, weight)))

    def predict(self, samples: TrainingSamples) -> Floats:
        """P(label = 1), (n,)."""
        learned = pl.concat(self._learned)
        overall = learned.select(CONVERSIONS / SAMPLES).item()
        rate = (CONVERSIONS + PRIOR * overall) / (SAMPLES + PRIOR)
        rates = learned.join(self._own, on="event_id").group_by("key").agg(rate=rate)
        scored = pl.DataFrame({"event_id": samples.event_id}, {"event_id": pl.String})
        keyed = scored.join(self._own, on="event_id", how="left", maintain_order="left")
        found = keyed.join(rates, on="key", how="left", maintain_order="left")
        return found["rate"].fill_null(overall).to_numpy()


def training_table(samples: pa.Table, own: Path) -> pa.Table:
    """The columns of ``own``, and ``label`` and ``weight`` of the ``samples`` in it."""
    return _rows(own).join(_frame(samples).lazy(), on="event_id").collect().to_arrow()


def _rows(path: Path) -> pl.LazyFrame:
    """Each event once; ids as text."""
    return pl.scan_parquet(path).with_columns(pl.col("event_id").cast(pl.String)).unique("event_id", keep="any")


def _frame(table: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(table))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return main_of("polars", arguments, ItemRates, training_table)


if __name__ == "__main__":
    sys.exit(main())
