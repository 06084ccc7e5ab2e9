"""Scratch files: disk is claimed before it is written to, given back when it is not needed, and a full one is named."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sie_online.errors import UnreachableError
from sie_online.shard.scratch import ALIGNMENT, ScratchFile, aligned

SIZE = 1 << 40
"""Far more than any disk here has."""


def disk_bytes(file: ScratchFile) -> int:
    return os.fstat(file._descriptor).st_blocks * 512


def test_only_what_is_claimed_needs_disk_and_it_is_given_back(tmp_path: Path) -> None:
    file = ScratchFile(SIZE, tmp_path)
    assert disk_bytes(file) < ALIGNMENT
    file.claim(SIZE // 2, SIZE // 2 + 4 * ALIGNMENT)
    assert 4 * ALIGNMENT <= disk_bytes(file) < 5 * ALIGNMENT
    file.give_back(SIZE // 2, SIZE // 2 + 3 * ALIGNMENT)
    assert disk_bytes(file) < 2 * ALIGNMENT
    assert list(tmp_path.iterdir()) == [], "a crash leaves nothing"


def test_what_rests_is_still_there_and_what_was_given_back_is_zero(tmp_path: Path) -> None:
    file = ScratchFile(SIZE, tmp_path)
    file.claim(0, 2 * ALIGNMENT)
    array = file.array(0, 2 * ALIGNMENT, "u1")
    array[:] = 7
    file.rest(0, 2 * ALIGNMENT)
    file.ask(0, 2 * ALIGNMENT)
    assert (array == 7).all()
    file.give_back(0, ALIGNMENT)
    assert not array[:ALIGNMENT].any() and (array[ALIGNMENT:] == 7).all()


def test_where_the_file_system_cannot_give_back_it_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn:
        def madvise(self, *_: int) -> None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    file = ScratchFile(ALIGNMENT, tmp_path)
    file.claim(0, ALIGNMENT)
    monkeypatch.setattr(file, "_map", Stubborn())
    file.give_back(0, ALIGNMENT)
    assert disk_bytes(file) >= ALIGNMENT


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ScratchFile(SIZE, tmp_path)
    with pytest.raises(UnreachableError, match=f"{tmp_path}: No space left"):
        file.claim(0, SIZE)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match=f"{tmp_path}/nowhere: No such file"):
        ScratchFile(SIZE, tmp_path / "nowhere")


def test_descriptors_are_closed_with_it(tmp_path: Path) -> None:
    file = ScratchFile(SIZE, tmp_path)
    descriptor = file._descriptor
    del file
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.parametrize(("size", "expected"), [(0, 0), (1, ALIGNMENT), (ALIGNMENT, ALIGNMENT)])
def test_parts_share_no_page(size: int, expected: int) -> None:
    assert aligned(size) == expected
