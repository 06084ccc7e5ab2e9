"""Which accounts are established is read from the rows as it was known at each event, in every partition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from sie_online.evaluation.compare.accounts import established
from sie_online.evaluation.compare.settled import Collector
from sie_online.evaluation.run import WEIGHTS_FILE, evaluate
from sie_online.importance.guard import ESTABLISHED_ACTS, ESTABLISHED_EVENTS, ESTABLISHED_MS
from sie_online.settings import Settings
from sie_online.simulator import Scenario, simulate


def test_accounts_are_established_as_the_guard_has_it(tmp_path: Path) -> None:
    collector, settings = Collector(), Settings()
    chunks = simulate(Scenario(events=5_000, hours=120, seed=6, malformed=0)).chunks()
    evaluate(chunks, settings, tmp_path, partitions=3, started_ms=1_760_000_000_000, listeners=(collector,))
    rows = pq.read_table(tmp_path / WEIGHTS_FILE).to_pandas()
    rows = rows[rows["revision"] == 0].sort_values(["partition", "offset"])
    by_user = rows.groupby("user_id", sort=False)
    is_act = ~rows["event_type"].astype(str).isin(settings.labels.samples)
    acts = is_act.groupby(rows["user_id"], sort=False).cumsum() - is_act
    age_ms = rows["event_time_ms"] - by_user["event_time_ms"].transform("first")
    known = (by_user.cumcount() >= ESTABLISHED_EVENTS) & (acts >= ESTABLISHED_ACTS) & (age_ms > ESTABLISHED_MS)
    expected = pd.Series(known.to_numpy(), index=pd.MultiIndex.from_frame(rows[["partition", "offset"]]))

    samples = collector.samples()
    found = established(tmp_path / WEIGHTS_FILE, settings.labels.samples, samples.partition, samples.offset)
    places = list(zip(samples.partition.tolist(), samples.offset.tolist(), strict=True))
    assert np.array_equal(found, expected.loc[places].to_numpy())
    assert 0 < found.sum() < len(found)
