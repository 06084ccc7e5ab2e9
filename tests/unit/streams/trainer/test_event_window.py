"""The window that a noise model is fitted on: the newest events of all partitions, each once, as shards met them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings, load
from streams.trainer.event_window import EventWindow
from streams.trainer.plan import noise_is_due
from tests.support.events import batch, event, heartbeat, records
from tests.support.noise_fits import cut, log_batches, quick_settings

(LOG,) = log_batches(3_000)


def window_of(batches: list[RecordBatch], settings: Settings | None = None) -> EventWindow:
    window = EventWindow(settings or quick_settings())
    for one in batches:
        window.add(one)
    return window


def stream(*events: dict[str, Any], partition: int = 0) -> RecordBatch:
    return batch(records(events), partition)


def test_partitions_are_put_together_in_order_of_time_and_late_events_stay_where_they_came() -> None:
    first = stream(event(0, at_s=0), event(1, at_s=100), event(2, at_s=40), event(3, at_s=300))
    other = stream(event(10, at_s=50, user="u2"), event(11, at_s=200, user="u2"), partition=1)
    found = window_of([first, other]).columns()
    seconds = ((found["time_ms"] - found["time_ms"].min()) / 1000).tolist()
    assert seconds == [0, 50, 100, 40, 200, 300]


def test_heartbeats_and_repetitions_are_no_events_of_it() -> None:
    window = window_of([stream(event(0), heartbeat(5), event(1, at_s=9), event(0, at_s=12))])
    assert len(window.columns()) == 2
    assert window.spans() == {"0": (0, 3)}
    assert window.heard == 3


def test_nothing_gives_an_empty_window() -> None:
    window = window_of([])
    assert (len(window.columns()), window.spans()) == (0, {})


@given(cuts=st.lists(st.integers(1, 899), max_size=6, unique=True))
def test_batches_do_not_matter_while_all_fits(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(LOG)]
    parts = [cut(LOG, first, last) for first, last in itertools.pairwise(edges)]
    assert window_of(parts).columns().tobytes() == window_of([LOG]).columns().tobytes()


def test_only_the_newest_are_kept() -> None:
    settings = load({"trainer": {"noise": {"window_events": 1_000}}})
    parts = [cut(LOG, first, min(first + 100, len(LOG))) for first in range(0, len(LOG), 100)]
    window = window_of(parts, settings)
    found = window.columns()
    assert len(found) <= 1_000 < window.heard
    assert found["offset"].max() == window_of([LOG]).columns()["offset"].max()
    assert found["offset"].min() >= len(LOG) - 1_300
    assert window.spans()["0"][0] >= len(LOG) - 1_300


@pytest.mark.parametrize(
    ("heard", "fitted_at", "waited_s", "due"),
    [
        (999, 0, 1e9, False),
        (1_000, 0, 0, True),
        (1_999, 1_000, 0, False),
        (2_000, 1_000, 0, True),
        (1_999, 1_000, 99, False),
        (5_999, 5_000, 101, False),
        (6_000, 5_000, 101, True),
    ],
)
def test_a_fit_is_due_at_first_on_doubling_and_after_a_while(
    heard: int, fitted_at: int, waited_s: float, due: bool
) -> None:
    rules = quick_settings(min_events=1_000, growth=1.0, every_s=100).trainer.noise
    assert noise_is_due(rules, heard, fitted_at, waited_s) == due
