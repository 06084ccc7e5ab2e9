"""Memory for arrays that may become large and mostly do not: claimed page by page, as it is written to."""

from __future__ import annotations

import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

SMALL_PAGES = 4 << 20
"""Bytes from an array's start that come in small pages. Numpy asks for pages of 2 MB from 4 MB on, and a shard that has
seen a thousand events then holds 60 MB in tables of a few hundred records each."""


def unclaimed(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros, of which only those parts take memory that are written to; the longer ones in large pages."""
    kind = np.dtype(dtype)
    size = math.prod(shape if isinstance(shape, tuple) else (shape,)) * kind.itemsize
    if size == 0:
        return np.zeros(shape, kind)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if size > SMALL_PAGES and hasattr(mmap, "MADV_HUGEPAGE"):  # not every system has them
        pages.madvise(mmap.MADV_HUGEPAGE, SMALL_PAGES)
    return np.frombuffer(pages, kind).reshape(shape)
