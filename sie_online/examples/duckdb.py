"""``python -m sie_online.examples.duckdb``: samples and your own table in SQL, aggregates with and without the weights.

The whole use of the weights is ``sum(weight * label) / sum(weight)`` where else ``avg(label)`` stands, and a column of
the training table for whatever trains on it. Clean log, or no "they help" at the end? Keep ``avg(label)``; and count
and bill with ``count(*)``, never with weights.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from sie_online.examples.command import library
from sie_online.examples.samples import Floats, TrainingSamples
from sie_online.examples.tables import PRIOR, OwnTable, main_of, stated

with library("duckdb"):
    import duckdb

TRAINING_TABLE = """
SELECT own.* REPLACE (own.event_id::VARCHAR AS event_id), label, weight
FROM samples JOIN (SELECT DISTINCT ON (event_id) * FROM read_parquet(?)) AS own
  ON own.event_id::VARCHAR = samples.event_id
"""
LEARNED = "CREATE TABLE learned (event_id VARCHAR, label TINYINT, weight DOUBLE)"
RATES = f"""
CREATE OR REPLACE TEMP TABLE overall AS SELECT sum(weight * label) / sum(weight) AS rate FROM learned;
CREATE OR REPLACE TEMP TABLE rates AS
SELECT key, (sum(weight * label) + {PRIOR} * any_value(rate)) / (sum(weight) + {PRIOR}) AS rate
FROM overall, learned JOIN own USING (event_id)
GROUP BY key
"""  # noqa: S608 - a constant
LOOKED_UP = """
SELECT coalesce(rates.rate, overall.rate) AS probability
FROM overall, scored LEFT JOIN own USING (event_id) LEFT JOIN rates USING (key)
ORDER BY place
"""


class ItemRates:
    """A smoothed conversion rate by item; what was never learned has the overall rate."""

    def __init__(self, own: OwnTable) -> None:
        self._db = duckdb.connect()
        key = duckdb.ColumnExpression(own.by).alias("key")
        event_id = duckdb.ColumnExpression("event_id").cast("VARCHAR").alias("event_id")
        self._db.read_parquet(str(own.path)).select(event_id, key).create_view("rows")
        self._db.execute("CREATE TABLE own AS SELECT DISTINCT ON (event_id) * FROM rows")
        self._db.execute(LEARNED)

    def learn(self, samples: TrainingSamples, weight: Floats) -> None:
        """Add to what was learned: sums need no order."""
        self._db.register("batch", stated(samples, weight))
        self._db.execute("INSERT INTO learned FROM batch")
        self._db.execute(RATES)

    def predict(self, samples: TrainingSamples) -> Floats:
        """P(label = 1), (n,)."""
        scored = pa.table({"event_id": pa.array(samples.event_id, pa.string()), "place": range(len(samples))})
        self._db.register("scored", scored)
        probability: Floats = self._db.sql(LOOKED_UP).fetchnumpy()["probability"]
        return probability


def training_table(samples: pa.Table, own: Path) -> pa.Table:
    """The columns of ``own``, and ``label`` and ``weight`` of the ``samples`` in it."""
    with duckdb.connect() as db:
        db.register("samples", samples)
        return db.sql(TRAINING_TABLE, params=[str(own)]).to_arrow_table()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return main_of("duckdb", arguments, ItemRates, training_table)


if __name__ == "__main__":
    sys.exit(main())
