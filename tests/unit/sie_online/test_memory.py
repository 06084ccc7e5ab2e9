"""Arrays that claim memory only where they are written to."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from sie_online.memory import SMALL_PAGES, unclaimed


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.parametrize("shape", [0, 7, (3, 5), (2, 0, 4)])
def test_it_is_zeros_of_its_shape_and_kind(shape: int | tuple[int, ...]) -> None:
    array = unclaimed(shape, np.dtype([("a", "i8"), ("b", "f4")]))
    expected = np.zeros(shape, array.dtype)
    assert array.shape == expected.shape and np.array_equal(array, expected)
    assert array.flags.c_contiguous and array.flags.writeable


def test_only_what_is_written_to_takes_memory_and_all_of_it_is_given_back() -> None:
    gc.collect()
    before = resident_bytes()
    array = unclaimed(256 << 20, np.uint8)
    array[: SMALL_PAGES : 1 << 12] = 1
    assert SMALL_PAGES <= resident_bytes() - before < 2 * SMALL_PAGES
    del array
    gc.collect()
    assert resident_bytes() - before < SMALL_PAGES
