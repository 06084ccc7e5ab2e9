"""An erase record makes a shard forget a user, wherever it is replayed from, and nobody else."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as checks
from hypothesis import strategies as st

from sie_online.ingest.decoder import Decoder
from sie_online.ingest.events import Reason
from sie_online.ingest.wire import erasure
from sie_online.settings import Settings
from sie_online.shard import Shard
from tests.support.events import (
    EventRecord,
    batch,
    event,
    heartbeat,
    random_events,
    records,
    run,
    samples,
    small_settings,
    weights,
)

WHO = "u-erased"


def erase(user: str = WHO) -> dict[str, Any]:
    value = erasure(user, 0).value
    assert value is not None
    return dict(json.loads(value))


def unkeyed(events: list[dict[str, Any]]) -> list[EventRecord]:
    """Records as ``records`` makes them, but erasures without a key."""
    return [
        EventRecord(one.offset, one.value, None) if events[one.offset]["event_type"] == "erase" else one
        for one in records(events)
    ]


def held(shard: Shard) -> bytes:
    """Every byte that a full snapshot of ``shard`` carries."""
    fresh = shard.snapshot()
    return b"".join(bytes(piece) for piece in fresh.changed.values())


def key_of(user: str, settings: Settings | None = None) -> bytes:
    """The 64-bit key of a user, as it lies in the state."""
    decoded, _ = Decoder(settings or small_settings()).decode(batch(records([event(0, user=user)])))
    return decoded.columns["user_key"].astype("<u8").tobytes()


def test_after_an_erasure_no_snapshot_holds_the_user_s_key_or_id() -> None:
    shard = Shard(small_settings(), 0)
    events = [*random_events(300, seed=3), *(event(1000 + n, at_s=9000 + n, user=WHO, item=f"i{n}") for n in range(8))]
    run(shard, unkeyed(events))
    before = held(shard)
    assert key_of(WHO) in before and WHO.encode() in before
    run(shard, unkeyed([*events, erase()])[len(events) :])
    for _ in range(2):
        after = shard.snapshot()
        assert after.changed.keys() == after.live  # it refers to no older pack, where the user would still be
        pieces = b"".join(bytes(piece) for piece in after.changed.values())
        assert key_of(WHO) not in pieces and WHO.encode() not in pieces
    assert not shard.snapshot().changed  # and then only what changes is written again


def test_after_an_erasure_nobody_s_companion_and_no_item_s_visitor_is_the_user() -> None:
    shard = Shard(small_settings(), 0)
    events = [event(n, at_s=n, user=("u1", "u2", WHO)[(n + n // 3) % 3], item=f"i{n // 3}") for n in range(30)]
    run(shard, unkeyed(events))
    who = int.from_bytes(key_of(WHO)[:4], "little")

    def places() -> list[int]:
        users, items = shard._learned.state.users.rows, shard._learned.state.items.rows
        kept = users["z_companions"], items["z_last"], items["z_came"]
        return [np.count_nonzero(each == who) for each in kept]

    assert min(places()) > 0
    run(shard, unkeyed([*events, erase()])[len(events) :])
    assert places() == [0, 0, 0]
    assert shard._learned.state.users.rows["z_companions"].any() and shard._learned.state.items.rows["z_last"].any()


def test_open_views_end_without_label_and_user_and_become_no_sample() -> None:
    events = [event(1, user=WHO), event(2, user=WHO, item="i2"), event(3), event(4, "purchase", 5, user=WHO), erase(),
            event(5, "purchase", 10, user=WHO), heartbeat(9000)]  # fmt: skip
    outputs = run(Shard(small_settings(), 0), unkeyed(events))
    rows = weights(outputs).to_pylist()
    last = {row["event_id"]: row for row in rows}
    for name, revision in (("e1", 2), ("e2", 1)):  # e1 had been bought
        row = last[name]
        assert (row["revision"], row["final"], row["label"], row["error"]) == (revision, True, None, None)
        assert (row["user_id"], row["item_id"], row["event_id"]) == ("", "i1" if name == "e1" else "i2", name)
        factors = [value for column, value in row.items() if column.startswith("f_")]
        assert np.log(row["weight"]) == pytest.approx(sum(factors), abs=1e-9)
    assert last["e3"]["label"] == 0
    assert samples(outputs)["event_id"].to_pylist() == ["e3"]
    assert sum(output.counts.erasures for output in outputs) == 1
    assert sum(output.counts.events_in for output in outputs) == len(events)


def test_the_user_s_statement_on_the_entities_topic_is_taken_back_after_the_last_one() -> None:
    events = unkeyed([event(1, user=WHO), event(2, at_s=5, user=WHO), erase()])
    outputs = run(Shard(small_settings(), 0), events, cuts=[2])
    said = [value for output in outputs for key, value in output.gathered.entities if key == b"user:" + WHO.encode()]
    assert said[-1] is None and None not in said[:-1] and len(said) > 1


def test_who_comes_back_is_a_new_user() -> None:
    """Bit for bit the first statement of someone who has never been seen."""
    past = [event(n, at_s=n, user=WHO, item=f"i{n % 3}") for n in range(9)]
    back = event(100, at_s=50, user=WHO)
    stranger = event(100, at_s=50, user="u-stranger")
    first = [
        weights(run(Shard(small_settings(), 0), unkeyed([*past, erase(), one]))).to_pylist()[-1]
        for one in (back, stranger)
    ]
    features = [
        samples(run(Shard(small_settings(), 0), unkeyed([*past, erase(), one, heartbeat(9000)]))).to_pylist()[-1]
        for one in (back, stranger)
    ]
    assert features[0]["dense"] == features[1]["dense"]
    assert first[0]["noise_probability"] == first[1]["noise_probability"]


def test_an_unknown_user_is_erased_without_a_trace() -> None:
    events = random_events(400, seed=4)
    cut = 200
    plain = weights(run(Shard(small_settings(), 0), unkeyed(events)))
    outputs = run(Shard(small_settings(), 0), unkeyed([*events[:cut], erase("nobody"), *events[cut:]]))
    rows = weights(outputs)
    assert [offset - (offset > cut) for offset in rows["offset"].to_pylist()] == plain["offset"].to_pylist()
    assert rows.drop_columns(["offset"]).equals(plain.drop_columns(["offset"]))


erasures = st.lists(st.tuples(st.integers(1, 380), st.integers(0, 39)), min_size=1, max_size=5)


@checks(max_examples=15, deadline=None)
@given(erasures, st.lists(st.integers(1, 380), max_size=6), st.integers(1, 380))
def test_what_is_said_depends_neither_on_batches_nor_on_a_restart(
    who: list[tuple[int, int]], cuts: list[int], restart: int
) -> None:
    events = random_events(380, seed=6)
    for at, user in sorted(who, reverse=True):
        events.insert(at, erase(f"u{user}"))
    rows = unkeyed(events)
    whole = weights(run(Shard(small_settings(), 0), rows))
    assert weights(run(Shard(small_settings(), 0), rows, cuts)).equals(whole)

    shard = Shard(small_settings(), 0)
    before = run(shard, rows[:restart])
    saved = shard.snapshot()
    again = Shard.restore(small_settings(), 0, saved.meta, saved.changed, generation=0)
    assert weights([*before, *run(again, rows[restart:])]).equals(whole)


def test_more_open_views_than_one_output_holds_are_all_withdrawn() -> None:
    settings = small_settings(labels={"window_s": 3600, "max_open_views": 1 << 13})
    events = [*(event(n, at_s=n / 10, user=WHO, item=f"i{n % 50}") for n in range(5_000)), event(9_999, at_s=600)]
    rows = weights(run(Shard(settings, 0), unkeyed([*events, erase(), heartbeat(9_000)])))
    final = [row for row in rows.to_pylist() if row["final"]]
    assert len(final) == 5_001
    assert sum(row["user_id"] == "" and row["label"] is None for row in final) == 5_000


def test_under_a_key_the_record_carries_the_published_id_and_is_not_keyed_twice(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"k" * 32)
    settings = small_settings(privacy={"hmac_key_file": str(file)})
    published = hmac.new(b"k" * 32, WHO.encode(), hashlib.sha256).hexdigest()
    shard = Shard(settings, 0)
    events = [event(1, user=WHO), erase(published)]
    run(shard, unkeyed(events))
    assert key_of(WHO, settings) not in held(shard)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"event_type": "erase"}, Reason.MISSING_FIELD),
        ({"event_type": "erase", "user_id": ""}, Reason.BAD_ID),
        ({"event_type": "erase", "user_id": "u" * 300}, Reason.BAD_ID),
        ({"event_type": "erase", "user_id": 7}, Reason.WRONG_TYPE),
        ({**event(1, user=WHO), "event_type": "erase"}, Reason.WRONG_TYPE),  # a shop's own event of that name
    ],
)
def test_what_is_no_erasure_beyond_doubt_erases_nobody(value: dict[str, Any], reason: Reason) -> None:
    shard = Shard(small_settings(), 0)
    outputs = run(shard, unkeyed([event(0, user=WHO), value]))
    assert [letter.reason for output in outputs for letter in output.dead_letters] == [reason]
    assert key_of(WHO) in held(shard)
