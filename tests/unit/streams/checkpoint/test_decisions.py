"""What a worker refuses to decide by itself, and the flag that every refusal names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sie_online.contracts import CODE_VERSION
from sie_online.errors import DecisionError
from sie_online.settings import Settings
from sie_online.shard import Layout
from streams.checkpoint import LoadedCheckpoint
from streams.checkpoint import manifest as manifests
from streams.checkpoint.decisions import (
    Overrides,
    check_published,
    check_replacement,
    check_restore,
    of_this_topic,
)
from streams.checkpoint.manifest import CheckpointManifest
from streams.checkpoint.outputs import Published

Check = Callable[..., int]
OURS = Layout(
    records={"users": "a", "world": "b"}, sizes={"users": 64, "world": 1}, features="bins", parameters="steps"
)


def meta(layout: Layout) -> dict[str, Any]:
    """A snapshot's meta as far as it says how the state is laid out."""
    return {"layout": msgspec.to_builtins(layout)}


def saved(**changes: Any) -> dict[str, Any]:
    """What a checkpoint of another layout says."""
    return {"says": {"meta": meta(msgspec.structs.replace(OURS, **changes)), "code_version": "0.0.9"}}


@pytest.fixture
def check(settings: Callable[..., Settings]) -> Check:
    """``check_restore`` of a checkpoint at offset 100 of a log that holds 50 to 200; overridable."""
    current = settings()
    loaded = LoadedCheckpoint(100, 3, meta(OURS), {}, current.fingerprint(), 4, 2, 3, "0.1.0")

    def run(flags: dict[str, bool] | None = None, **found: Any) -> int:
        place: dict[str, Any] = {"begin_offset": 50, "end_offset": 200, "committed": 90, "n_partitions": 4}
        checkpoint = found.pop("loaded", replace(loaded, **found.pop("says", {})))
        return check_restore(checkpoint, current, OURS, **(place | found), overrides=Overrides(**(flags or {})))

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
    "other hyper-parameters": (saved(parameters="other steps"), "accept_changed_settings", 100),
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


HELD = LoadedCheckpoint(100, 3, {}, {}, "", 4, 1, 3, "0.1.0", topic_id="a")


def test_a_state_of_another_topic_is_refused_until_a_person_leaves_it_behind() -> None:
    with pytest.raises(DecisionError, match="--accept-new-topic"):
        of_this_topic(HELD, "b", accepted=False)
    assert of_this_topic(HELD, "b", accepted=True) is None


@pytest.mark.parametrize("accepted", [False, True])
def test_where_a_topics_id_is_unknown_nothing_is_compared(accepted: bool) -> None:
    unknown = replace(HELD, topic_id="")
    assert of_this_topic(HELD, "a", accepted=accepted) is HELD
    assert of_this_topic(HELD, "", accepted=accepted) is HELD
    assert of_this_topic(unknown, "b", accepted=accepted) is unknown
    assert of_this_topic(None, "b", accepted=accepted) is None


def test_a_manifest_that_says_nothing_of_the_topics_id_is_read_as_before() -> None:
    written = CheckpointManifest(
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
    assert manifests.decode(manifests.encode(written)).topic_id == "a"
    earlier = msgspec.json.decode(msgspec.json.encode(written))
    del earlier["topic_id"]
    assert msgspec.json.decode(msgspec.json.encode(earlier), type=CheckpointManifest).topic_id == ""


MISREAD: dict[str, tuple[dict[str, Any], str]] = {
    "another record": (saved(records={"users": "wider", "world": "b"}), "users"),
    "an array more": (saved(records=OURS.records | {"drift": "c"}), "drift"),
    "an array fewer": (saved(records={"users": "a"}), "world"),
    "other features": (saved(features="other bins"), "features"),
    "a larger table": (saved(sizes={"users": 128, "world": 1}), r"users \(128 then, 64 now\)"),
    "another ring": (saved(sizes={"users": 64, "world": 2}), r"world \(2 then, 1 now\)"),
    "no layout": ({"says": {"meta": {}}}, "users, world, features"),
    "no layout that could be one": ({"says": {"meta": {"layout": {"records": [1]}}}}, "users, world, features"),
}


@pytest.mark.parametrize("found", MISREAD)
def test_no_flag_makes_a_state_be_read_that_would_be_misread(check: Check, found: str) -> None:
    says, names = MISREAD[found]
    everything = dict.fromkeys(Overrides.__slots__, True)
    with pytest.raises(DecisionError, match=names) as refusal:
        check(everything, **says)
    assert refusal.value.exit_code == 78
    assert f"this version, {CODE_VERSION}" in str(refusal.value)
    assert "SIE_GROUP" in str(refusal.value)


def test_a_table_of_entities_may_have_grown(check: Check) -> None:
    assert check(**saved(sizes={"users": 32, "world": 1})) == 100


PUBLISHED: dict[str, tuple[int, str, int, bool]] = {
    "nothing of anyone": (0, "", 0, False),
    "our own, up to our newest claim": (7, "ours", 7, False),
    "our own before a claim that said nothing": (5, "ours", 7, False),
    "another's, left behind by us": (5, "theirs", 7, False),
    "a former version's": (5, "", 7, False),
    "another's above us": (8, "theirs", 7, True),
    "another's beside us, since both began at nothing": (1, "theirs", 1, True),
    "our own from another store": (8, "ours", 0, True),
    "a former version's above us": (8, "", 7, True),
}


@pytest.mark.parametrize("found", PUBLISHED)
def test_rows_that_are_not_this_stores_are_another_groups(settings: Callable[..., Settings], found: str) -> None:
    generation, group, epoch, is_other = PUBLISHED[found]
    newest, ours = Published(generation, group, "", "sie.weights.v1"), settings(group="ours")
    assert check_published(newest, 3, epoch, ours, accepted=True) is is_other
    if not is_other:
        assert check_published(newest, 3, epoch, ours, accepted=False) is False
        return
    with pytest.raises(DecisionError, match=r"sie.weights.v1\[3\].*SIE_TOPICS__PREFIX=ours\..*--fresh") as refusal:
        check_published(newest, 3, epoch, ours, accepted=False)
    assert refusal.value.exit_code == 78


def test_rows_are_replaced_only_under_the_same_settings_and_once_their_group_has_stopped(
    settings: Callable[..., Settings],
) -> None:
    ours = settings(group="ours")
    newest = Published(8, "theirs", ours.fingerprint(), "sie.weights.v1")
    check_replacement(newest, ours, members=0)
    check_replacement(newest._replace(fingerprint=""), ours, members=0)
    with pytest.raises(DecisionError, match=r"'theirs', which still has 2 consumers.*SIE_TOPICS__PREFIX=ours\."):
        check_replacement(newest, ours, members=2)
    with pytest.raises(DecisionError, match=r"under other settings.*SIE_TOPICS__PREFIX=ours\."):
        check_replacement(newest._replace(fingerprint="0" * 64), ours, members=0)
