"""What a shard is said to take is what it takes once everything in it is written to."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sie_online.settings import Settings, load
from sie_online.shard.figures import table_limits
from sie_online.shard.sizing import VIEW_BYTES, part_sizes
from sie_online.shard.state import new_state, new_views

BOUNDS = {"users": 16_384, "items": 8_192, "categories": 1_024, "pairs": 32_768, "interests": 16_384}


def resident() -> int:
    """Bytes of this process's own memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fill(arrays: Any) -> None:
    """Write to every page of all arrays in a tuple of arrays and such tuples."""
    if isinstance(arrays, np.ndarray):
        if arrays.flags.writeable and arrays.flags.c_contiguous:
            arrays.reshape(-1).view(np.uint8)[:] = 1
    elif isinstance(arrays, tuple):
        for each in arrays:
            fill(each)


def said_and_taken() -> tuple[int, int]:
    """What a shard is said to take, and what it takes when it is full, in bytes."""
    settings = load({"entities": BOUNDS, "dedupe": {"events": 65_536}, "labels": {"max_open_views": 1 << 20}})
    file, said = new_views(settings), sum(part.memory for part in part_sizes(settings))  # which loads kernels, too
    before = resident()
    state = new_state(settings, file.views)
    fill(state._replace(views=(file.views.changed, file.views.buckets)))  # of views what is memory, not file
    return said, resident() - before


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="tells resident memory on Linux alone")
def test_a_full_shard_takes_what_is_said() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:  # has no memory left over from before
        said, taken = fresh.submit(said_and_taken).result()
    assert said > 20e6
    assert taken == pytest.approx(said, rel=0.1)


def test_tables_take_what_the_metrics_say_is_their_bound() -> None:
    by_name = {part.name: part for part in part_sizes(Settings())}
    tables = [by_name[name] for name in BOUNDS]
    limits = table_limits(Settings())
    assert [part.places for part in tables] == list(limits.slots.values())
    assert sum(part.memory for part in tables) == pytest.approx(limits.bytes, rel=1e-4)


def test_a_bound_is_felt_where_it_belongs() -> None:
    base = {part.name: part for part in part_sizes(Settings())}
    for name, setting in ((part.name, part.setting) for part in base.values()):
        if setting is None:
            continue
        section, key = setting.split(".")
        twice = load({section: {key: 2 * getattr(getattr(Settings(), section), key)}})
        grown = {part.name: part for part in part_sizes(twice)}
        assert grown[name].places == 2 * base[name].places
        assert grown[name].memory == pytest.approx(2 * base[name].memory, rel=0.01)
        assert all(grown[other] == base[other] for other in base if other != name)


def test_disk_is_of_open_views_alone() -> None:
    by_name = {part.name: part for part in part_sizes(load({"labels": {"max_open_views": 100_000}}))}
    assert by_name["open views"].places == 65_536
    assert by_name["open views"].disk == 65_536 * (VIEW_BYTES + 128)
    assert sum(part.disk for part in by_name.values()) == by_name["open views"].disk
