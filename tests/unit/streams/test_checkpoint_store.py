"""Promises of the checkpoint store in the absence of crashes (those: ``test_checkpoint_crashes``)."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from sie_online.errors import CheckpointError, StaleEpochError, UnreachableError, UsageError
from sie_online.settings import Settings, load
from streams.checkpoint import CheckpointStore, commit, space
from streams.checkpoint.backend import open_backend
from streams.checkpoint.manifest import Manifest, Position
from tests.unit.streams.states import Snapshot, State, whole

Stores = Callable[..., CheckpointStore]


@pytest.fixture
def stores(settings: Callable[..., Settings]) -> Stores:
    """Factory: every call is another process's view of one store."""
    return lambda **overrides: CheckpointStore(settings(**overrides), "sie.events", input_partitions=4)


def files(store: Path, kind: str) -> list[Path]:
    return sorted((store / "store").rglob(f"{kind}/*"))


def test_what_was_written_is_loaded_by_another_process(stores: Stores, settings: Callable[..., Settings]) -> None:
    state, store = State(), stores()
    epoch = store.claim(2, 1)
    written = store.write(2, epoch, state.snapshot())
    loaded = stores().load(2)
    assert loaded is not None
    assert whole(loaded) == state.whole()
    assert (loaded.epoch, loaded.highest_generation, loaded.input_partitions) == (epoch, epoch, 4)
    assert loaded.fingerprint == settings().fingerprint()
    assert loaded.format == 1
    assert written.pieces == 6
    assert written.bytes > 6000


def test_a_shard_that_never_checkpointed_loads_as_none(stores: Stores) -> None:
    store = stores()
    store.claim(0, 1)
    assert store.load(0) is None
    assert store.newest(0) is None


def test_only_changed_pieces_are_written(stores: Stores) -> None:
    state, store = State(pieces=100, size=10_000), stores()
    epoch = store.claim(0, 1)
    full = store.write(0, epoch, state.snapshot())
    state.offset += 1
    state.put("users/00007", b"new")
    later = store.write(0, epoch, state.snapshot())
    assert later.pieces == 1
    assert later.bytes < full.bytes / 50
    assert whole(stores().load(0)) == state.whole()


def test_pieces_come_and_go(stores: Stores) -> None:
    state, store = State(), stores()
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
    store.write(0, store.claim(0, 1), Snapshot(1, {}, {"a": numbers, "b": b"xyz"}, frozenset("ab")))
    loaded = store.load(0)
    assert loaded is not None
    assert loaded.pieces == {"a": numbers.tobytes(), "b": b"xyz"}


def test_partitions_groups_and_topics_are_apart(stores: Stores, settings: Callable[..., Settings]) -> None:
    state = State()
    store = stores()
    store.write(0, store.claim(0, 1), state.snapshot())
    assert store.load(1) is None
    assert stores(group="other").load(0) is None
    assert CheckpointStore(settings(), "other", input_partitions=4).load(0) is None


@pytest.mark.parametrize("group", ["..", ".", "a/../../b", "/etc", "größe", "a b%2F"])
def test_a_group_of_any_name_stays_inside_the_store(tmp_path: Path, stores: Stores, group: str) -> None:
    state, store = State(), stores(group=group)
    store.write(0, store.claim(0, 1), state.snapshot())
    assert whole(stores(group=group).load(0)) == state.whole()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert len(list((tmp_path / "store" / "checkpoints").iterdir())) == 1
    assert len(list((tmp_path / "store").rglob("*.json"))) == 1
    assert len(next((tmp_path / "store").rglob("*.json")).relative_to(tmp_path).parts) == 7


def test_the_last_two_manifests_and_their_packs_are_kept_and_no_more(stores: Stores, tmp_path: Path) -> None:
    state, store = State(), stores()
    epoch = store.claim(0, 1)
    for _ in range(30):
        store.write(0, epoch, state.snapshot())
        state.step()
    assert len(files(tmp_path, "manifests")) == 2
    kept = [store._shards[0].shelf.read_manifest(position) for position in store._shards[0].shelf.positions()]
    assert {path.name for path in files(tmp_path, "packs")} == {pack for manifest in kept for pack in manifest.packs}


def test_space_stays_within_twice_the_live_bytes(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor = 20_000
    monkeypatch.setattr(commit, "packs_to_move", lambda *a, **k: space.packs_to_move(*a, **k, floor=floor))
    state, store = State(pieces=40, size=2000), stores()
    epoch = store.claim(0, 1)
    total = 0
    for _ in range(200):
        total += store.write(0, epoch, state.snapshot()).bytes
        manifest = store._shards[0].last
        assert manifest is not None
        live = sum(len(piece) for piece in state.pieces.values())
        assert sum(manifest.packs.values()) <= 2 * live + floor
        assert whole(stores().load(0)) == state.whole()
        state.step(changes=3)
    assert total < 200 * 40 * 1000 / 2  # far less than writing everything every time


def test_packs_stay_few_when_every_write_adds_a_piece(stores: Stores) -> None:
    state, store = State(pieces=1), stores()
    epoch = store.claim(0, 1)
    for n in range(150):
        state.put(f"views/{n}", bytes([n]))
        state.offset += 1
        store.write(0, epoch, state.snapshot())
        manifest = store._shards[0].last
        assert manifest is not None
        assert len(manifest.packs) <= space.MAX_PACKS
    assert whole(stores().load(0)) == state.whole()


def test_meta_that_json_cannot_hold_is_refused(stores: Stores) -> None:
    store = stores()
    epoch = store.claim(0, 1)
    with pytest.raises(CheckpointError, match="meta is not JSON"):
        store.write(0, epoch, Snapshot(1, {"x": float("nan")}, {}, frozenset()))


def test_a_first_snapshot_that_is_not_full_is_refused(stores: Stores) -> None:
    store, state = stores(), State()
    epoch = store.claim(0, 1)
    partial = Snapshot(5, {}, {"users/00000": b"x"}, frozenset(state.pieces))
    with pytest.raises(CheckpointError, match="must be full"):
        store.write(0, epoch, partial)
    assert store.load(0) is None


def test_after_a_failed_write_only_a_full_snapshot_is_taken(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    store, state = stores(), State()
    epoch = store.claim(0, 1)
    store.write(0, epoch, state.snapshot())
    state.step()
    with monkeypatch.context() as patch:
        patch.setattr(store._backend, "_rename", _disk_full)
        with pytest.raises(CheckpointError, match="No space left"):
            store.write(0, epoch, state.snapshot())
    state.step()
    with pytest.raises(CheckpointError, match="must be full"):
        store.write(0, epoch, state.snapshot())
    store.write(0, epoch, state.snapshot(full=True))
    assert whole(stores().load(0)) == state.whole()


def _disk_full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_shard_kept_over_a_rebalance_continues_from_its_own_newest_checkpoint(stores: Stores) -> None:
    store, state = stores(), State()
    store.write(0, store.claim(0, 1), state.snapshot())
    state.step()
    epoch = store.claim(0, 1)
    assert store.write(0, epoch, state.snapshot()).pieces == 2
    assert whole(stores().load(0)) == state.whole()


def test_a_shard_kept_while_another_owner_checkpointed_needs_a_full_snapshot(stores: Stores) -> None:
    store, other, state = stores(), stores(), State()
    store.write(0, store.claim(0, 1), state.snapshot())
    other.write(0, other.claim(0, 1), State(seed=1).snapshot())
    state.step()
    epoch = store.claim(0, 1)
    with pytest.raises(CheckpointError, match="must be full"):
        store.write(0, epoch, state.snapshot())


def test_a_store_emptied_under_its_owner_is_noticed(stores: Stores, tmp_path: Path) -> None:
    store, state = stores(), State()
    epoch = store.claim(0, 1)
    store.write(0, epoch, state.snapshot())
    for path in [*files(tmp_path, "epochs"), *files(tmp_path, "manifests"), *files(tmp_path, "packs")]:
        path.unlink()
    with pytest.raises(CheckpointError, match="emptied or replaced"):
        store.check_current(0, epoch)
    with pytest.raises(CheckpointError, match="emptied or replaced"):
        store.write(0, epoch, state.snapshot())


# -- damage ------------------------------------------------------------------------------------------------------------


def _two_checkpoints(store: CheckpointStore) -> tuple[State, State]:
    """Two checkpoints that share no pack; the state at the first, and at the second."""
    old, new = State(seed=1), State(seed=2)
    new.offset = 77
    epoch = store.claim(0, 1)
    store.write(0, epoch, old.snapshot())
    store.write(0, epoch, new.snapshot(full=True))
    return old, new


DAMAGE: dict[str, Callable[[Path], object]] = {
    "torn": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "one bit": lambda path: path.write_bytes(_flipped(path.read_bytes())),
    "gone": lambda path: path.unlink(),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
}


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("kind", ["manifests", "packs"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_to_the_newest_checkpoint_gives_the_one_before(
    stores: Stores, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, damage: str
) -> None:
    old, _ = _two_checkpoints(stores())
    DAMAGE[damage](files(tmp_path, kind)[-1])
    with caplog.at_level(logging.WARNING):
        assert whole(stores().load(0)) == old.whole()
    if (kind, damage) != ("manifests", "gone"):
        assert "is refused" in caplog.text


@pytest.mark.parametrize("damage", DAMAGE)
def test_no_whole_checkpoint_is_an_error_and_not_a_fresh_start(stores: Stores, tmp_path: Path, damage: str) -> None:
    _two_checkpoints(stores())
    for pack in files(tmp_path, "packs"):
        DAMAGE[damage](pack)
    with pytest.raises(CheckpointError, match="none of the 2 checkpoints is whole"):
        stores().load(0)


def test_a_format_of_the_future_is_refused_by_name(
    stores: Stores, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, _ = _two_checkpoints(stores())
    newest = files(tmp_path, "manifests")[-1]
    envelope, body = b'{"sha256":"%s","body":%s}', newest.read_bytes().partition(b'"body":')[2][:-1]
    body = body.replace(b'"format":1', b'"format":99')
    newest.write_bytes(envelope % (hashlib.sha256(body).hexdigest().encode(), body))
    with caplog.at_level(logging.WARNING):
        assert whole(stores().load(0)) == old.whole()
    assert "format 99" in caplog.text


def test_a_manifest_altered_into_another_valid_one_is_refused(stores: Stores, tmp_path: Path) -> None:
    """No JSON decoder would notice; going on from another offset would skip records for ever."""
    old, _ = _two_checkpoints(stores())
    newest = files(tmp_path, "manifests")[-1]
    altered = newest.read_bytes().replace(b'"input_partitions":4', b'"input_partitions":8')
    assert altered != newest.read_bytes()
    newest.write_bytes(altered)
    assert whole(stores().load(0)) == old.whole()


def test_a_disk_that_does_not_hold_what_was_written_is_found_out_at_once(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, state = stores(), State()
    epoch = store.claim(0, 1)

    def lying(temporary: Path, target: Path) -> None:
        temporary.write_bytes(_flipped(temporary.read_bytes()))
        temporary.rename(target)

    monkeypatch.setattr(store._backend, "_rename", lying)
    with pytest.raises(CheckpointError, match="cannot be trusted"):
        store.write(0, epoch, state.snapshot())


def test_a_checkpoint_that_replaces_the_one_being_loaded_is_loaded_instead(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A predecessor's commit may be under way when its successor claims and loads."""
    predecessor, state = stores(), State()
    epoch = predecessor.claim(0, 1)
    predecessor.write(0, epoch, state.snapshot())
    successor = stores()
    shelf = successor._shards[0].shelf
    read = shelf.read_manifest

    def meanwhile(position: Position) -> Manifest:
        monkeypatch.setattr(shelf, "read_manifest", read)
        for _ in range(3):
            state.step()
            predecessor.write(0, epoch, state.snapshot(full=True))
        return read(position)

    monkeypatch.setattr(shelf, "read_manifest", meanwhile)
    assert whole(successor.load(0)) == state.whole()


def test_a_fallback_whose_pack_is_gone_does_not_count_as_one(stores: Stores, tmp_path: Path) -> None:
    store, state = stores(), State()
    epoch = store.claim(0, 1)
    for _ in range(2):
        store.write(0, epoch, state.snapshot(full=True))
        state.step()
    good, bad = files(tmp_path, "manifests")
    files(tmp_path, "packs")[-1].unlink()
    store.write(0, epoch, state.snapshot(full=True))
    assert good in files(tmp_path, "manifests")
    assert bad not in files(tmp_path, "manifests")


def test_a_manifest_copied_from_another_shard_is_refused(stores: Stores, tmp_path: Path) -> None:
    store = stores()
    store.write(0, store.claim(0, 1), State(seed=1).snapshot())
    store.claim(1, 1)
    folder = next((tmp_path / "store").rglob("0/manifests")).parent
    folder.rename(folder.with_name("3"))
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints is whole"):
        stores().load(3)


def test_a_damaged_fallback_is_swept_and_does_not_count_as_one(stores: Stores, tmp_path: Path) -> None:
    store, state = stores(), State()
    epoch = store.claim(0, 1)
    for _ in range(2):
        store.write(0, epoch, state.snapshot(full=True))
        state.step()
    good, bad = files(tmp_path, "manifests")
    bad.write_bytes(b"torn")
    store.write(0, epoch, state.snapshot(full=True))
    assert good in files(tmp_path, "manifests")
    assert bad not in files(tmp_path, "manifests")


# -- epochs ------------------------------------------------------------------------------------------------------------


def test_every_claim_is_above_all_before_it_and_at_least_what_was_asked(stores: Stores) -> None:
    store = stores()
    assert store.claim(0, 7) == 7
    assert stores().claim(0, 3) == 8
    assert store.claim(1, 0) == 1


def test_a_claim_is_above_a_checkpoint_whose_claim_is_gone(stores: Stores, tmp_path: Path) -> None:
    store = stores()
    store.write(0, store.claim(0, 41), State().snapshot())
    for claim in files(tmp_path, "epochs"):
        claim.unlink()
    assert stores().claim(0, 1) == 42


def test_claimants_in_threads_get_different_epochs(stores: Stores) -> None:
    with ThreadPoolExecutor(8) as pool:
        epochs = list(pool.map(lambda _: stores().claim(0, 1), range(64)))
    assert len(set(epochs)) == 64


def _claims(overrides: dict[str, str]) -> list[int]:
    store = CheckpointStore(load(overrides), "sie.events", input_partitions=4)
    return [store.claim(0, 1) for _ in range(25)]


def test_claimants_in_processes_get_different_epochs(tmp_path: Path) -> None:
    overrides = {"store": tmp_path.as_uri()}
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        epochs = [epoch for claimed in pool.map(_claims, [overrides] * 4) for epoch in claimed]
    assert len(set(epochs)) == 100


def test_an_epoch_that_was_forgotten_is_never_given_again(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, busy, state = stores(), stores(), State()
    slow_shelf = slow._shards[0].shelf
    create = slow_shelf.create_claim

    def after_a_pause(epoch: int, note: bytes) -> bool:
        """Between reading the list and creating, others claim, checkpoint and forget."""
        monkeypatch.setattr(slow_shelf, "create_claim", create)
        for _ in range(20):
            newest = busy.claim(0, 1)
        busy.write(0, newest, state.snapshot())
        assert epoch not in busy._shards[0].shelf.claims()  # else this test proves nothing
        return create(epoch, note)

    monkeypatch.setattr(slow_shelf, "create_claim", after_a_pause)
    assert slow.claim(0, 1) == 21


def test_claims_do_not_pile_up(stores: Stores, tmp_path: Path) -> None:
    state = State()
    for _ in range(40):
        store = stores()
        store.write(0, store.claim(0, 1), state.snapshot(full=True))
    assert len(files(tmp_path, "epochs")) <= commit.KEPT_CLAIMS + 1


# -- zombies -----------------------------------------------------------------------------------------------------------


def _content(store: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_a_zombie_learns_that_it_is_one_and_changes_nothing(stores: Stores, tmp_path: Path) -> None:
    zombie, owner, state = stores(), stores(), State()
    stale = zombie.claim(0, 1)
    zombie.write(0, stale, state.snapshot())
    owner.write(0, owner.claim(0, 1), State(seed=5).snapshot())
    before = _content(tmp_path)
    with pytest.raises(StaleEpochError, match="must stop"):
        zombie.check_current(0, stale)
    with pytest.raises(StaleEpochError):
        zombie.write(0, stale, state.snapshot(full=True))
    assert _content(tmp_path) == before


@pytest.mark.parametrize("successor_wrote", [0, 1, 3])
@pytest.mark.parametrize("pause", ["put_pack", "put_manifest", "positions"])
def test_a_zombie_paused_within_its_commit_harms_no_successor(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, pause: str, successor_wrote: int
) -> None:
    zombie, owner, old = stores(), stores(), State(seed=1)
    stale = zombie.claim(0, 1)
    zombie.write(0, stale, old.snapshot())
    old.step()
    new = State(seed=2)
    new.offset = 1000

    shelf = zombie._shards[0].shelf
    original = getattr(shelf, pause)

    def paused(*args: object) -> object:
        if pause == "positions" and shelf.packs() == packs_before:
            return original(*args)  # the first listings precede the commit's pack
        monkeypatch.setattr(shelf, pause, original)
        result = original(*args) if pause == "positions" else None
        epoch = owner.claim(0, 1)
        for _ in range(successor_wrote):
            owner.write(0, epoch, new.snapshot(full=True))
            new.offset += 1
        return result if pause == "positions" else original(*args)

    packs_before = shelf.packs()
    monkeypatch.setattr(shelf, pause, paused)
    expected_old = [old.whole()]
    outcome = None
    try:
        zombie.write(0, stale, old.snapshot())
    except StaleEpochError as error:
        outcome = error
    assert outcome is not None or pause == "positions"  # paused after its last look it may still finish its sweep
    new.offset -= 1 if successor_wrote else 0
    found = whole(stores().load(0))
    if successor_wrote:
        assert found == new.whole()
        assert owner.newest(0) is not None
        new.step()
        owner.write(0, owner.newest(0).epoch, new.snapshot(full=True))  # type: ignore[union-attr]
        assert whole(stores().load(0)) == new.whole()
    else:
        assert found in expected_old


# -- the place ---------------------------------------------------------------------------------------------------------


def test_a_store_that_cannot_be_reached_is_told_apart_from_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the folder should be")
    store = CheckpointStore(load({"store": (tmp_path / "store").as_uri()}), "sie.events", input_partitions=4)
    with pytest.raises(UnreachableError, match="does not answer"):
        store.load(0)
    with pytest.raises(UnreachableError, match="does not answer"):
        store.claim(0, 1)


@pytest.mark.parametrize("url", ["memory://x", "nosuch://x"])
def test_a_kind_of_store_we_do_not_have_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="file:///absolute/path"):
        open_backend(url)


def test_the_number_of_input_partitions_must_be_known(settings: Callable[..., Settings]) -> None:
    store = CheckpointStore(settings(), "sie.events")
    with pytest.raises(CheckpointError, match="number of input partitions"):
        store.write(0, store.claim(0, 1), State().snapshot())
