"""Taking over a shard: what the store gives must be put up whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sie_online.errors import CheckpointError, DecisionError
from sie_online.settings import Settings
from sie_online.shard import Shard
from streams.checkpoint import CheckpointStore
from streams.checkpoint.decisions import Overrides
from streams.worker.restore import LISTS_BEGIN_ANEW, LogPlace, Ownership

SMALL = {"users": 64, "items": 64, "categories": 64, "pairs": 64, "interests": 64}


def test_a_whole_checkpoint_that_cannot_be_put_up_is_for_a_person(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = settings(entities=SMALL)
    store = CheckpointStore(made, made.topics.events, input_partitions=1)
    shard = Shard(made, 0)
    store.write(0, store.claim(0, 1), shard.snapshot())
    shard.close()
    ownership = Ownership(made, store, Overrides(), lambda *_: None)
    place = LogPlace(0, 0, None, 1)
    ownership.take(0, 1, place).shard.close()

    def unfit(*_: Any, **__: Any) -> Shard:
        raise CheckpointError("piece users/0 does not fit this state")

    monkeypatch.setattr(Shard, "restore", unfit)
    with pytest.raises(DecisionError, match=r"users/0 does not fit this state\): run version \d"):
        ownership.take(0, 1, place)


@pytest.mark.parametrize(("before", "after", "tells"), [(False, True, True), (True, True, False), (True, False, False)])
def test_lists_switched_on_over_a_checkpoint_without_them_begin_anew_and_that_is_logged(
    settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture, before: bool, after: bool, tells: bool
) -> None:
    written, read = (settings(entities=SMALL, recommend={"enabled": each}) for each in (before, after))
    store = CheckpointStore(written, written.topics.events, input_partitions=1)
    shard = Shard(written, 0)
    store.write(0, store.claim(0, 1), shard.snapshot())
    shard.close()
    ownership = Ownership(read, store, Overrides(), lambda *_: None)
    ownership.take(0, 1, LogPlace(0, 0, None, 1)).shard.close()
    assert (LISTS_BEGIN_ANEW in caplog.messages) == tells
