"""Promises of the checkpoint store in the absence of crashes, damage and rivals (each has a module of its own)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sie_online.errors import CheckpointError, UnreachableError, UsageError
from sie_online.settings import Settings, load
from streams.checkpoint import CheckpointStore, Written, commit, folder, space
from streams.store import LocalStore, Part, open_store
from tests.support.checkpoints import FakeSnapshot, FakeState, Stores, files, newest_manifest, shard_folder, whole


def test_what_was_written_is_loaded_by_another_process(stores: Stores, settings: Callable[..., Settings]) -> None:
    state, store = FakeState(), stores()
    epoch = store.claim(2, 1)
    written = store.write(2, epoch, state.snapshot())
    loaded = stores().load(2)
    assert loaded is not None
    assert whole(loaded) == state.whole()
    assert (loaded.epoch, loaded.highest_generation, loaded.input_partitions) == (epoch, epoch, 4)
    assert loaded.fingerprint == settings().fingerprint()
    assert loaded.format == 2
    assert written.pieces == 6
    assert written.bytes > 6000


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_nobody_but_the_owner_reads_the_store_whatever_the_umask(stores: Stores, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = stores()
        store.write(1, store.claim(1, 1), FakeState().snapshot())
        open_store(f"file://{tmp_path}/store").put("models/net/x.safetensors", [Part.of(b"x")])
    finally:
        os.umask(before)
    found = list((tmp_path / "store").rglob("*"))
    assert {path.stat().st_mode & 0o777 for path in found if path.is_file()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "store", *found) if path.is_dir()} == {0o700}


def test_a_shard_that_never_checkpointed_loads_as_none(stores: Stores) -> None:
    store = stores()
    store.claim(0, 1)
    assert store.load(0) is None
    assert store.newest(0) is None


def test_only_changed_pieces_are_written(stores: Stores) -> None:
    state, store = FakeState(pieces=100, size=10_000), stores()
    epoch = store.claim(0, 1)
    full = store.write(0, epoch, state.snapshot())
    state.offset += 1
    again = store.write(0, epoch, state.snapshot())  # so that it shares no file with the first
    state.offset += 1
    state.put("users/00007", b"new")
    later = store.write(0, epoch, state.snapshot())
    assert (again.pieces, later.pieces) == (0, 1)
    assert again.bytes == pytest.approx(full.bytes, rel=0.01)
    assert later.bytes < full.bytes / space.RENEWAL + 40_000  # a share of the rest, the piece and the manifest
    assert whole(stores().load(0)) == state.whole()


def test_pieces_come_and_go(stores: Stores) -> None:
    state, store = FakeState(), stores()
    epoch = store.claim(0, 1)
    store.write(0, epoch, state.snapshot())
    del state.pieces["users/00000"]
    state.put("views/0-65536", b"")
    state.offset += 5
    store.write(0, epoch, state.snapshot())
    assert whole(stores().load(0)) == state.whole()


def test_typed_memoryviews_are_taken_byte_for_byte(stores: Stores) -> None:
    numbers = memoryview(b"\1\0\0\0\2\0\0\0" * 4).cast("i", (2, 4))
    store = stores()
    store.write(0, store.claim(0, 1), FakeSnapshot(1, {}, {"a": numbers, "b": b"xyz"}, frozenset("ab")))
    loaded = store.load(0)
    assert loaded is not None
    assert loaded.pieces == {"a": numbers.tobytes(), "b": b"xyz"}


def test_partitions_groups_and_topics_are_apart(stores: Stores, settings: Callable[..., Settings]) -> None:
    state = FakeState()
    store = stores()
    store.write(0, store.claim(0, 1), state.snapshot())
    assert store.load(1) is None
    assert stores(group="other").load(0) is None
    assert CheckpointStore(settings(), "other", input_partitions=4).load(0) is None


@pytest.mark.parametrize("group", ["..", ".", "a/../../b", "/etc", "größe", "a b%2F"])
def test_a_group_of_any_name_stays_inside_the_store(tmp_path: Path, stores: Stores, group: str) -> None:
    state, store = FakeState(), stores(group=group)
    store.write(0, store.claim(0, 1), state.snapshot())
    assert whole(stores(group=group).load(0)) == state.whole()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert len(list((tmp_path / "store" / "checkpoints").iterdir())) == 1
    assert len(list((tmp_path / "store").rglob("*.json"))) == 1
    assert len(next((tmp_path / "store").rglob("*.json")).relative_to(tmp_path).parts) == 7


def test_at_most_four_manifests_and_their_packs_are_kept_one_of_them_without_a_share_in_the_newest(
    stores: Stores, tmp_path: Path
) -> None:
    state, store = FakeState(pieces=100), stores()
    epoch = store.claim(0, 1)
    written: list[Written] = []
    offsets: list[int] = []
    for n in range(4 * space.RENEWAL):
        written.append(store.write(0, epoch, state.snapshot()))
        offsets.append(state.offset)
        newest, *older = map(shard_folder(tmp_path).read_manifest, shard_folder(tmp_path).positions())
        assert newest.next_offset == state.offset
        assert len(older) <= 3
        if n > 0:
            assert older[0].next_offset == offsets[-2], "the one before"
            apart = [manifest for manifest in older if manifest.packs.keys().isdisjoint(newest.packs)]
            assert apart
            assert offsets.index(apart[0].next_offset) >= n - 2 * space.RENEWAL
        named = {pack for manifest in (newest, *older) for pack in manifest.packs}
        assert {path.name for path in files(tmp_path, "packs")} == named
        state.step()
    later = sum(one.bytes for one in written[2:]) / len(written[2:])
    assert later < 0.3 * written[0].bytes


def test_space_stays_within_twice_the_live_bytes(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor = 20_000
    monkeypatch.setattr(commit, "pieces_to_move", lambda *a, **k: space.pieces_to_move(*a, **k, floor=floor))
    state, store = FakeState(pieces=40, size=2000), stores()
    epoch = store.claim(0, 1)
    total = 0
    for _ in range(200):
        total += store.write(0, epoch, state.snapshot()).bytes
        manifest = newest_manifest(tmp_path)
        live = sum(len(piece) for piece in state.pieces.values())
        assert sum(manifest.packs.values()) <= 2 * live + floor
        assert whole(stores().load(0)) == state.whole()
        state.step(changes=3)
    assert total < 200 * 40 * 1000 / 2  # far less than writing everything every time


def test_packs_stay_few_when_every_write_adds_a_piece(stores: Stores, tmp_path: Path) -> None:
    state, store = FakeState(pieces=1), stores()
    epoch = store.claim(0, 1)
    for n in range(150):
        state.put(f"views/{n}", bytes([n]))
        state.offset += 1
        store.write(0, epoch, state.snapshot())
        manifest = newest_manifest(tmp_path)
        assert len(manifest.packs) <= space.RENEWAL
    assert whole(stores().load(0)) == state.whole()


def test_meta_that_json_cannot_hold_is_refused(stores: Stores) -> None:
    store = stores()
    epoch = store.claim(0, 1)
    with pytest.raises(CheckpointError, match="meta is not JSON"):
        store.write(0, epoch, FakeSnapshot(1, {"x": float("nan")}, {}, frozenset()))


def test_a_first_snapshot_that_is_not_full_is_refused(stores: Stores) -> None:
    store, state = stores(), FakeState()
    epoch = store.claim(0, 1)
    partial = FakeSnapshot(5, {}, {"users/00000": b"x"}, frozenset(state.pieces))
    with pytest.raises(CheckpointError, match="must be full"):
        store.write(0, epoch, partial)
    assert store.load(0) is None


def test_after_a_failed_write_only_a_full_snapshot_is_taken(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    store, state = stores(), FakeState()
    epoch = store.claim(0, 1)
    store.write(0, epoch, state.snapshot())
    state.step()
    with monkeypatch.context() as patch:
        patch.setattr(store._store, "_rename", _disk_full)
        with pytest.raises(UnreachableError, match="No space left"):
            store.write(0, epoch, state.snapshot())
    state.step()
    with pytest.raises(CheckpointError, match="must be full"):
        store.write(0, epoch, state.snapshot())
    store.write(0, epoch, state.snapshot(full=True))
    assert whole(stores().load(0)) == state.whole()


def _disk_full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_shard_kept_over_a_rebalance_continues_from_its_own_newest_checkpoint(stores: Stores) -> None:
    store, state = stores(), FakeState()
    store.write(0, store.claim(0, 1), state.snapshot())
    state.step()
    epoch = store.claim(0, 1)
    assert store.write(0, epoch, state.snapshot()).pieces == 2
    assert whole(stores().load(0)) == state.whole()


def test_a_shard_kept_while_another_owner_checkpointed_needs_a_full_snapshot(stores: Stores) -> None:
    store, other, state = stores(), stores(), FakeState()
    store.write(0, store.claim(0, 1), state.snapshot())
    other.write(0, other.claim(0, 1), FakeState(seed=1).snapshot())
    state.step()
    epoch = store.claim(0, 1)
    with pytest.raises(CheckpointError, match="must be full"):
        store.write(0, epoch, state.snapshot())


def test_a_store_emptied_under_its_owner_is_noticed(stores: Stores, tmp_path: Path) -> None:
    store, state = stores(), FakeState()
    epoch = store.claim(0, 1)
    store.write(0, epoch, state.snapshot())
    for path in [*files(tmp_path, "epochs"), *files(tmp_path, "manifests"), *files(tmp_path, "packs")]:
        path.unlink()
    with pytest.raises(UnreachableError, match="emptied or replaced"):
        store.check_current(0, epoch)
    with pytest.raises(UnreachableError, match="emptied or replaced"):
        store.write(0, epoch, state.snapshot())


# -- the place ---------------------------------------------------------------------------------------------------------


def test_a_store_that_cannot_be_reached_is_told_apart_from_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    store = CheckpointStore(load({"store": (tmp_path / "store").as_uri()}), "sie.events", input_partitions=4)
    with pytest.raises(UnreachableError, match="the store fails at"):
        store.load(0)
    with pytest.raises(UnreachableError, match="the store fails at"):
        store.claim(0, 1)


@pytest.mark.parametrize("url", ["memory://x", "nosuch://x"])
def test_a_kind_of_store_we_do_not_have_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="file:///absolute/path"):
        open_store(url)


def test_the_number_of_input_partitions_must_be_known(settings: Callable[..., Settings]) -> None:
    store = CheckpointStore(settings(), "sie.events")
    with pytest.raises(CheckpointError, match="number of input partitions"):
        store.write(0, store.claim(0, 1), FakeState().snapshot())


def test_a_state_too_large_for_memory_waits_on_disk(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    store, state = stores(), FakeState(seed=1, pieces=40, size=1_000)
    state.pieces |= {"empty": b"", "large": bytes(7_000)}
    store.write(0, store.claim(0, 1), state.snapshot(full=True))
    monkeypatch.setattr(folder, "READ_AT_ONCE", 3_500)
    monkeypatch.setattr(folder, "MOST_IN_MEMORY", 10_000)
    asked: list[int] = []
    read = LocalStore.read

    def noted(self: LocalStore, name: str, most: int = -1, start: int = 0) -> bytes:
        asked.append(most)
        return read(self, name, most, start)

    monkeypatch.setattr(LocalStore, "read", noted)
    loaded = stores().load(0)
    assert loaded is not None
    assert whole(loaded) == state.whole()
    assert max(asked) == 7_000 and sorted(asked)[-2] == 3_000 and len(asked) >= 14
    in_memory = [len(piece) for piece in loaded.pieces.values() if isinstance(piece, bytes)]
    assert 9_000 <= sum(in_memory) <= 10_000
