"""What is found in a source before it goes on: times, dead letters with their places, disorder, and what kills it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sie_online.errors import UsageError
from sie_online.evaluation.inspection import EXAMPLES, Example, Inspector
from sie_online.ingest.wire import Chunk, Origin, WireRecord, heartbeat
from sie_online.settings import Settings, load
from tests.support.events import ARRIVAL_MS, START_MS, event

REFUSED = WireRecord(b"u1", b"{}")
DAY_S = 86_400.0


def chunk(*records: WireRecord, first_line: int = 2, faults: dict[int, str] | None = None, skipped: int = 0) -> Chunk:
    lines = np.arange(first_line, first_line + len(records))
    return Chunk(records, 0.5, Origin("shop.csv", lines, faults=faults or {}), skipped)


def wire(one: dict[str, Any]) -> WireRecord:
    return WireRecord(str(one.get("user_id", "")).encode(), json.dumps(one).encode())


def row(n: int, at_s: float, user: str | None = None, kind: str = "view") -> WireRecord:
    return wire(event(n, kind, at_s=at_s, user=user or f"u{n}"))


def inspected(settings: Settings, *chunks: Chunk) -> Inspector:
    inspector = Inspector(settings)
    for one in chunks:
        inspector.inspect(one, ARRIVAL_MS)
    return inspector


def test_a_refused_row_and_one_that_is_ahead_tell_the_time_of_the_rows_before() -> None:
    inspector = Inspector(Settings())
    far = 40 * DAY_S
    first = inspector.inspect(chunk(REFUSED, row(1, 0), row(2, 60), REFUSED, row(3, 120), row(4, far)), ARRIVAL_MS)
    second = inspector.inspect(chunk(REFUSED, row(5, 180), row(6, 2 * far * 400)), ARRIVAL_MS)
    seconds = [(int(at) - START_MS) / 1000 for at in (*first.times_ms, *second.times_ms)]
    assert seconds[0] == -START_MS / 1000, "none is known yet"
    assert seconds[1:] == [0, 60, 60, 120, 120, 120, 180, 180]
    assert inspector.end_ms == START_MS + 180_000
    assert inspector.findings.disorder_ms == 0, "whoever is ahead makes nobody late"


def test_dead_letters_are_told_by_place_in_the_words_of_the_reader_where_it_has_some() -> None:
    found = inspected(
        Settings(),
        chunk(row(1, 0), WireRecord(b"", b'["a", "b"]'), faults={1: "2 fields where 5 belong"}, skipped=3),
        chunk(*[wire(event(n, "vew")) for n in range(5)], first_line=9, skipped=1),
    ).findings
    unknown_type = "event_type is none of impression, view, click, cart, favorite, purchase, return, rating"
    assert found.dead_letter_examples == {
        "wrong_type": [
            Example("shop.csv, line 3", "2 fields where 5 belong"),
            Example("shop.csv, line 9", unknown_type),
            Example("shop.csv, line 10", unknown_type),
        ]
    }
    assert len(found.dead_letter_examples["wrong_type"]) == EXAMPLES
    assert (found.dead_letters_by_reason, found.skipped) == ({"wrong_type": 6}, 4)


def test_without_an_origin_the_place_is_the_number_of_the_record_in_the_source() -> None:
    found = inspected(Settings(), Chunk([row(1, 0)] * 3, 0.5), Chunk([row(2, 0), REFUSED], 1.0)).findings
    assert [one.place for one in found.dead_letter_examples["missing_field"]] == ["record 5"]


def test_strict_refuses_the_first_dead_letter_with_place_reason_and_detail() -> None:
    inspector = Inspector(Settings(), strict=True)
    inspector.inspect(chunk(row(1, 0)), ARRIVAL_MS)
    with pytest.raises(UsageError, match=r"shop\.csv, line 4: missing_field: .*event_id"):
        inspector.inspect(chunk(row(2, 0), row(3, 0), REFUSED, WireRecord(b"", b"x")), ARRIVAL_MS)


LATE = load({"labels": {"window_s": 3_600, "lateness_s": 60}})


def test_an_event_is_late_when_it_comes_behind_the_clock_by_more_than_lateness() -> None:
    on_time = [row(n, 1_000.0 * n) for n in range(4)]
    late = [row(10, 2_941), row(11, 2_940), row(12, 2_939), row(13, 2_000, kind="purchase"), row(14, -9e4, kind="cart")]
    found = inspected(LATE, chunk(*on_time), chunk(*late)).findings
    assert (found.late_events, found.late_conversions, found.disorder_ms) == (3, 1, 93_000_000)


def test_a_heartbeat_makes_what_comes_before_it_late_and_is_never_late_itself() -> None:
    beat = heartbeat(START_MS + 500_000, 0)
    found = inspected(LATE, chunk(row(1, 0), beat, heartbeat(START_MS, 0), row(2, 400, kind="return"))).findings
    assert (found.late_events, found.late_conversions, found.disorder_ms) == (1, 1, 100_000)


def test_what_is_read_a_second_time_is_not_late() -> None:
    day = [row(n, 300.0 * n, kind="purchase") for n in range(20)]
    again = inspected(LATE, chunk(*day), chunk(*day, row(20, 5_760)))
    assert again.findings.late_events == 0
    assert again.end_ms == START_MS + 5_760_000
    forgetful = load({"labels": {"window_s": 3_600}, "dedupe": {"events": 0}})
    assert inspected(forgetful, chunk(*day), chunk(*day)).findings.late_conversions == 19


def test_while_no_time_is_known_nobody_is_late() -> None:
    assert inspected(LATE, chunk(row(1, 9_000), row(2, 0), row(1, 5))).findings.late_events == 0


@given(st.lists(st.sampled_from(["view", "purchase", "bad", "beat"]), max_size=40), st.lists(st.integers(1, 39)))
def test_what_is_found_does_not_depend_on_how_a_source_is_cut(kinds: Sequence[str], cuts: list[int]) -> None:
    rng = np.random.default_rng(len(kinds))
    at = np.arange(len(kinds)) * 500.0 - rng.choice([0.0, 5_000.0], len(kinds))
    records = [
        REFUSED
        if kind == "bad"
        else heartbeat(START_MS + int(at[n]) * 1_000, 0)
        if kind == "beat"
        else row(n, float(at[n]), f"u{n % 5}", kind)
        for n, kind in enumerate(kinds)
    ]
    edges = sorted({0, len(records), *(cut for cut in cuts if cut < len(records))})
    parts = [chunk(*records[first:last], first_line=first + 2) for first, last in itertools.pairwise(edges)]
    whole, cut = inspected(LATE, chunk(*records)), inspected(LATE, *parts)
    assert whole.findings == cut.findings
    assert whole.end_ms == cut.end_ms


# -- what kills a source


def cause(*records: WireRecord, faults: dict[int, str] | None = None) -> str:
    inspector = inspected(Settings(), chunk(*records, faults=faults))
    with pytest.raises(UsageError) as refused:
        inspector.require_events()
    return str(refused.value)


def at_ms(time_ms: int, n: int = 1) -> WireRecord:
    return wire(event(n) | {"timestamp_ms": time_ms})


def test_a_source_with_one_event_is_alive_whatever_else_it_holds() -> None:
    inspector = inspected(Settings(), chunk(*[REFUSED] * 100, row(1, 0)))
    inspector.require_events()
    assert sum(inspector.findings.dead_letters_by_reason.values()) == 100


def test_nothing_and_heartbeats_alone_are_an_empty_source() -> None:
    assert cause() == cause(heartbeat(START_MS, 0)) == "the source holds no event"


def test_times_before_the_earliest_name_what_the_first_reads_as_and_both_ways_out() -> None:
    told = cause(*[at_ms(1_511_600_000 + n) for n in range(30)])
    assert told.startswith("none of the 30 records is a valid event: their times lie before limits.earliest")
    assert "1970-01-18 11:53:20 (shop.csv, line 2)" in told
    assert "if 2017-11-25 08:53:20 is meant, say the --time-unit" in told
    assert "--set limits.earliest=1970-01-18" in told


def test_times_before_the_earliest_in_every_unit_are_perhaps_right() -> None:
    told = cause(at_ms(-2_000_000_000_000))
    assert "the first reads as 1906-08-16 20:26:40" in told
    assert "--time-unit" not in told
    assert "--set limits.earliest=1906-08-16" in told


@pytest.mark.parametrize("finer", [1_000, 1_000_000])
def test_times_in_the_future_are_perhaps_in_a_finer_unit(finer: int) -> None:
    told = cause(at_ms(START_MS * finer), at_ms(START_MS * finer + 1))
    assert "their times lie in the future" in told
    assert "if 2023-11-14 22:13:20 is meant, say the --time-unit" in told


def test_a_stream_of_next_year_is_told_as_such() -> None:
    assert cause(at_ms(ARRIVAL_MS + 400 * 86_400_000)).endswith("reads as 2026-01-22 22:13:20 (shop.csv, line 2)")


def test_names_that_are_not_ours_are_told_with_those_that_are_there() -> None:
    told = cause(*[wire({"who": 7, "what": 8, "did": "view", "at": START_MS})] * 3)
    assert "event_id, user_id, item_id, event_type, timestamp_ms are missing" in told
    assert "it has who, what, did, at: --map event_id=" in told
    known = cause(wire({"visitorid": 7, "itemid": 8, "event": "view", "timestamp": START_MS}))
    assert "it has visitorid, itemid, event, timestamp: --preset retailrocket reads it" in known


def test_one_column_that_is_empty_in_every_row_is_named() -> None:
    told = cause(*[wire({name: value for name, value in event(n).items() if name != "user_id"}) for n in range(9)])
    assert "user_id is missing (shop.csv, line 2)" in told
    assert "--map user_id=" in told


def test_event_types_that_are_not_ours_are_told_with_a_mapping() -> None:
    told = cause(*[wire(event(n, kind)) for n, kind in enumerate(["addtocart", "transaction", "addtocart"])])
    assert "event_type is 'addtocart', 'transaction', ours are impression," in told
    assert told.endswith("--types addtocart=cart")


def test_what_most_rows_suffer_from_is_the_cause_and_else_the_first_is_shown() -> None:
    early, other = [at_ms(5, n) for n in range(3)], WireRecord(b"", b"not json")
    assert "limits.earliest" in cause(other, *early)
    told = cause(other, other, *early[:2], REFUSED, faults={0: "a quote that is not closed"})
    assert told.endswith("the first one is at shop.csv, line 2: bad_json: a quote that is not closed")


def test_a_value_that_is_no_object_or_not_utf_8_is_shown_by_the_first() -> None:
    assert "shop.csv, line 2: bad_utf8" in cause(WireRecord(b"", b'{"event_id": "\xff"}'))
    assert "shop.csv, line 2: null_value" in cause(WireRecord(b"", None))
    assert "shop.csv, line 2: wrong_type" in cause(WireRecord(b"", b"[1, 2]"))
