"""Damaged checkpoints: found out, never loaded, and never taken for a fresh start."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sie_online.errors import DecisionError, UnreachableError
from sie_online.settings import load
from streams.checkpoint import CheckpointStore
from streams.checkpoint.folder import ShardFolder
from streams.checkpoint.manifest import CheckpointManifest, Position
from streams.checkpoint.space import RENEWAL
from streams.store import LocalStore
from tests.support.checkpoints import FakeState, Stores, files, whole

Pieces = dict[str, bytes]


def _two_checkpoints(store: CheckpointStore) -> tuple[FakeState, FakeState]:
    """Two checkpoints that share no pack; the state at the first, and at the second."""
    old, new = FakeState(seed=1), FakeState(seed=2)
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
    with pytest.raises(DecisionError, match="none of the 2 checkpoints is whole"):
        stores().load(0)


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, Pieces]]:
    """A store after many checkpoints, incremental ones, and what each of them held, by offset."""
    root = tmp_path_factory.mktemp("aged") / "store"
    store = CheckpointStore(load({"store": root.as_uri()}), "sie.events", input_partitions=4)
    state, held = FakeState(pieces=200), {}
    epoch = store.claim(0, 1)
    for n in range(3 * RENEWAL + 7):
        store.write(0, epoch, state.snapshot(full=n == 0))
        held[state.offset] = dict(state.pieces)
        state.step()
    return root, held


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_to_any_one_file_leaves_a_whole_checkpoint(
    aged: tuple[Path, dict[int, Pieces]], tmp_path: Path, data: st.DataObject
) -> None:
    root, held = aged
    victim = data.draw(st.sampled_from(sorted(path for path in root.rglob("*") if path.is_file())))
    before = victim.read_bytes()
    altered = bytearray(before)
    for at in data.draw(st.lists(st.integers(0, max(len(before) - 1, 0)), min_size=1, max_size=200)):
        altered[at : at + 1] = bytes([altered[at] ^ data.draw(st.integers(1, 255))]) if altered else b""
    damage = data.draw(st.sampled_from(["flipped", "cut", "gone"]))
    if damage == "gone":
        victim.unlink()
    else:
        victim.write_bytes(altered if damage == "flipped" else before[: len(before) // 2])
    try:
        loaded = CheckpointStore(load({"store": root.as_uri()}), "sie.events").load(0)
    finally:
        victim.write_bytes(before)
    assert loaded is not None
    assert loaded.pieces == held[loaded.next_offset]
    assert loaded.next_offset in sorted(held)[-2 * RENEWAL - 1 :], "not further back than two renewals"


def test_after_damage_a_new_owner_makes_sure_again_that_no_file_is_shared(aged: tuple[Path, dict[int, Pieces]]) -> None:
    root, _ = aged
    copied = root.with_name("copied")
    shutil.copytree(root, copied)
    for pack in sorted(copied.rglob("*.pack"))[-3:]:
        pack.write_bytes(b"")
    store = CheckpointStore(load({"store": copied.as_uri()}), "sie.events", input_partitions=4)
    loaded = store.load(0)
    assert loaded is not None
    state, epoch = FakeState(pieces=0), store.claim(0, 1)
    state.pieces, state.offset = dict(loaded.pieces), loaded.next_offset
    for n in range(3):
        state.step()
        store.write(0, epoch, state.snapshot(full=n == 0))
    for pack in sorted(copied.rglob("*.pack"))[-1:]:
        pack.write_bytes(b"")
    assert CheckpointStore(load({"store": copied.as_uri()}), "sie.events").load(0) is not None


def _forge(manifest: Path, old: bytes, new: bytes) -> None:
    """Alter a manifest so that its checksum fits."""
    body = manifest.read_bytes().partition(b'"body":')[2][:-1]
    assert old in body
    body = body.replace(old, new, 1)
    manifest.write_bytes(b'{"sha256":"%s","body":%s}' % (hashlib.sha256(body).hexdigest().encode(), body))


@pytest.mark.parametrize(
    ("other", "way_out"), [(b'"format":99', "run the newer version"), (b'"format":1', "Go back .* or process .* anew")]
)
def test_a_checkpoint_of_another_format_is_for_a_person_to_decide(
    stores: Stores, tmp_path: Path, other: bytes, way_out: str
) -> None:
    """Whoever fell back on the one before would say anew, in another way, what the other version has said."""
    _two_checkpoints(stores())
    _forge(files(tmp_path, "manifests")[-1], b'"format":2', other)
    with pytest.raises(DecisionError, match=way_out) as refusal:
        stores().load(0)
    assert refusal.value.exit_code == 78


HOSTILE = {
    "a count of 401 digits": (b'"input_partitions":4', b'"input_partitions":4' + b"0" * 400),
    "an offset beyond 64 bits": (b'"next_offset":77', b'"next_offset":%d' % 2**63),
    "an offset below zero": (b'"next_offset":77', b'"next_offset":-77'),
    "200,000 brackets as meta": (b'"meta":{', b'"meta":' + b"[" * 200_000 + b"]" * 200_000 + b',"other":{'),
    "200,000 brackets beside it": (b'"meta":{', b'"other":' + b"[" * 200_000 + b"]" * 200_000 + b',"meta":{'),
    "a meta that is no object": (b'"meta":{', b'"meta":7,"other":{'),
    "a number of 5,000 digits in meta": (b'"meta":{', b'"meta":{"n":1' + b"0" * 5_000 + b","),
    "text that is none": (b'"group":"', b'"group":"\xff\xfe'),
}


@pytest.mark.parametrize("content", HOSTILE)
def test_a_manifest_that_nobody_of_ours_wrote_is_passed_over(stores: Stores, tmp_path: Path, content: str) -> None:
    old, _ = _two_checkpoints(stores())
    _forge(files(tmp_path, "manifests")[-1], *HOSTILE[content])
    assert whole(stores().load(0)) == old.whole()


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
    store, state = stores(), FakeState()
    epoch = store.claim(0, 1)

    def lying(temporary: Path, target: Path) -> None:
        temporary.write_bytes(_flipped(temporary.read_bytes()))
        temporary.rename(target)

    monkeypatch.setattr(store._store, "_rename", lying)
    with pytest.raises(UnreachableError, match="cannot be trusted"):
        store.write(0, epoch, state.snapshot())


def test_a_checkpoint_that_replaces_the_one_being_loaded_is_loaded_instead(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A predecessor's commit may be under way when its successor claims and loads."""
    predecessor, state = stores(), FakeState()
    epoch = predecessor.claim(0, 1)
    predecessor.write(0, epoch, state.snapshot())
    successor = stores()
    read = ShardFolder.read_manifest

    def meanwhile(mine: ShardFolder, position: Position) -> CheckpointManifest:
        monkeypatch.setattr(ShardFolder, "read_manifest", read)
        for _ in range(3):
            state.step()
            predecessor.write(0, epoch, state.snapshot(full=True))
        return read(mine, position)

    monkeypatch.setattr(ShardFolder, "read_manifest", meanwhile)
    assert whole(successor.load(0)) == state.whole()


def test_a_fallback_whose_pack_is_gone_does_not_count_as_one(stores: Stores, tmp_path: Path) -> None:
    store, state = stores(), FakeState()
    epoch = store.claim(0, 1)
    for _ in range(2):
        store.write(0, epoch, state.snapshot(full=True))
        state.step()
    good, bad = files(tmp_path, "manifests")
    files(tmp_path, "packs")[-1].unlink()
    store.write(0, epoch, state.snapshot(full=True))
    assert good in files(tmp_path, "manifests")
    assert bad not in files(tmp_path, "manifests")


def test_folders_of_partitions_that_were_swapped_are_for_a_person_to_put_back(stores: Stores, tmp_path: Path) -> None:
    store = stores()
    for partition in (0, 1):
        store.write(partition, store.claim(partition, 1), FakeState(seed=partition).snapshot())
    folder = next((tmp_path / "store").rglob("0/manifests")).parent
    folder.rename(folder.with_name("aside"))
    folder.with_name("1").rename(folder)
    folder.with_name("aside").rename(folder.with_name("1"))
    for partition in (0, 1):
        with pytest.raises(DecisionError, match=f"partition {1 - partition}, at .*: were folders swapped"):
            stores().load(partition)


def test_a_store_that_fails_while_it_is_read_is_no_damage_for_a_person(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = _two_checkpoints(stores())
    store, opened = stores(), Path.open
    broken: list[str] = []

    def failing(path: Path, *mode: Any) -> Any:
        if any(path.name.endswith(ending) for ending in broken):
            raise OSError(5, "Input/output error")
        return opened(path, *mode)

    monkeypatch.setattr(Path, "open", failing)
    assert whole(store.load(0)) == new.whole()
    broken.append(f"{77:020d}.json")  # one bad sector: the checkpoint before is as good as ever
    assert whole(store.load(0)) == old.whole()
    broken.append(".json")
    with pytest.raises(UnreachableError, match="Input/output error"):
        store.load(0)


def test_a_damaged_fallback_is_swept_and_does_not_count_as_one(stores: Stores, tmp_path: Path) -> None:
    store, state = stores(), FakeState()
    epoch = store.claim(0, 1)
    for _ in range(2):
        store.write(0, epoch, state.snapshot(full=True))
        state.step()
    good, bad = files(tmp_path, "manifests")
    bad.write_bytes(b"torn")
    store.write(0, epoch, state.snapshot(full=True))
    assert good in files(tmp_path, "manifests")
    assert bad not in files(tmp_path, "manifests")


def test_a_full_disk_keeps_the_checkpoint_before_and_takes_the_next_once_there_is_room(small_disk: Path) -> None:
    settings = load({"store": small_disk.as_uri()})
    store, state = CheckpointStore(settings, "sie.events", input_partitions=1), FakeState()
    epoch = store.claim(0, 1)
    store.write(0, epoch, state.snapshot())
    kept = state.whole()
    ballast = small_disk / "somebody-elses"
    ballast.write_bytes(bytes(40_000))
    for _ in range(3):  # a supervisor starts us again and again: what cannot be written must not pile up
        state.offset += 1
        state.put("users/00000", bytes(30_000))
        with pytest.raises(UnreachableError, match=r"at offset \d+ failed: .*No space left"):
            store.write(0, epoch, state.snapshot(full=True))
        store = CheckpointStore(settings, "sie.events", input_partitions=1)
        assert whole(store.load(0)) == kept
    assert not list(small_disk.rglob("*.tmp"))
    ballast.unlink()
    store.write(0, store.claim(0, 1), state.snapshot(full=True))
    assert whole(store.load(0)) == state.whole()


def test_a_pack_without_its_manifest_does_not_keep_a_full_disk_full(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, state, rename = stores(), FakeState(), LocalStore._rename
    epoch = store.claim(0, 1)

    def full(disk: LocalStore, temporary: Path, target: Path) -> None:
        if target.suffix == ".json":
            raise OSError(28, "No space left on device")
        rename(disk, temporary, target)

    monkeypatch.setattr(LocalStore, "_rename", full)
    with pytest.raises(UnreachableError, match="No space left"):
        store.write(0, epoch, state.snapshot())
    assert files(tmp_path, "packs") == []
