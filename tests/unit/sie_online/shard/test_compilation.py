"""Whatever a shard calls is compiled before it has anything to do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.brokers import ROOT

LIFE = """
import sys
from sie_online import jit
from sie_online.shard import Shard, warm_up
from tests.support.events import event, heartbeat, random_events, records, run, small_settings

def compiled():
    return {f"{each.py_func.__qualname__}{types}" for each in jit._kernels for types in each.signatures}

recommend = {"enabled": sys.argv[1] == "lists"}
settings = small_settings(recommend=recommend)
warm_up(settings)
before = compiled()
assert before
assert any("rank_user" in each for each in before) == recommend["enabled"]
shard = Shard(settings, 0)
rows = records([*random_events(600, seed=1), heartbeat(10 * 600 * 20), {"event_type": "erase", "user_id": "u1"}])
run(shard, rows[:400], cuts=[0, 1, 2, 3])
first = shard.snapshot()
run(shard, rows[400:500])
second = shard.snapshot()
shard.stats()
again = Shard.restore(settings, 0, second.meta, first.changed | second.changed, generation=2)
run(again, rows[500:], cuts=[1])
again.snapshot()
again.stats()
if recommend["enabled"]:
    again.put_neighbourhoods(again.own_neighbourhoods())
    assert again.recommend("u1", 5)
print(*sorted(compiled() - before), sep="\\n", end="")
"""


@pytest.mark.parametrize("what", ["weights", "lists"])
def test_nothing_is_compiled_after_the_warm_up(what: str) -> None:
    """In a process of its own: here, other tests have compiled much."""
    ended = subprocess.run(
        [sys.executable, "-c", LIFE, what],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert ended.stdout == ""
