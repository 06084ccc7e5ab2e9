"""A commit may be cut off anywhere: the state that is loaded then is the old one or the new one, whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sie_online.settings import Settings, load
from streams.checkpoint import CheckpointStore
from streams.store import LocalStore, Part
from tests.support.brokers import ROOT
from tests.support.checkpoints import FakeSnapshot, FakeState, Killed, MortalStore, whole


@pytest.fixture
def stores(settings: Callable[..., Settings]) -> Callable[..., CheckpointStore]:
    return lambda store=None: CheckpointStore(settings(), "sie.events", input_partitions=1, store=store)


def _prepared(store: CheckpointStore) -> tuple[FakeState, int]:
    """A shard with a fallback, shared packs and something to sweep."""
    state, epoch = FakeState(), store.claim(0, 1)
    for n in range(9):
        store.write(0, epoch, state.snapshot(full=n == 0))
        state.step(changes=5)
    return state, epoch


def test_death_at_any_point_of_a_commit_leaves_the_old_or_the_new_state_whole(
    stores: Callable[..., CheckpointStore], tmp_path: Path
) -> None:
    survived: dict[str, list[str]] = {"old": [], "new": []}
    for dies_at in range(1, 200):
        root = tmp_path / "runs" / str(dies_at)
        backend = MortalStore(root, dies_at=-1)
        store = stores(backend)
        state, epoch = _prepared(store)
        old, new = whole(stores(LocalStore(root)).load(0)), state.whole()
        assert old != new
        backend.left, backend.trace = dies_at, []
        try:
            store.write(0, epoch, state.snapshot())
        except Killed as death:
            found = whole(stores(LocalStore(root)).load(0))
            assert found in (old, new), death
            survived["new" if found == new else "old"].append(str(death))
            _goes_on(stores(LocalStore(root)), root)
        else:
            assert dies_at > 10
            break
    # The rename of the manifest is the one point at which old becomes new.
    assert survived["old"] == ["open", "half", "written", "renamed .pack", "synced", "open", "half", "written"]
    assert survived["new"][0] == "renamed .json"
    assert "deleted .json" in survived["new"]
    assert "deleted .pack" in survived["new"]


def _goes_on(successor: CheckpointStore, root: Path) -> None:
    """A successor restores, and after two commits of its own no litter of the dead is left."""
    offset, _, pieces = whole(successor.load(0))
    epoch = successor.claim(0, 1)
    for ahead in (1, 2):
        successor.write(0, epoch, FakeSnapshot(offset + ahead, {}, dict(pieces), frozenset(pieces)))
    loaded = successor.load(0)
    assert loaded is not None
    assert (loaded.next_offset, loaded.pieces, loaded.epoch) == (offset + 2, pieces, epoch)
    assert sum(1 for path in root.rglob("packs/*")) == 2
    assert sum(1 for path in root.rglob("manifests/*")) == 2


def test_death_at_any_point_of_the_very_first_commit_leaves_nothing_or_all(
    stores: Callable[..., CheckpointStore], tmp_path: Path
) -> None:
    outcomes = []
    for dies_at in range(1, 100):
        root = tmp_path / "runs" / str(dies_at)
        backend = MortalStore(root, dies_at=-1)
        store, state = stores(backend), FakeState()
        epoch = store.claim(0, 1)
        backend.left = dies_at
        try:
            store.write(0, epoch, state.snapshot())
        except Killed:
            loaded = stores(LocalStore(root)).load(0)
            outcomes.append(loaded is not None)
            assert loaded is None or whole(loaded) == state.whole()
        else:
            break
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


def test_death_within_a_claim_costs_at_most_a_number(stores: Callable[..., CheckpointStore], tmp_path: Path) -> None:
    root = tmp_path / "runs"
    stores(LocalStore(root)).claim(0, 1)
    for dies_at in range(1, 5):
        backend = MortalStore(root, dies_at)
        before = stores(LocalStore(root)).claim(0, 1)
        with pytest.raises(Killed):
            stores(backend).claim(0, 1)
        assert before < stores(LocalStore(root)).claim(0, 1) <= before + 2


def test_contents_are_synced_before_their_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power cut needs, and no test can see otherwise."""
    done: list[str] = []
    sync, rename = os.fsync, Path.replace

    def spy_sync(handle: int) -> None:
        done.append("sync " + Path(f"/proc/self/fd/{handle}").readlink().name)
        sync(handle)

    def spy_rename(path: Path, target: Path) -> Path:
        done.append(f"rename {path.name}")
        return rename(path, target)

    (tmp_path / "packs").mkdir()
    monkeypatch.setattr(os, "fsync", spy_sync)
    monkeypatch.setattr(Path, "replace", spy_rename)
    LocalStore(tmp_path).put("packs/a", [Part.of(b"1"), Part.of(b"2")])
    assert done == ["sync a.tmp", "rename a.tmp", "sync packs"]
    done.clear()
    LocalStore(tmp_path).create("epochs/1", b"")
    assert done == [f"sync {tmp_path.name}", "sync 1", "sync epochs"]


WRITER = """
import sys
from sie_online.settings import load
from streams.checkpoint import CheckpointStore
from tests.support.checkpoints import FakeSnapshot

def pieces(offset):
    return {f"p{n}": (f"{offset - (offset - n) % 8:08d}".encode() * 4000) for n in range(8)}

store = CheckpointStore(load({"store": sys.argv[1]}), "sie.events", input_partitions=1)
loaded, epoch = store.load(0), store.claim(0, 1)
offset, first = (loaded.next_offset if loaded else 0), True
assert loaded is None or loaded.pieces == pieces(offset), "restored what was never written"
while True:
    offset += 1
    now, live = pieces(offset), frozenset(pieces(offset))
    changed = now if first else {f"p{offset % 8}": now[f"p{offset % 8}"]}
    store.write(0, epoch, FakeSnapshot(offset, {}, changed, live))
    first = False
    print(offset, flush=True)
"""


@pytest.mark.slow
def test_kill_9_at_random_moments_never_loses_an_acknowledged_checkpoint(tmp_path: Path) -> None:
    """Each piece says at which offset it was last changed, so that any mixture of two states is seen."""
    chance = random.Random(9)
    acknowledged = 0
    for _ in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path.as_uri()], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        acknowledged = int(writer.stdout.readline() or -1)
        assert acknowledged > 0, "the writer refused what it restored, or never wrote"
        time.sleep(chance.uniform(0, 0.1))  # the moment of death is the test's input
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate()[0].splitlines()
        acknowledged = int(rest[-1]) if rest else acknowledged
        loaded = CheckpointStore(load({"store": tmp_path.as_uri()}), "sie.events").load(0)
        assert loaded is not None
        assert acknowledged <= loaded.next_offset <= acknowledged + 1
        assert {name: int(piece[:8]) for name, piece in loaded.pieces.items()} == {
            f"p{n}": loaded.next_offset - (loaded.next_offset - n) % 8 for n in range(8)
        }
