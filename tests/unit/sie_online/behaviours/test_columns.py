"""Decoded events become a log and a mixture becomes events again, with keys that clash with nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as bounds
from hypothesis import strategies as st
from numpy.typing import NDArray

from sie_online.behaviours import NO_CATEGORY, Log, columns_of, log_of, mix, roles_of
from sie_online.behaviours.columns import DETAILS
from sie_online.contracts import CONVERSION_TYPES, ERASE_CODE, HEARTBEAT_CODE, SAMPLE_TYPES
from sie_online.ingest.events import EVENT
from tests.support.shops import random_log

ROLES = roles_of(SAMPLE_TYPES, CONVERSION_TYPES)


def decoded_events(seed: int, log: Log, *, disorder: bool = False) -> NDArray[np.void]:
    """Events as the decoder would have them, with a heartbeat and an erasure among them."""
    rng, n = np.random.default_rng(seed), len(log.user)
    keys = rng.permutation(np.arange(1, 4 * n + 200, dtype=np.uint64)) * np.uint64(1 << 40)
    events = np.zeros(n, EVENT)
    events["event_key"] = keys[:n]
    events["user_key"] = keys[n : 2 * n][log.user]
    events["item_key"] = keys[2 * n : 3 * n][log.item]
    events["category_key"] = np.append(keys[3 * n : 4 * n], np.uint64(0))[log.category]
    events["session_key"] = np.where(rng.random(n) < 0.8, keys[-1], 0)
    for name in DETAILS:
        events[name] = np.where(rng.random(n) < 0.5, np.nan, log.etype + rng.random(n))
    events["etype"], events["time_ms"] = log.etype, log.time_ms
    controls = np.zeros(2, EVENT)
    controls["etype"], controls["time_ms"], controls["user_key"] = (HEARTBEAT_CODE, ERASE_CODE), log.time_ms[5], keys[5]
    events = np.concatenate([events[: n // 2], controls, events[n // 2 :]])
    events["offset"] = 3 * np.arange(len(events))
    return events[rng.permutation(len(events))] if disorder else events


@bounds(max_examples=50)
@given(
    seed=st.integers(0, 1_000),
    categories=st.sampled_from([0, 3]),
    types=st.lists(st.integers(0, 7), min_size=1, unique=True),
    disorder=st.booleans(),
)
def test_there_and_back(seed: int, categories: int, types: list[int], disorder: bool) -> None:
    log = random_log(seed, 200, users=15, items=40, categories=categories, types=types)
    columns = decoded_events(seed, log, disorder=disorder)
    decoded = log_of(columns)
    assert np.array_equal(decoded.users[decoded.log.user], columns["user_key"][decoded.rows])
    assert np.array_equal(decoded.items[decoded.log.item], columns["item_key"][decoded.rows])
    assert np.array_equal(decoded.log.time_ms, np.sort(log.time_ms))

    mixture = mix(decoded.log, ROLES, seed)
    events = columns_of(mixture, decoded, columns, seed)
    assert events.dtype == EVENT
    again = log_of(events)
    assert np.array_equal(again.rows, np.arange(len(events)))
    for name in ("etype", "time_ms"):
        assert np.array_equal(getattr(again.log, name), getattr(mixture.log, name))
    for name in ("user", "item", "category"):  # the same but for how they are numbered
        both = np.stack([getattr(again.log, name), getattr(mixture.log, name)])
        one, other = (len(np.unique(each)) for each in both)
        assert one == other == np.unique(both, axis=1).shape[1]
    assert np.array_equal(again.log.category == NO_CATEGORY, mixture.log.category == NO_CATEGORY)

    there = mixture.source >= 0
    base = columns[decoded.rows[mixture.source[there]]]
    for name in ("event_key", "item_key", "category_key", "session_key", *DETAILS):
        assert np.array_equal(events[name][there], base[name], equal_nan=name in DETAILS)
    untouched = mixture.behaviour[there] == 0
    assert np.array_equal(events["user_key"][there][untouched], base["user_key"][untouched])


def mixed() -> tuple[NDArray[np.void], NDArray[np.void], NDArray[np.bool_]]:
    columns = decoded_events(1, random_log(1, 2_000, users=50, items=40, types=[1, 1, 3, 5]))
    decoded = log_of(columns)
    mixture = mix(decoded.log, ROLES, 8, families=["click_farm", "takeover", "rank_boosting"], polluting=3, innocent=0)
    return columns, columns_of(mixture, decoded, columns), mixture.source < 0


def test_keys_of_what_is_added_occur_nowhere_else() -> None:
    columns, events, added = mixed()
    names = ("event_key", "user_key", "item_key", "category_key", "session_key")
    known = np.unique(np.concatenate([columns[name] for name in names]))
    assert len(np.unique(events["event_key"])) == len(events)
    assert not np.isin(events["event_key"][added], known).any()
    new = ~np.isin(events["user_key"], columns["user_key"])
    assert new.any()
    assert added[new].all()
    assert not np.isin(events["user_key"][new], known).any()
    sessions = events["session_key"][added]
    assert not np.isin(sessions[sessions != 0], known).any()
    fresh = [np.unique(each) for each in (events["event_key"][added], events["user_key"][new], sessions[sessions != 0])]
    together = np.concatenate(fresh)
    assert len(np.unique(together)) == len(together)
    assert events["user_key"].min() > 0


def test_a_session_of_what_is_added_is_of_one_account() -> None:
    _, events, added = mixed()
    within = added & (events["session_key"] != 0)
    both = np.unique(np.stack([events["session_key"][within], events["user_key"][within]]), axis=1)
    assert both.shape[1] == len(np.unique(both[0]))


def test_details_of_what_is_added_are_those_of_its_type() -> None:
    _, events, added = mixed()
    details = np.stack([events[name][added] for name in DETAILS])
    known = ~np.isnan(details)
    assert known.any()
    assert (~known).any()
    assert np.array_equal(np.floor(details[known]), np.broadcast_to(events["etype"][added], details.shape)[known])


def test_events_are_numbered_in_their_order_and_by_the_seed_alone() -> None:
    columns, events, _ = mixed()
    assert np.array_equal(events["offset"], np.arange(len(events)))
    assert not events["now_ms"].any()
    assert events.tobytes() == mixed()[1].tobytes()
    decoded = log_of(columns)
    mixture = mix(decoded.log, ROLES, 1)
    one, other = (columns_of(mixture, decoded, columns, seed) for seed in (1, 2))
    added = mixture.source < 0
    assert (one["event_key"][added] != other["event_key"][added]).all()


def test_heartbeats_and_erasures_are_no_part_of_a_log() -> None:
    columns, *_ = mixed()
    decoded = log_of(columns)
    assert len(decoded.log.user) == len(columns) - 2
    assert decoded.log.etype.max() < HEARTBEAT_CODE


def test_roles_go_by_the_names_of_event_types() -> None:
    roles = roles_of(["view"], ["cart", "purchase"])
    assert roles.samples == {1}
    assert roles.conversions == {3, 5}
    with pytest.raises(KeyError):
        roles_of(["look"], ["purchase"])
