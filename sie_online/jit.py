"""Compilation of the hot loops: one decorator, one cache that can never serve stale code.

Numba's on-disk cache watches only the file of the outermost function: a changed callee in another module, or a
changed constant, would go unnoticed. The cache directory is therefore named after a digest of every source file that
kernels are made of, so an edit anywhere in them is a new cache.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from sie_online import linkage
from sie_online.errors import SettingsError
from sie_online.linkage import Kernel

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE = Path(__file__).parent
CACHE_ADVICE = "set SIE_CACHE_DIR to a folder that can be written, and keep it: compiling takes half a minute"
OPTIONS = {"nopython": True, "nogil": True, "error_model": "numpy", "_nrt": False}
OWN_IMPORT = re.compile(r"^(?:from|import) sie_online\.([\w.]+)", re.MULTILINE)


def cache_directory() -> Path:
    """Where compiled kernels of exactly this source are kept (below ``SIE_CACHE_DIR``); it is there and can be written.

    Raises:
        SettingsError: it cannot be. (Numba would then keep them beside the source, where stale ones may lie, or fail.)
    """
    directory = _cache_home() / f"kernels-{_digest()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise SettingsError(
            f"compiled kernels cannot be kept in {directory} ({error.strerror}): {CACHE_ADVICE}"
        ) from None
    return directory


def _cache_home() -> Path:
    if named := os.environ.get("SIE_CACHE_DIR"):
        return Path(named).absolute()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sie"
    except RuntimeError:  # this user has no home
        raise SettingsError(f"there is no home folder in which to keep compiled kernels: {CACHE_ADVICE}") from None


def _digest() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted({*kernel_sources(), Path(linkage.__file__)}):
        digest.update(str(source.relative_to(PACKAGE)).encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def kernel_sources() -> Iterator[Path]:
    """Files that define kernels, and the ones these import from this package: they hold the constants."""
    for source in PACKAGE.rglob("*.py"):
        text = source.read_text()
        if "\n@kernel\n" in text:
            yield source
            for name in OWN_IMPORT.findall(text):
                path = PACKAGE / name.replace(".", "/")
                yield path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


config: Any = numba.config
config.CACHE_DIR = str(cache_directory())

_kernels: list[Kernel] = []


def progress() -> tuple[int, int]:
    """How many kernels are compiled, loaded or part of one that is being compiled, and how many there are."""
    return sum(known.is_known for known in _kernels), len(_kernels)


def kernel(function: Function) -> Function:
    """Compile ``function`` for the event loop: IEEE arithmetic in program order, GIL released, cached on disk.

    Without numba's runtime: a kernel cannot allocate, and passing it the shard's many arrays costs no reference
    counts (they were 40 % of the loop). Callers keep the arrays alive.
    """
    compiled = Kernel(function, targetoptions=OPTIONS)
    compiled.enable_caching()
    _kernels.append(compiled)
    return cast("Function", compiled)
