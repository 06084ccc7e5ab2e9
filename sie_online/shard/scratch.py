"""Scratch files: memory for what is too much for memory, as an unlinked sparse file that is mapped whole.

An address in it costs nothing until its disk is claimed, and nothing again once that is given back. What was written
may be dropped from the resident set: it lies in the page cache, for as long as that has room, and on disk.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sie_online.errors import UnreachableError

ALIGNMENT = max(mmap.ALLOCATIONGRANULARITY, 1 << 16)
"""Parts begin at its multiples: no two of them share a page."""
READ_AHEAD = 2
"""Segments of a ring."""
SPOOL_BYTES = 1 << 27
"""Of one file of a spool."""


def aligned(size: int) -> int:
    """``size`` rounded up to `ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT


class ScratchFile:
    """``size`` bytes of zeros below ``folder``, or the temp folder; a crash leaves nothing of it.

    Raises:
        UnreachableError: there can be no such file.
    """

    def __init__(self, size: int, folder: Path | None) -> None:
        self._folder = folder or tempfile.gettempdir()
        try:
            with tempfile.TemporaryFile(prefix="sie-", dir=folder) as file:
                os.ftruncate(file.fileno(), size)
                self._map = mmap.mmap(file.fileno(), size)
                self._descriptor = os.dup(file.fileno())
        except OSError as error:
            raise self._unreachable(size, error) from error
        weakref.finalize(self, os.close, self._descriptor)

    def array(self, begin: int, n: int, dtype: DTypeLike) -> NDArray[Any]:
        """``n`` elements from byte ``begin`` on. What is written to must have been claimed."""
        return np.frombuffer(self._map, dtype, n, begin)

    def claim(self, begin: int, end: int) -> None:
        """Have disk for the bytes from ``begin`` to ``end``, to be written one after another: a full disk is heard of
        here, not then.

        Raises:
            UnreachableError: there is none.
        """
        self._map.madvise(mmap.MADV_NORMAL, begin, end - begin)
        try:
            os.posix_fallocate(self._descriptor, begin, end - begin)
        except OSError as error:
            raise self._unreachable(end - begin, error) from error

    def give_back(self, begin: int, end: int) -> None:
        """Forget what lies there, and need no disk for it where the file system can do without."""
        with suppress(OSError):
            self._map.madvise(mmap.MADV_REMOVE, begin, end - begin)

    def rest(self, begin: int, end: int) -> None:
        """Take the bytes out of the resident set; whoever looks at one of them gets its page and no more: a device that
        reads far ahead (8 MB on some) would do that for every purchase.
        """
        self._map.madvise(mmap.MADV_DONTNEED, begin, end - begin)
        self._map.madvise(mmap.MADV_RANDOM, begin, end - begin)

    def ask(self, begin: int, end: int) -> None:
        """Have the bytes read that are not in the page cache, in the background."""
        self._map.madvise(mmap.MADV_WILLNEED, begin, end - begin)

    def _unreachable(self, size: int, error: OSError) -> UnreachableError:
        return UnreachableError(f"no room for {size >> 10} KiB of scratch in {self._folder}: {error.strerror}")


class Ring:
    """A part of ``file``: ``capacity`` elements of ``size`` bytes from byte ``begin`` on, claimed in segments."""

    def __init__(self, file: ScratchFile, begin: int, size: int, capacity: int, segment: int) -> None:
        self._file, self._begin, self._size, self._capacity, self._segment = file, begin, size, capacity, segment
        self._first = self._last = 0  # what there is disk for

    def claim(self, first: int, last: int) -> int:
        """Have disk for elements ``first`` to ``last``, of which the first are read next; returns up to which there is.

        Raises:
            UnreachableError: the disk is full.
        """
        begin, end = first // self._segment * self._segment, -(-last // self._segment) * self._segment
        for place, n in self._places(max(self._first, end - self._capacity), begin):
            self._file.give_back(place, place + n)
        for place, n in self._places(max(self._last, begin), end):
            self._file.claim(place, place + n)
        for place, n in self._places(begin, min(begin + READ_AHEAD * self._segment, last)):
            self._file.ask(place, place + n)
        self._first, self._last = begin, end
        return end

    def rest(self) -> None:
        """Have nothing resident but the first segment and the last."""
        for place, n in self._places(self._first + self._segment, self._last - self._segment):
            self._file.rest(place, place + n)

    def _places(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Where in the file elements ``first`` to ``last`` lie, at most a ring of them: bytes, and how many."""
        while first < last:
            place = first % self._capacity
            n = min(last - first, self._capacity - place)
            yield self._begin + place * self._size, n * self._size
            first += n


class Spool:
    """Memory on disk below ``folder``, a file at a time; each stays for as long as someone has a part of it."""

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._left = folder, np.empty(0, np.uint8)

    def take(self, n: int) -> NDArray[np.uint8]:
        """``n`` bytes.

        Raises:
            UnreachableError: the disk is full.
        """
        if n > len(self._left):
            file = ScratchFile(size := max(n, SPOOL_BYTES), self._folder)
            file.claim(0, size)
            self._left = file.array(0, size, np.uint8)
        taken, self._left = self._left[:n], self._left[n:]
        return taken
