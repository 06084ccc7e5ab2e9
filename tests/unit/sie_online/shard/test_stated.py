"""Statements about entities: when one is due, and that many written at once are those written one by one."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sie_online import statements
from sie_online.client.entities import parse_statement
from sie_online.ingest.events import EVENT, EventBatch, Text
from sie_online.settings import Settings
from sie_online.shard import Shard, digits, stated
from sie_online.shard.entities import ERASED_USER, KINDS
from sie_online.shard.output import STATED_ENTITY
from sie_online.shard.stated import StatedEntities
from sie_online.statements import EntityState
from tests.support.events import event, newest_statements, random_events, records, run, small_settings

PARTITION = 3
HASHES = {name: np.uint64(len(name)) for name in ("a", "b", "i#1", "été", "long" * 90, "")}  # some alike


@dataclass(frozen=True)
class Said:
    """One statement of the tests."""

    kind: int
    name: str
    n_events: int
    sums: tuple[float, float, float]
    offset: int


sums = st.floats(0, 1e9) | st.floats(-1e-12, 1e-5) | st.sampled_from([0.0, 0.5, 1.0, 99.9999995, 1e12])
said = st.builds(
    Said,
    kind=st.integers(0, ERASED_USER),
    name=st.sampled_from(list(HASHES)),
    n_events=st.integers(0, 1 << 40),
    sums=st.tuples(sums, sums, sums),
    offset=st.integers(0, (1 << 63) - 1),
)
turns = st.lists(st.tuples(st.sampled_from(["builtin", 'a "quoted" ✓', "01J"]), st.lists(said, max_size=9)), max_size=6)


def columns_of(found: list[Said]) -> tuple[np.ndarray[Any, Any], EventBatch]:
    """``found`` as a kernel leaves it, each about an event of its own."""
    rows, columns = np.zeros(len(found), STATED_ENTITY), np.zeros(len(found), EVENT)
    names = Text.of([one.name.encode() for one in found])
    for at, one in enumerate(found):
        rows[at] = (one.kind, at, one.n_events, *one.sums, one.offset)
        columns[at]["user_key"] = columns[at]["item_key"] = columns[at]["category_key"] = HASHES[one.name]
    return rows, EventBatch(columns, event_id=names, user_id=names, item_id=names, category_id=names)


def one_by_one(turns: list[tuple[str, list[Said]]]) -> list[tuple[bytes, bytes | None]]:
    """The newest statement of each entity, in order of the first."""
    newest: dict[bytes, bytes | None] = {}
    for version, found in turns:
        for one in found:
            state = EntityState(one.n_events, *one.sums, PARTITION, one.offset, version)
            key, value = statements.encode(KINDS[one.kind], one.name.encode(), PARTITION, state)
            newest[key] = None if one.kind == ERASED_USER else value
    return list(newest.items())


def at_once(turns: list[tuple[str, list[Said]]], waiting: StatedEntities) -> list[tuple[bytes, bytes | None]]:
    for version, found in turns:
        waiting.take(*columns_of(found), version)
    n = len(waiting)
    popped = list(waiting.pop())
    assert len(popped) == n
    return popped


def parsed(pairs: list[tuple[bytes, bytes | None]]) -> list[tuple[bytes, Any]]:
    return [(key, value and json.loads(value)) for key, value in pairs]


@hypothesis_settings(deadline=None)
@given(turns, turns)
def test_many_at_once_say_what_one_by_one_say(
    first: list[tuple[str, list[Said]]], second: list[tuple[str, list[Said]]]
) -> None:
    waiting = StatedEntities(PARTITION)
    for each in (first, second):
        assert parsed(at_once(each, waiting)) == parsed(one_by_one(each))
        assert not len(waiting)


def test_the_kernels_are_what_plain_python_makes_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = [Said(kind, name, 12, (0.25, 1234.5, -7.0), 99) for kind in range(4) for name in HASHES]
    compiled = at_once([("builtin", turn)], StatedEntities(PARTITION))
    for module in (stated, digits):
        for name, each in vars(module).copy().items():
            if hasattr(each, "py_func"):
                monkeypatch.setattr(module, name, each.py_func)
    plain = StatedEntities(PARTITION)
    plain._make_room(len(turn), 1 << 13)
    plain._waiting = plain._waiting._replace(rows=plain._waiting.rows.view(np.recarray))
    rows, events = columns_of(turn)
    plain.take(rows.view(np.recarray), replace(events, columns=events.columns.view(np.recarray)), "builtin")
    assert list(plain.pop()) == compiled


@pytest.mark.parametrize("n", [stated.FIRST_ROOM, 5 * stated.FIRST_ROOM])
def test_more_than_there_was_room_for_are_kept(n: int) -> None:
    names = {f"{at:x}": np.uint64(at * 7919) for at in range(n)}
    waiting, half = StatedEntities(PARTITION), n // 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "HASHES", names)
        turns = [
            ("builtin", [Said(1, name, at, (0.5, 0.25, 0.125), at) for at, name in enumerate(names)]),
            ("next", [Said(1, name, 2 * at, (0.5, 0.25, 0.125), 2 * at) for at, name in enumerate(names)][:half]),
        ]
        assert parsed(at_once(turns, waiting)) == parsed(one_by_one(turns))


@given(st.floats(0, 1e9))
def test_a_sum_is_read_as_the_decimal_nearest_to_it(figure: float) -> None:
    _, value = statements.encode("user", b"ann", 0, EntityState(1, figure, figure, figure, 0, 0, "builtin"))
    assert parse_statement(value).sum_weight == pytest.approx(figure, abs=0.6 / statements.UNIT, rel=1e-15)
    assert json.loads(at_once([("v", [Said(0, "a", 1, (figure,) * 3, 0)])], StatedEntities(0))[0][1] or b"") == (
        json.loads(value) | {"model_version": "v"}
    )


def stated_of(events: list[dict[str, Any]], key: bytes, settings: Settings) -> list[int]:
    """``n_events`` of every statement about ``key``, each event a batch."""
    outputs = run(Shard(settings, 0), records(events), range(len(events)))
    pairs = [pair for output in outputs for pair in output.gathered.entities]
    return [json.loads(value)["n_events"] for name, value in pairs if name == key and value]


@pytest.mark.parametrize(
    ("growth", "expected"), [(0.0, list(range(1, 21))), (0.5, [1, 2, 3, 5, 8, 12, 18]), (1.0, [1, 2, 4, 8, 16])]
)
def test_an_entity_is_stated_at_its_first_event_and_when_its_events_have_grown_by_the_share(
    growth: float, expected: list[int]
) -> None:
    events = [event(n, at_s=n) for n in range(20)]
    settings = small_settings(entities={"publish_growth": growth})
    assert stated_of(events, b"user:u1", settings) == expected
    assert stated_of(events, b"item:i1#0", settings) == expected


def test_an_event_after_the_maximum_age_is_stated_whatever_has_grown() -> None:
    events = [event(n, at_s=at) for n, at in enumerate([0, 1, 2, 3, 4, 20, 21, 40])]
    settings = small_settings(entities={"publish_max_age_s": 10, "publish_growth": 10})
    assert stated_of(events, b"user:u1", settings) == [1, 6, 8]


@pytest.mark.parametrize("growth", [0.25, 1.0])
def test_a_reader_lacks_less_than_the_share_of_any_entity_s_events(growth: float) -> None:
    rows = records(random_events(900, seed=3))
    bounds = dict.fromkeys(("users", "items", "categories", "pairs", "interests"), 128)
    exact, sparse = (
        {
            key: parse_statement(value)
            for key, value in newest_statements(
                run(Shard(small_settings(entities=bounds | {"publish_growth": share}), 0), rows)
            ).items()
        }
        for share in (0.0, growth)
    )
    assert sparse.keys() == exact.keys()
    lacking = [1 - sparse[key].n_events / exact[key].n_events for key in exact]
    assert 0 < max(lacking) < growth / (1 + growth)
