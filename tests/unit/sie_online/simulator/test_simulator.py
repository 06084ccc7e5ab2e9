"""The generated stream is reproducible, keeps its books, and pollutes the log the way it says."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sie_online.errors import UsageError
from sie_online.ingest.decoder import Decoder
from sie_online.ingest.records import RecordBatch
from sie_online.ingest.wire import WireRecord
from sie_online.settings import load
from sie_online.simulator import Scenario, Simulation, simulate
from sie_online.simulator.malformed import MALFORMED

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(Scenario(events=20_000, seed=3))


@pytest.fixture(scope="module")
def events(simulation: Simulation) -> pd.DataFrame:
    frame = simulation.table().to_pandas()
    return frame.assign(kind=simulation.truth["kind"].to_pandas())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    first, again, other = (list(simulate(Scenario(events=2_000, seed=seed)).records()) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_records_are_the_events_their_duplicates_and_the_malformed(simulation: Simulation) -> None:
    records = list(simulation.records())
    assert len(records) == len(simulation) == simulation.events + simulation.duplicates + simulation.malformed
    ids = [json.loads(record.value)["event_id"] for record in records if b'"event_id":"e0' in (record.value or b"")
           and _readable(record.value)]  # fmt: skip
    times_sent = pd.Series([name for name in ids if not name.startswith("m")]).value_counts()
    assert (times_sent == 2).sum() == simulation.duplicates > 0
    assert set(times_sent.index) == set(simulation.truth["event_id"].to_pylist())


def test_a_duplicate_is_byte_equal_and_comes_later(simulation: Simulation) -> None:
    seen: dict[bytes, int] = {}
    repeats = 0
    for record in simulation.records():
        if record.value and record.value.startswith(b'{"event_id":"e'):
            seen[record.value] = seen.get(record.value, 0) + 1
            repeats += seen[record.value] == 2
    assert repeats == simulation.duplicates


def test_keys_are_user_ids_and_every_optional_number_is_finite(events: pd.DataFrame, simulation: Simulation) -> None:
    for record, _ in zip(simulation.records(), range(50), strict=False):
        if record.value and b'"event_id":"e' in record.value:
            assert record.key == json.loads(record.value)["user_id"].encode()
    assert np.isfinite(events["price"]).all()
    assert (events["position"].dropna() >= 0).all()


def test_event_time_spans_two_days_in_order_with_a_day_and_night_rhythm(events: pd.DataFrame) -> None:
    at = events["timestamp_ms"]
    assert at.is_monotonic_increasing
    assert 1.9 * DAY_MS < at.iloc[-1] - at.iloc[0] <= 2 * DAY_MS
    hour = (at[events["kind"] == "clean"] // 3_600_000 % 24).value_counts()
    assert hour[21] > 3 * hour[3]


def test_shares_of_noise_are_as_asked(simulation: Simulation) -> None:
    scenario, counts = simulation.scenario, simulation.counts_by_kind()
    assert counts["bots"] == int(scenario.events * scenario.bot_share)
    assert counts["misclick"] == pytest.approx(scenario.events * scenario.misclick_share, rel=0.02)
    assert counts["brushing"] == pytest.approx(2 * scenario.events * scenario.brushing_share, rel=0.05)
    assert simulation.events == pytest.approx(scenario.events, rel=0.1)


def test_bots_only_view_and_are_accounts_of_their_own(events: pd.DataFrame) -> None:
    bots = events[events["kind"] == "bots"]
    assert set(bots["event_type"]) == {"view"}
    assert not set(bots["user_id"]) & set(events.loc[events["kind"] != "bots", "user_id"])


def test_brushed_orders_follow_a_view_of_the_same_item_within_minutes(events: pd.DataFrame) -> None:
    fake = events[events["kind"] == "brushing"]
    orders, views = fake[fake["event_type"] == "purchase"], fake[fake["event_type"] == "view"]
    pairs = orders.merge(views, on=["user_id", "item_id"], suffixes=("", "_view"))
    wait = (pairs["timestamp_ms"] - pairs["timestamp_ms_view"])[lambda gap: gap > 0].groupby(level=0).min()
    assert wait.median() < 5 * 60_000
    assert set(orders["user_id"]) <= set(pairs["user_id"])


def test_misclicks_are_short_and_by_real_people(events: pd.DataFrame) -> None:
    slips, clean = events[events["kind"] == "misclick"], events[events["kind"] == "clean"]
    assert set(slips["user_id"]) <= set(clean["user_id"])
    assert slips["dwell_ms"].median() < 0.2 * clean["dwell_ms"].median()


def test_purchases_are_rare_delayed_and_follow_a_view(events: pd.DataFrame) -> None:
    clean = events[events["kind"] == "clean"]
    bought, views = clean[clean["event_type"] == "purchase"], clean[clean["event_type"] == "view"]
    assert 0.01 < len(bought) / len(views) < 0.08
    first = views.groupby(["user_id", "item_id"])["timestamp_ms"].min().rename("seen").reset_index()
    wait = bought.merge(first, how="left")
    delay = wait["timestamp_ms"] - wait["seen"]
    assert (delay > 0).all()
    assert delay.median() > 5 * 60_000
    assert (delay > 3_600_000).mean() > 0.1


def test_taste_predicts_conversion_and_turns_half_way(simulation: Simulation) -> None:
    world, columns = simulation.world, simulation.columns.take(simulation.columns.kind == 0)
    bought = columns.of_type("purchase")
    views = columns.of_type("view")
    half = simulation.scenario.start_ms + simulation.scenario.span_ms // 2
    late = bought.take(bought.time_ms > half + 4 * 3_600_000)  # ordered after the turn, for nearly all
    now, before = (world.affinity(np.full(len(late), phase), late.user, late.item) for phase in (1, 0))
    typical = world.affinity((views.time_ms >= half).astype(np.int64), views.user, views.item)
    assert now.mean() > typical.mean() + 0.1
    assert now.mean() > before.mean() + 0.1


def test_ids_do_not_tell_noise_from_truth(events: pd.DataFrame) -> None:
    number = events["user_id"].str[1:].astype(int)
    invented = number[events["kind"].isin(["bots", "brushing"])].unique()
    assert number.min() < np.median(invented) < number.max()
    assert abs(np.median(invented) - number.median()) < 0.4 * (number.max() - number.min())


@pytest.mark.parametrize("name", MALFORMED)
def test_every_malformed_record_is_a_dead_letter_and_the_event_it_was_made_from_is_none(name: str) -> None:
    event = {"event_id": "m1", "user_id": "u1", "item_id": "i1", "event_type": "view",
             "timestamp_ms": 1_750_000_000_000, "price": 3.5}  # fmt: skip
    intact = WireRecord(b"u1", json.dumps(event, separators=(",", ":")).encode())
    decoded, dead = Decoder(load()).decode(_batch([intact, MALFORMED[name](event)]))
    assert len(decoded) == 1
    assert [letter.offset for letter in dead] == [1]


def test_a_stream_too_small_or_all_noise_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1,000"):
        Scenario(events=10)
    with pytest.raises(UsageError, match="lower the shares"):
        Scenario(bot_share=0.9)


def _readable(value: bytes | None) -> bool:
    try:
        return isinstance(json.loads(value or b""), dict)
    except ValueError:
        return False


def _batch(records: list[WireRecord]) -> RecordBatch:
    rows = [
        SimpleNamespace(offset=offset, timestamp=1_750_000_000_000, key=record.key, value=record.value, headers=())
        for offset, record in enumerate(records)
    ]
    return RecordBatch.of(rows, topic="t", partition=0, epoch=0, start=0, end=len(rows))
