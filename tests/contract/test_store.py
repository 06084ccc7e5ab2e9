"""Every store keeps the port's promises; one that does not is found out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sie_online.errors import UnreachableError, UsageError
from streams.store import STORES, LocalStore, Part, Store, open_store
from tests.contract.store_contract import CHECKS, Place
from tests.support.buckets import Network, always, refused

Make = Callable[[pytest.FixtureRequest], Place]


class MemoryStore(Store):
    """Objects in the memory of one process."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.away = False
        self._lock = threading.Lock()

    def create(self, name: str, data: bytes) -> bool:
        with self._lock:
            if name in self._there:
                return False
            self.objects[name] = data
            return True

    def put(self, name: str, parts: Sequence[Part]) -> None:
        if any(Part.of(part.data).sha256 != part.sha256 for part in parts):
            raise UnreachableError(f"{name} is not what was to be written")
        self._there[name] = b"".join(part.data for part in parts)

    def read(self, name: str, most: int = -1, start: int = 0) -> bytes:
        if name not in self._there:
            raise FileNotFoundError(name)
        return self.objects[name][start:][: None if most < 0 else most]

    def list(self, folder: str) -> Sequence[str]:
        start = f"{folder}/" if folder else ""
        below = (name.removeprefix(start) for name in self._there if name.startswith(start))
        return list({name.partition("/")[0] for name in below})

    def delete(self, name: str) -> None:
        self._there.pop(name, None)

    @property
    def _there(self) -> dict[str, bytes]:
        if self.away:
            raise UnreachableError("the memory is away")
        return self.objects


def _memory(_: pytest.FixtureRequest) -> Place:
    store = MemoryStore()
    return Place(lambda: store, lambda: setattr(store, "away", True))


def _file(request: pytest.FixtureRequest) -> Place:
    return _folder(request.getfixturevalue("tmp_path"))


def _folder(folder: Path) -> Place:
    root = folder / "a store, 100%"

    def fail() -> None:
        root.rename(folder / "away")
        root.write_text("a file where the folder was")

    return Place(lambda: open_store(root.as_uri()), fail)


def _bucket(request: pytest.FixtureRequest) -> Place:
    url: str = request.getfixturevalue("bucket")
    network: Network = request.getfixturevalue("network")

    def fail() -> None:
        network.faults = always(refused(403, "AccessDenied"))

    return Place(lambda: open_store(f"{url}/pre%20fix/of it"), fail)


PLACES: dict[str, Make] = {"file": _file, "s3": _bucket, "memory": _memory}
ALIKE = {"gs", "az"}
"""Opened by the same code as ``s3``; there is no server for them in CI (docs/stores.md says what was tried)."""


def test_every_registered_store_is_held_to_the_contract() -> None:
    assert PLACES.keys() | ALIKE >= STORES.keys(), "give the new store a place here"
    assert {STORES[kind] for kind in ALIKE} == {STORES["s3"]}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("kind", PLACES)
def test_a_store_keeps_its_promise(kind: str, check: str, request: pytest.FixtureRequest) -> None:
    CHECKS[check](PLACES[kind](request))


class Overwriting(LocalStore):
    """``create`` looks first and writes then."""

    def create(self, name: str, data: bytes) -> bool:
        is_new = not (self.root / name).exists()
        self.put(name, [Part.of(data)])
        return is_new


class Deep(LocalStore):
    """``list`` goes all the way down."""

    def list(self, folder: str) -> Sequence[str]:
        base = self.root / folder
        return [str(path.relative_to(base)) for path in base.rglob("*") if path.is_file()]


class Trusting(LocalStore):
    """``put`` takes the caller's word for it."""

    def put(self, name: str, parts: Sequence[Part]) -> None:
        super().put(name, [Part.of(part.data) for part in parts])


class Candid(LocalStore):
    """``read`` lets the operating system's errors through."""

    def read(self, name: str, most: int = -1, start: int = 0) -> bytes:
        with (self.root / name).open("rb") as file:
            return file.read()[start:][: None if most < 0 else most]


BROKEN = {
    Overwriting: "create_leaves_what_is_there",
    Deep: "list_names_what_is_directly_there",
    Trusting: "put_refuses_what_does_not_read_back_as_its_digest_says",
    Candid: "a_place_that_fails_is_said_to_be_unreachable",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_store_that_breaks_a_promise_is_found_out(broken: type[LocalStore], tmp_path: Path) -> None:
    place = _folder(tmp_path)
    with pytest.raises((AssertionError, OSError, pytest.fail.Exception)):
        CHECKS[BROKEN[broken]](place._replace(open=lambda: broken(tmp_path / "store")))


@pytest.mark.parametrize("url", ["ftp://host/sie", "/var/lib/sie", "FILE:///tmp"])
def test_a_kind_of_store_that_there_is_not_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="not supported: there are az://, file://, gs://, s3://"):
        open_store(url)
