"""The folder of a run: one run at a time, and what an earlier one left is gone."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from sie_online.errors import UsageError

LOCK = ".lock"


@contextmanager
def held_folder(directory: Path, what: str, leftovers: Collection[str]) -> Iterator[None]:
    """Hold ``directory`` for one run of ``what``; of an earlier one, the files and folders named ``leftovers`` go.

    Raises:
        UsageError: another run holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another {what} runs in {directory}: end it, or name another folder with --out") from None
        for name in leftovers:
            path = directory / name
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        yield
