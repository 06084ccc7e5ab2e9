"""What every object store must do: see `streams.store.port`. A new store is one more ``Place`` in ``test_store``.

Each check takes a fresh, empty place and raises where it breaks a promise.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from sie_online.errors import UnreachableError
from streams.store import Part, Store

RIVALS = 8
NAMES = ("epochs/0000000001", "models/net/01J.safetensors", "top", "a b/ü-%2E_+=@.json")


class Place(NamedTuple):
    """Where a store's objects lie. ``open`` gives the store as one more process would have it; ``fail`` makes it fail
    from now on (a full disk, a network that is away)."""

    open: Callable[[], Store]
    fail: Callable[[], None]


def check_what_was_put_is_read_by_everybody(place: Place) -> None:
    for name in NAMES:
        place.open().put(name, [Part.of(b"one "), Part.of(memoryview(b"two"))])
        assert bytes(place.open().read(name)) == b"one two"


def check_put_replaces_all_of_it(place: Place) -> None:
    store = place.open()
    for content in (b"long" * 1000, b"short", b""):
        store.put("models/a", [Part.of(content)])
        assert bytes(store.read("models/a")) == content
    assert list(store.list("models")) == ["a"]


def check_put_refuses_what_does_not_read_back_as_its_digest_says(place: Place) -> None:
    with pytest.raises(UnreachableError):
        place.open().put("packs/a", [Part(b"altered", Part.of(b"whole").sha256)])


def check_read_takes_no_more_than_it_is_asked_for(place: Place) -> None:
    store = place.open()
    store.put("a", [Part.of(b"0123456789")])
    assert [bytes(store.read("a", most)) for most in (0, 4, 10, 99, -1)] == [b"", b"0123", *[b"0123456789"] * 3]
    assert [bytes(store.read("a", most, 7)) for most in (0, 2, 3, 99, -1)] == [b"", b"78", *[b"789"] * 3]
    assert [bytes(store.read("a", most, 10)) for most in (0, 4, -1)] == [b""] * 3


def check_what_is_not_there_is_no_failure(place: Place) -> None:
    store = place.open()
    with pytest.raises(FileNotFoundError):
        store.read("nothing/here")
    assert list(store.list("nothing")) == []
    store.delete("nothing/here")


def check_list_names_what_is_directly_there(place: Place) -> None:
    store = place.open()
    for name in ("f/a", "f/b.json", "f/g/c", "f/g/d", "fg/e", "h"):
        store.put(name, [Part.of(b"x")])
    assert sorted(store.list("f")) == ["a", "b.json", "g"]
    assert sorted(store.list("f/g")) == ["c", "d"]
    assert {"f", "fg", "h"} <= set(store.list(""))


def check_what_was_deleted_is_gone_for_everybody(place: Place) -> None:
    store = place.open()
    for name in ("f/a", "f/b"):
        store.put(name, [Part.of(b"x")])
    for _ in range(2):
        store.delete("f/a")
    assert list(place.open().list("f")) == ["b"]
    with pytest.raises(FileNotFoundError):
        place.open().read("f/a")


def check_of_rivals_exactly_one_creates(place: Place) -> None:
    with ThreadPoolExecutor(RIVALS) as pool:
        for turn in range(20):
            attempts = [pool.submit(place.open().create, f"epochs/{turn}", b"%d" % rival) for rival in range(RIVALS)]
            won = [rival for rival, attempt in enumerate(attempts) if attempt.result()]
            assert len(won) == 1
            assert bytes(place.open().read(f"epochs/{turn}")) == b"%d" % won[0]


def check_create_leaves_what_is_there(place: Place) -> None:
    store = place.open()
    store.put("epochs/1", [Part.of(b"first")])
    assert store.create("epochs/1", b"second") is False
    assert bytes(store.read("epochs/1")) == b"first"


def check_a_place_that_fails_is_said_to_be_unreachable(place: Place) -> None:
    store = place.open()
    store.put("f/a", [Part.of(b"x")])
    place.fail()
    for ask in (
        lambda: store.create("f/b", b"x"),
        lambda: store.put("f/a", [Part.of(b"y")]),
        lambda: store.read("f/a"),
        lambda: store.list("f"),
        lambda: store.delete("f/a"),
    ):
        with pytest.raises(UnreachableError):
            ask()


CHECKS: dict[str, Callable[[Place], None]] = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}
