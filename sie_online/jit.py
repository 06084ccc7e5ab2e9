"""Compilation of the hot loops: one decorator, one cache that can never serve stale code.

Numba's on-disk cache watches only the file of the outermost function: a changed callee in another module, or a
changed constant, would go unnoticed. The cache directory is therefore named after a digest of every source file of
this package, so an edit anywhere in the core is a new cache.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def cache_directory() -> Path:
    """Where compiled kernels of exactly this source are kept (below ``SIE_CACHE_DIR``)."""
    home = os.environ.get("SIE_CACHE_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sie"
    digest = hashlib.sha256(numba.__version__.encode())
    package = Path(__file__).parent
    for source in sorted(package.rglob("*.py")):
        digest.update(str(source.relative_to(package)).encode())
        digest.update(source.read_bytes())
    return Path(home) / f"kernels-{digest.hexdigest()[:16]}"


numba.config.CACHE_DIR = str(cache_directory())


def kernel(function: Function) -> Function:
    """Compile ``function`` for the event loop: IEEE arithmetic in program order, GIL released, cached on disk."""
    compiled: Function = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled
