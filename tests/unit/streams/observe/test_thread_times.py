"""Processor time by thread: every thread has a name of a closed set, and the sum is the process's."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from streams.observe.thread_times import NAMES, OTHER, thread_seconds

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells processor time by thread")

WORK_S = 0.05


def work() -> None:
    """Keep this thread busy for ``WORK_S`` of processor time."""
    end = time.thread_time() + WORK_S
    while time.thread_time() < end:
        pass


def test_the_work_of_a_shards_thread_is_told_under_its_name() -> None:
    before = thread_seconds().get("shards", 0.0)
    with ThreadPoolExecutor(1, thread_name_prefix="shards") as pool:
        pool.submit(work).result()
        assert thread_seconds()["shards"] - before >= WORK_S / 2


def test_what_is_told_is_the_whole_process() -> None:
    began = time.process_time()
    told = sum(thread_seconds().values())
    assert told >= began * 0.99
    assert set(thread_seconds()) <= {*NAMES.values(), OTHER}
