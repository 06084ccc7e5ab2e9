"""What becomes of views: conversions, returns, maturity, in every order of arrival."""

from __future__ import annotations

from typing import Any

import pytest

from sie_online.shard import Shard
from tests.support.events import START_MS, event, heartbeat, process, records, run, small_settings, weights

WINDOW_S = 3_600.0


def story(*events: dict[str, Any], **overrides: Any) -> dict[str, list[tuple[int, int | None, bool, float]]]:
    """Per event: its statements as (revision, label, final, published seconds after the start)."""
    rows = weights(process(events, small_settings(**overrides))).to_pylist()
    revisions: dict[str, list[tuple[int, int | None, bool, float]]] = {}
    for row in rows:
        at = (row["published_ms"] - START_MS) / 1000
        revisions.setdefault(row["event_id"], []).append((row["revision"], row["label"], row["final"], at))
    return revisions


def test_a_view_without_purchase_settles_negative_at_the_window_s_end() -> None:
    revisions = story(event(1), heartbeat(WINDOW_S + 0.001))
    assert revisions["e1"] == [(0, None, False, 0.0), (1, 0, True, WINDOW_S)]


def test_a_view_is_not_settled_while_its_last_moment_may_still_bring_a_purchase() -> None:
    revisions = story(event(1), heartbeat(WINDOW_S), event(2, "purchase", WINDOW_S), heartbeat(WINDOW_S + 1))
    assert revisions["e1"] == [(0, None, False, 0.0), (1, 1, False, WINDOW_S), (2, 1, True, WINDOW_S)]


def test_a_purchase_makes_every_view_of_its_pair_within_the_window_positive() -> None:
    revisions = story(
        event(1), event(2, at_s=1000), event(3, at_s=1000, item="i2"), event(4, at_s=1000, user="u2"),
        event(5, "purchase", 3700), heartbeat(9000),
    )  # fmt: skip
    assert revisions["e1"][-1] == (1, 0, True, WINDOW_S)
    assert revisions["e2"][1:] == [(1, 1, False, 3700.0), (2, 1, True, 1000 + WINDOW_S)]
    assert revisions["e3"][-1][1] == revisions["e4"][-1][1] == 0
    assert revisions["e5"] == [(0, None, True, 3700.0)]


def test_a_second_purchase_repeats_nothing() -> None:
    revisions = story(event(1), event(2, "purchase", 10), event(3, "purchase", 20), heartbeat(9000))
    assert [statement[0] for statement in revisions["e1"]] == [0, 1, 2]


def test_a_return_takes_a_conversion_back_and_a_later_purchase_restores_it() -> None:
    revisions = story(
        event(1), event(2, "purchase", 10), event(3, "return", 20), event(4, "purchase", 30), heartbeat(9000)
    )
    assert [statement[:3] for statement in revisions["e1"]] == [
        (0, None, False), (1, 1, False), (2, 0, False), (3, 1, False), (4, 1, True),
    ]  # fmt: skip


def test_a_return_after_settlement_revises_nothing() -> None:
    revisions = story(event(1), event(2, "purchase", 10), heartbeat(4000), event(3, "return", 5000), heartbeat(9000))
    assert revisions["e1"][-1] == (2, 1, True, WINDOW_S)
    assert revisions["e3"] == [(0, None, True, 5000.0)]


def test_a_view_that_arrives_after_its_purchase_is_positive_at_once() -> None:
    revisions = story(event(1, "purchase", 100), event(2, at_s=90), event(3, at_s=101), heartbeat(9000))
    assert revisions["e2"][:2] == [(0, None, False, 90.0), (1, 1, False, 100.0)]
    assert revisions["e3"][-1] == (1, 0, True, 101 + WINDOW_S)


def test_lateness_keeps_views_open_for_events_out_of_order() -> None:
    late = [event(1), heartbeat(WINDOW_S + 60), event(3, "purchase", WINDOW_S - 1), heartbeat(9000)]
    assert story(*late)["e1"][-1][1] == 0
    patient = story(*late, labels={"window_s": WINDOW_S, "lateness_s": 120})
    assert patient["e1"][-1] == (2, 1, True, WINDOW_S + 120)


def test_which_types_are_samples_and_conversions_is_a_setting() -> None:
    revisions = story(
        event(1, "impression"), event(2, "click", 1), heartbeat(9000),
        labels={"window_s": 2, "samples": ["impression"], "conversions": ["click"]},
    )  # fmt: skip
    assert revisions["e1"][-1][:3] == (2, 1, True)
    assert revisions["e2"] == [(0, None, True, 1.0)]


@pytest.mark.parametrize("kind", ["cart", "favorite", "rating", "return", "purchase"])
def test_a_record_that_is_no_sample_gets_one_final_statement_without_label(kind: str) -> None:
    assert story(event(1, kind), heartbeat(9000))["e1"] == [(0, None, True, 0.0)]


def test_error_is_known_exactly_when_the_label_is() -> None:
    rows = weights(process([event(1), event(2, "purchase", 5), heartbeat(9000)])).to_pylist()
    for row in rows:
        expected = None if row["label"] is None else row["label"] - row["probability"]
        assert row["error"] == expected


def test_a_converted_view_teaches_the_recommender() -> None:
    shard = Shard(small_settings(), 0)
    events = []
    for n in range(0, 400, 2):
        buys = n % 4 == 0
        kind, item = ("purchase", "i1") if buys else ("cart", "i2")
        user = f"u{n // 2 % 37}"
        events += [event(n, at_s=60.0 * n, user=user, item=item), event(n + 1, kind, 60.0 * n + 5, user, item)]
    rows = weights(run(shard, records(events))).to_pylist()
    last = {row["item_id"]: row["probability"] for row in rows if row["event_type"] == "view" and row["revision"] == 0}
    assert last["i1"] > 0.5 > 0.2 > last["i2"]
