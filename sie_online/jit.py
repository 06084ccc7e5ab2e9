"""Compilation of the hot loops: one decorator, one cache that can never serve stale code.

Numba's on-disk cache watches only the file of the outermost function: a changed callee in another module, or a
changed constant, would go unnoticed. Compiled kernels therefore lie in a folder named after a digest of every source
file that kernels are made of, and of what made machine code of them (`sie_online.kernel_cache`).
"""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import hashlib
import re
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import numba

from sie_online.kernel_cache import KernelCache, KernelFolders
from sie_online.linkage import Kernel, compiled_for
from sie_online.processor import settle_processor

Function = TypeVar("Function", bound=Callable[..., Any])

PACKAGE = Path(__file__).parent
OPTIONS = {"nopython": True, "nogil": True, "error_model": "numpy", "_nrt": False}
OWN_IMPORT = re.compile(r"^(?:from|import) sie_online\.([\w.]+)", re.MULTILINE)


def kernel_sources() -> Iterator[Path]:
    """Files that define kernels, and the ones these import from this package: they hold the constants."""
    for source in PACKAGE.rglob("*.py"):
        text = source.read_text()
        if "\n@kernel\n" in text:
            yield source
            for name in OWN_IMPORT.findall(text):
                path = PACKAGE / name.replace(".", "/")
                yield path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def target() -> str:
    """A name for what kernels are made of, and by what and for what."""
    settle_processor()
    made_for = (sysconfig.get_config_var("SOABI"), numba.__version__, llvmlite.__version__, *compiled_for())
    digest = hashlib.sha256(repr(made_for).encode())
    for source in sorted({*kernel_sources(), PACKAGE / "linkage.py", PACKAGE / "kernel_cache.py"}):
        digest.update(source.relative_to(PACKAGE).as_posix().encode())
        digest.update(source.read_bytes())
    return f"kernels-{digest.hexdigest()[:16]}"


folders = KernelFolders(target(), shipped=PACKAGE / "_kernels")
folders.require()

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
    compiled.keep_in(KernelCache(function, folders))
    _kernels.append(compiled)
    return cast("Function", compiled)
