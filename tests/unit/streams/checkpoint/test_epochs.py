"""Whose checkpoint it is: epochs are given once, and a zombie harms no successor."""

from __future__ import annotations

import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from sie_online.errors import StaleEpochError
from sie_online.settings import load
from streams.checkpoint import CheckpointStore, commit
from streams.checkpoint.folder import ShardFolder
from streams.checkpoint.store import url_in
from tests.support.checkpoints import FakeState, Stores, files, whole


def test_every_claim_is_above_all_before_it_and_at_least_what_was_asked(stores: Stores) -> None:
    store = stores()
    assert store.claim(0, 7) == 7
    assert stores().claim(0, 3) == 8
    assert store.claim(1, 0) == 1


def test_a_claim_is_above_a_checkpoint_whose_claim_is_gone(stores: Stores, tmp_path: Path) -> None:
    store = stores()
    store.write(0, store.claim(0, 41), FakeState().snapshot())
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
    slow, busy, state = stores(), stores(), FakeState()
    create = ShardFolder.create_claim

    def after_a_pause(slow_folder: ShardFolder, epoch: int, note: bytes) -> bool:
        """Between reading the list and creating, others claim, checkpoint and forget."""
        monkeypatch.setattr(ShardFolder, "create_claim", create)
        for _ in range(20):
            newest = busy.claim(0, 1)
        busy.write(0, newest, state.snapshot())
        assert epoch not in slow_folder.claims()  # else this test proves nothing
        return create(slow_folder, epoch, note)

    monkeypatch.setattr(ShardFolder, "create_claim", after_a_pause)
    assert slow.claim(0, 1) == 21


def test_claims_do_not_pile_up(stores: Stores, tmp_path: Path) -> None:
    state = FakeState()
    for _ in range(40):
        store = stores()
        store.write(0, store.claim(0, 1), state.snapshot(full=True))
    assert len(files(tmp_path, "epochs")) <= commit.KEPT_CLAIMS + 1


def _content(store: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}


def test_a_zombie_learns_that_it_is_one_and_changes_nothing(stores: Stores, tmp_path: Path) -> None:
    zombie, owner, state = stores(), stores(), FakeState()
    stale = zombie.claim(0, 1)
    zombie.write(0, stale, state.snapshot())
    owner.write(0, owner.claim(0, 1), FakeState(seed=5).snapshot())
    before = _content(tmp_path)
    with pytest.raises(StaleEpochError, match="must stop"):
        zombie.check_current(0, stale)
    with pytest.raises(StaleEpochError):
        zombie.write(0, stale, state.snapshot(full=True))
    assert _content(tmp_path) == before


@pytest.mark.parametrize("successor_wrote", [0, 1, 3])
@pytest.mark.parametrize("pause", ["listing", "put_pack", "put_manifest", "claims"])
def test_a_zombie_paused_within_its_commit_harms_no_successor(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: str, successor_wrote: int
) -> None:
    zombie, owner, old = stores(), stores(), FakeState(seed=1)
    stale = zombie.claim(0, 1)
    zombie.write(0, stale, old.snapshot())
    old.step()
    new = FakeState(seed=2)
    new.offset = 1000

    original, looks = getattr(ShardFolder, pause), pause in ("listing", "claims")
    calls = itertools.count()

    def paused(mine: ShardFolder, *args: object) -> object:
        if pause == "claims" and next(calls) == 0:
            return original(mine, *args)  # part of the listing; the last look is the second
        monkeypatch.setattr(ShardFolder, pause, original)
        result = original(mine, *args) if looks else None
        epoch = owner.claim(0, 1)
        for _ in range(successor_wrote):
            owner.write(0, epoch, new.snapshot(full=True))
            new.offset += 1
        return result if looks else original(mine, *args)

    monkeypatch.setattr(ShardFolder, pause, paused)
    expected_old = [old.whole()]
    outcome = None
    try:
        zombie.write(0, stale, old.snapshot())
    except StaleEpochError as error:
        outcome = error
    assert outcome is not None or pause == "claims"  # paused after its last look it may still finish its sweep
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


def test_a_claim_says_where_its_owner_can_be_asked_and_the_newest_counts(stores: Stores, tmp_path: Path) -> None:
    silent, first, second = stores(), stores(), stores()
    first.advertised_url, second.advertised_url = "http://10.0.0.1:8082", "https://two.example/sie"
    assert silent.owner_url(0) == ""
    silent.claim(0, 1)
    (plain,) = files(tmp_path, "epochs")
    assert plain.read_bytes().count(b"\n") == 1, "as it always was, where nothing is advertised"
    assert first.owner_url(0) == ""
    first.claim(0, 1)
    assert (silent.owner_url(0), silent.owner_url(1)) == ("http://10.0.0.1:8082", "")
    second.claim(0, 1)
    assert first.owner_url(0) == "https://two.example/sie"
    silent.claim(0, 1)
    assert first.owner_url(0) == ""


NO_ADDRESSES = [
    b"file:///etc",
    b"http://",
    b"http://a:b@c",
    b"http://a/?q",
    b"http://a\rb",
    b"http://\xc3\xa4",
    b"\xff",
]


@pytest.mark.parametrize("note", [b"", b"\n", b"host 1\n", *(b"host 1\n%b\n" % address for address in NO_ADDRESSES)])
def test_an_address_that_nobody_should_be_sent_to_is_none(stores: Stores, tmp_path: Path, note: bytes) -> None:
    assert url_in(note) == ""
    store = stores()
    store.claim(0, 1)
    (claim,) = files(tmp_path, "epochs")
    claim.with_name(f"{9:010d}").write_bytes(note)
    assert store.owner_url(0) == ""
