"""Records sent again onto a live topic: they get their labels, and nobody else's views are settled by them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from streams.cli.root import run
from tests.support import topic_io
from tests.support.brokers import Broker
from tests.support.events import START_MS, event, heartbeat
from tests.support.workers import SIE_WORKER, wait_until_read, worker_pool

pytestmark = pytest.mark.embedded
HOUR_S = 3_600.0


def _wire(events: Sequence[dict[str, Any]]) -> list[WireRecord]:
    return [
        WireRecord(one["user_id"].encode() if "user_id" in one else None, json.dumps(one).encode(), 0) for one in events
    ]


def test_a_lost_hour_and_a_row_of_the_year_2038_settle_nobodys_views(
    settings: Callable[..., Settings], broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = settings(broker=broker.address, checkpoint={"interval_s": 0.5}, topics={"partitions": 1})
    topic_io.make_topics(made)
    live = [event(n, "view", 60.0 * n, f"u{n % 9}", f"i{n}") for n in range(30)]
    lost = [event(100 + n, "view", 60.0 * n - HOUR_S, f"u{n % 9}", f"j{n}") for n in range(30)]
    pq.write_table(pa.Table.from_pylist(lost), tmp_path / "lost.parquet")
    seconds = START_MS // 1000
    rows = [f"{n},{n},7,pv,{seconds + 60 * n}" for n in range(3)] + ["3,3,7,pv,2145916800"]
    (tmp_path / "late.csv").write_text("\n".join(rows))
    where = ["--set", f"broker={made.broker}", "--set", f"topics.events={made.topics.events}"]

    topic_io.write(made, _wire(live))
    assert run([*where, "replay", str(tmp_path / "lost.parquet")]) == 0
    assert run([*where, "replay", str(tmp_path / "late.csv"), "--preset", "taobao"]) == 0
    assert capsys.readouterr().err.count("--flush sends them") == 2
    bought = [event(300 + n, "purchase", 60.0 * n + 2_400, f"u{n % 9}", f"i{n}") for n in range(0, 30, 2)]
    found = [event(400 + n, "purchase", 60.0 * n - HOUR_S + 2_400, f"u{n % 9}", f"j{n}") for n in range(0, 30, 3)]
    topic_io.write(made, _wire([*found, *bought, heartbeat(30 * HOUR_S)]))
    with worker_pool(made, tmp_path, SIE_WORKER) as start:
        worker = start()
        worker.wait_ready(600)  # its kernels may have to be compiled
        wait_until_read(made, worker)
        assert worker.stop() == 0

    said = topic_io.read_rows(made, made.topics.weights).to_pylist()
    label = {row["event_id"]: row["label"] for row in said if row["final"]}
    assert [label[f"e{n}"] for n in range(30)] == [int(n % 2 == 0) for n in range(30)]
    assert [label[f"e{100 + n}"] for n in range(30)] == [int(n % 3 == 0) for n in range(30)]
    assert [label[f"t{n}"] for n in range(3)] == [0, 0, 0]
    (letter,) = topic_io.read(made, made.topics.dead_letters)
    assert dict(letter.headers)["sie-reason"] == b"bad_timestamp"
