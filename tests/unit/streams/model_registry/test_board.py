"""What a status page is told of models: the registry, and what lies refused in the store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from models.manifest import Verdict
from sie_online.announcements import NET, Announcement
from sie_online.errors import UnreachableError
from streams.model_registry import artifacts
from streams.model_registry.board import ModelBoard
from streams.model_registry.registry import empty_registry
from streams.store import LocalStore
from tests.support.versions import made_version, new_version


class Away(LocalStore):
    """A store that does not answer any more."""

    def list(self, folder: str) -> list[str]:
        raise UnreachableError("the store is away")


def keep(store: LocalStore, *, passed: bool, time_ms: int) -> str:
    data, manifest = made_version(new_version(time_ms))
    artifacts.keep(store, data, replace(manifest, gate=Verdict(passed, () if passed else ("no gain",))))
    return manifest.version


def test_what_was_refused_is_found_in_the_store_and_what_was_announced_is_not_among_it(tmp_path: Path) -> None:
    store, registry = LocalStore(tmp_path), empty_registry()
    accepted = keep(store, passed=True, time_ms=1_700_000_000_000)
    refused = [keep(store, passed=False, time_ms=1_700_000_000_001 + n) for n in range(7)]
    being_written = keep(store, passed=True, time_ms=1_700_000_001_000)
    registry[NET].announcements[1] = Announcement(n=1, version=accepted, offsets={}, reason="publish", created_at_ms=1)
    (tmp_path / artifacts.manifest_name(refused[-2])).write_text("damaged")
    board = ModelBoard(registry, store)
    asyncio.run(board.look())
    told = [each.version for each in board.stories()[0].refused]
    assert told == [refused[-1], *reversed(refused[-4:-2])]  # of the newest five not announced, those that can be read
    assert being_written not in told


def test_a_store_that_is_away_leaves_what_was_known(tmp_path: Path) -> None:
    refused = keep(LocalStore(tmp_path), passed=False, time_ms=1_700_000_000_000)
    board = ModelBoard(empty_registry(), LocalStore(tmp_path))
    asyncio.run(board.look())
    board._store = Away(tmp_path)
    asyncio.run(board.look())
    assert [each.version for each in board.stories()[0].refused] == [refused]
