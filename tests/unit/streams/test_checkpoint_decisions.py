"""What a worker refuses to decide by itself, and the flag that every refusal names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sie_online.errors import DecisionError
from sie_online.settings import Settings
from streams.checkpoint import Loaded
from streams.checkpoint.decisions import Overrides, check_restore

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
