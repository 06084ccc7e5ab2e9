"""What a wrong clock, a gap, or a rejected record does to the labels of others: nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sie_online.evaluation.run import evaluate
from sie_online.ingest.events import Reason
from sie_online.ingest.sources import read_events
from sie_online.settings import load
from sie_online.shard import Shard
from tests.support.events import (
    ARRIVAL_MS,
    START_MS,
    event,
    heartbeat,
    process,
    records,
    run,
    small_settings,
    weights,
)

DAY_S, HOUR_S = 86_400.0, 3_600.0
PHONE = "a phone that is 40 days ahead"
Label = tuple[int | None, bool]


@cache
def shop() -> list[dict[str, Any]]:
    """Nine days of views by 40 users; every fourth view is followed by a purchase, up to a day later."""
    rng = np.random.default_rng(7)
    at = np.sort(rng.uniform(0, 9 * DAY_S, 1_200))
    told = []
    for n, seconds in enumerate(at.tolist()):
        user, item = f"u{rng.integers(40)}", f"i{n}"
        told.append(event(n, "view", seconds, user, item, category_id="c"))
        if n % 4 == 0:
            told.append(event(10_000 + n, "purchase", seconds + rng.uniform(60, 23.9 * HOUR_S), user, item))
    return sorted(told, key=lambda one: one["timestamp_ms"])


def phone_rows(at_s: float, n: int = 0) -> list[dict[str, Any]]:
    """A view and, ten minutes later, the purchase of it, by a phone that is 40 days ahead."""
    ahead = at_s + 40 * DAY_S
    return [
        event(90_000 + n, "view", ahead, PHONE, f"p{n}", category_id="c"),
        event(91_000 + n, "purchase", ahead + 600, PHONE, f"p{n}", category_id="c"),
    ]


def _with(rows: Sequence[dict[str, Any]], *wrong: tuple[int, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    told = list(rows)
    for place, more in sorted(wrong, key=lambda one: -one[0]):
        told[place:place] = more
    return told


def _closing() -> dict[str, Any]:
    return heartbeat(12 * DAY_S)


def labels(events: Sequence[dict[str, Any]]) -> dict[str, Label]:
    """Label and finality of the last statement about each event of a log that is read to its end."""
    table = weights(process([*events, _closing()], load())).to_pylist()
    return {row["event_id"]: (row["label"], row["final"]) for row in table}


@cache
def right_labels() -> dict[str, Label]:
    return labels(shop())


@pytest.mark.parametrize("place", [0, 1, 2, 700, 1_400, 1_499])
def test_a_phone_that_is_ahead_changes_no_label_of_anyone(place: int) -> None:
    events = shop()
    at_s = (events[place]["timestamp_ms"] - START_MS) / 1000
    told = labels(_with(events, (place, phone_rows(at_s))))
    assert sum(label == 1 for label, _ in right_labels().values()) == 300
    assert {name: told[name] for name in right_labels()} == right_labels()
    if place > 2:  # before any time is known, what is claimed cannot be told from the truth
        assert told["e90000"] == (1, True), "its own view is labelled by its own purchase, and settled in time"


def test_two_hundred_rows_of_two_phones_change_no_label_either() -> None:
    events = shop()
    wrong = [(place, phone_rows(place * 500.0 + place % 2 * 3 * DAY_S, place)) for place in range(300, 500)]
    told = labels(_with(events, *wrong))
    assert {name: told[name] for name in right_labels()} == right_labels()


def test_nothing_waits_for_a_phone_that_is_ahead() -> None:
    told = _with(shop(), (700, phone_rows(0)))
    shard = Shard(load(), 0)
    run(shard, records(told))
    assert 0 < shard.stats().open_views < 300, "a day's worth of nine"


def test_a_phone_that_is_ahead_takes_nothing_from_the_popularity_of_its_item() -> None:
    """Its row counts now, at the crowd's last event: neither today's counters nor tomorrow's decay by its 40 days."""
    crowd = [event(n, at_s=10.0 * n, user=f"u{n % 9}", item="i") for n in range(200)]
    wrong = event(900, at_s=2_000 + 40 * DAY_S, user=PHONE, item="i")
    after = [event(1_000 + n, at_s=2_100 + n, user=f"u{n % 9}", item="i") for n in range(3)]
    rows = weights(process([*crowd, wrong, *after], load())).to_pylist()
    plain = weights(process([*crowd, event(900, at_s=1_990, user=PHONE, item="i"), *after], load())).to_pylist()
    first = {row["event_id"]: row["probability"] for row in rows if row["revision"] == 0}
    expected = {row["event_id"]: row["probability"] for row in plain if row["revision"] == 0}
    assert [first[f"e{n}"] for n in (1_000, 1_001, 1_002)] == [expected[f"e{n}"] for n in (1_000, 1_001, 1_002)]


def test_the_first_customers_after_a_weekend_keep_their_labels() -> None:
    friday = [event(n, at_s=60.0 * n, user=f"u{n}", item=f"i{n}") for n in range(20)]
    monday = 3 * DAY_S
    views = [event(100 + n, at_s=monday + 7 * HOUR_S * n, user=f"u{n}", item=f"m{n}") for n in range(6)]
    buys = [event(200 + n, "purchase", monday + 7 * HOUR_S * n + 20 * HOUR_S, f"u{n}", f"m{n}") for n in range(6)]
    told = labels(sorted([*friday, *views, *buys], key=lambda one: one["timestamp_ms"]))
    assert [told[f"e{n}"] for n in range(100, 106)] == [(1, True)] * 6
    assert [told[f"e{n}"] for n in range(20)] == [(0, True)] * 20


def test_an_hour_that_comes_days_late_is_labelled_by_its_own_purchases() -> None:
    live = shop()
    lost = [event(5_000 + n, at_s=DAY_S + 60 * n, user=f"u{n}", item=f"lost{n}") for n in range(30)]
    bought = [event(6_000 + n, "purchase", DAY_S + 60 * n + 2_400, f"u{n}", f"lost{n}") for n in range(0, 30, 3)]
    late = sorted([*lost, *bought], key=lambda one: one["timestamp_ms"])
    told = weights(process([*live, *late, heartbeat(12 * DAY_S)], load())).to_pylist()
    said = {row["event_id"]: (row["label"], row["final"]) for row in told}
    assert [said[f"e{5_000 + n}"] for n in range(30)] == [(int(n % 3 == 0), True) for n in range(30)]
    assert {name: said[name] for name in right_labels()} == right_labels()


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 299), st.floats(-2 * DAY_S, 60 * DAY_S), st.booleans()), max_size=12),
    st.lists(st.integers(1, 320), max_size=6),
    st.integers(1, 310),
)
def test_rows_do_not_depend_on_batches_or_a_restart_whatever_clocks_say(
    wrong: list[tuple[int, float, bool]], cuts: list[int], restart: int
) -> None:
    told = shop()[:300]
    told = _with(
        told,
        *(
            (place, [heartbeat(min(at, 300 * DAY_S)) if beats else event(70_000 + n, "view", at, f"w{n % 4}", "w")])
            for n, (place, at, beats) in enumerate(wrong)
        ),
    )
    rows = records(told)
    expected = weights(run(Shard(load(), 0), rows))
    first = Shard(load(), 0)
    before = run(first, rows[:restart], cuts)
    saved = first.snapshot()
    second = Shard.restore(load(), 0, saved.meta, saved.changed, generation=0)
    cut_after = [cut - restart for cut in cuts]
    after = run(second, rows[restart:], cut_after) if restart < len(rows) else []
    assert weights([*before, *after]).equals(expected)


def test_a_heartbeat_may_lie_no_further_ahead_than_maturing_needs() -> None:
    made = small_settings()
    limit_s = (ARRIVAL_MS - START_MS) / 1000 + made.limits.future_s + made.labels.window_s + 1
    shard = Shard(made, 0)
    rows = records([event(1), heartbeat(limit_s + 1), {**heartbeat(0), "timestamp_ms": 253_402_300_799_000}])
    (output,) = run(shard, rows)
    assert [letter.reason for letter in output.dead_letters] == [Reason.BAD_TIMESTAMP] * 2
    assert (output.counts.heartbeats, output.counts.settled_negative, shard.clock_ms) == (0, 0, START_MS)
    (output,) = run(shard, [records([*[event(1)] * 3, heartbeat(limit_s)])[3]])
    assert (output.counts.heartbeats, output.counts.settled_negative) == (1, 1)


def _lines(path: Path, bad: dict[str, Any] | None = None) -> Path:
    told = [event(n, "view", 60.0 * n, f"u{n % 7}", f"i{n}") for n in range(60)]
    told += [event(100 + n, "purchase", 3_700.0 + n, f"u{n % 7}", f"i{n}") for n in range(0, 60, 5)]
    if bad:
        told.insert(30, bad)
    path.write_text("\n".join(json.dumps(one) for one in told))
    return path


@pytest.mark.parametrize(
    "bad", [event(999) | {"timestamp_ms": START_MS * 1_000}, event(999) | {"timestamp_ms": 2_145_916_800_000}]
)
def test_a_refused_row_of_a_file_leaves_all_others_as_they_are(bad: dict[str, Any], tmp_path: Path) -> None:
    """In microseconds; in the year 2038. Neither is what the log's end is measured by."""
    made, said = load(), []
    for name, row in (("clean", None), ("bad", bad)):
        out = tmp_path / name
        file = _lines(tmp_path / f"{name}.jsonl", row)
        report = evaluate(read_events([file]), made, out, partitions=1, started_ms=ARRIVAL_MS)
        table = pq.read_table(out / "weights.parquet")
        said.append(table.drop_columns(["offset"]).to_pylist())
        assert (report.dead_letters, report.samples_matured) == (int(row is not None), 60)
    assert said[0] == said[1]
