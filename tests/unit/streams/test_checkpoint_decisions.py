"""What a worker refuses to decide by itself, and the flag that every refusal names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sie_online.errors import DecisionError
from sie_online.settings import Settings
from streams.checkpoint import Loaded
from streams.checkpoint import manifest as manifests
from streams.checkpoint.decisions import Overrides, check_restore, of_this_topic
from streams.checkpoint.manifest import Manifest

Check = Callable[..., int]


@pytest.fixture
def check(settings: Callable[..., Settings]) -> Check:
    """``check_restore`` of a checkpoint at offset 100 of a log that holds 50 to 200; overridable."""
    current = settings()
    loaded = Loaded(100, 3, {}, {}, current.fingerprint(), 4, 1, 3, "0.1.0")

    def run(flags: dict[str, bool] | None = None, **found: Any) -> int:
        place: dict[str, Any] = {"begin_offset": 50, "end_offset": 200, "committed": 90, "n_partitions": 4}
        checkpoint = found.pop("loaded", replace(loaded, **found.pop("says", {})))
        return check_restore(checkpoint, current, **(place | found), overrides=Overrides(**(flags or {})))

    return run


def test_where_all_agree_the_shard_goes_on_at_its_checkpoint(check: Check) -> None:
    assert check() == 100
    assert check(begin_offset=100) == 100
    assert check(end_offset=100) == 100
    assert check(committed=None) == 100


def test_a_shard_that_never_ran_begins_at_the_begin_of_the_log(check: Check) -> None:
    assert check(loaded=None, committed=None) == 50


REFUSALS: dict[str, tuple[dict[str, Any], str, int]] = {
    "other settings": ({"says": {"fingerprint": "0" * 64}}, "accept_changed_settings", 100),
    "more partitions": ({"n_partitions": 8}, "accept_repartition", 100),
    "fewer partitions": ({"n_partitions": 2}, "accept_repartition", 100),
    "retention was faster": ({"begin_offset": 101}, "accept_gap", 101),
    "the log lost its tail": ({"end_offset": 99}, "accept_gap", 99),
    "the topic was made anew": ({"begin_offset": 0, "end_offset": 0}, "accept_gap", 0),
    "the store is empty": ({"loaded": None}, "fresh", 50),
    "the store is empty at a commit of zero": ({"loaded": None, "committed": 0}, "fresh", 50),
}


@pytest.mark.parametrize("found", REFUSALS)
def test_every_refusal_names_its_flag_and_only_that_flag_lifts_it(check: Check, found: str) -> None:
    place, flag, begins_at = REFUSALS[found]
    others = {name: True for name in Overrides.__slots__ if name != flag}
    with pytest.raises(DecisionError, match=f"--{flag.replace('_', '-')}") as refusal:
        check(others, **place)
    assert refusal.value.exit_code == 78
    assert check({flag: True}, **place) == begins_at


OURS = Loaded(100, 3, {}, {}, "", 4, 1, 3, "0.1.0", topic_id="a")


def test_a_state_of_another_topic_is_refused_until_a_person_leaves_it_behind() -> None:
    with pytest.raises(DecisionError, match="--accept-new-topic"):
        of_this_topic(OURS, "b", accepted=False)
    assert of_this_topic(OURS, "b", accepted=True) is None


@pytest.mark.parametrize("accepted", [False, True])
def test_where_a_topics_id_is_unknown_nothing_is_compared(accepted: bool) -> None:
    unknown = replace(OURS, topic_id="")
    assert of_this_topic(OURS, "a", accepted=accepted) is OURS
    assert of_this_topic(OURS, "", accepted=accepted) is OURS
    assert of_this_topic(unknown, "b", accepted=accepted) is unknown
    assert of_this_topic(None, "b", accepted=accepted) is None


def test_a_manifest_that_says_nothing_of_the_topics_id_is_read_as_before() -> None:
    said = Manifest(
        code_version="0.1.0",
        fingerprint="f",
        group="g",
        topic="t",
        topic_id="a",
        partition=0,
        input_partitions=1,
        epoch=1,
        highest_generation=1,
        next_offset=5,
        meta=manifests.encode_meta({}),
        packs={},
        pieces={},
    )
    assert manifests.decode(manifests.encode(said)).topic_id == "a"
    earlier = msgspec.json.decode(msgspec.json.encode(said))
    del earlier["topic_id"]
    assert msgspec.json.decode(msgspec.json.encode(earlier), type=Manifest).topic_id == ""
