"""The store on a local disk. Files and folders are their owner's alone, whatever the process's umask."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote, urlsplit

from sie_online.errors import UnreachableError, UsageError
from streams.store.port import TEMPORARY, Part, Store

FILE_MODE, FOLDER_MODE = 0o600, 0o700
VERIFIED_AT_ONCE = 1 << 18
"""Bytes: stays in the processor's cache between reading and digesting."""


HOW_TO_WRITE = "file:///absolute/path"


class LocalStore(Store):
    """A folder on a disk whose ``rename``, ``link`` and ``fsync`` can be trusted (NFS before version 3 cannot)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, name: str, data: bytes) -> bool:
        target = self.root / name
        with _reaching(target):
            self._make_folder(target.parent)
            try:
                with self._open(target, "xb") as file:
                    self._fill(file, [data])
            except FileExistsError:
                return False
            self._sync_folder(target.parent)
            return True

    def put(self, name: str, parts: Sequence[Part]) -> None:
        target = self.root / name
        with _reaching(target):
            self._make_folder(target.parent)
            self._place(target, parts)
            self._sync_folder(target.parent)
            _verify(target, parts)

    def _place(self, target: Path, parts: Sequence[Part]) -> None:
        temporary = target.with_name(target.name + TEMPORARY)
        try:
            with self._open(temporary, "wb") as file:
                self._fill(file, [part.data for part in parts])
            self._rename(temporary, target)
        except OSError:
            with suppress(OSError):  # a full disk must not stay full of what nobody will read
                temporary.unlink()
            raise

    def read(self, name: str, most: int = -1, start: int = 0) -> bytes:
        target = self.root / name
        try:
            with target.open("rb") as file:
                file.seek(start)
                return file.read(most)
        except FileNotFoundError:  # an answer, no failure
            raise
        except OSError as error:
            raise _failure(target, error) from error

    def list(self, folder: str) -> Sequence[str]:
        target = self.root / folder
        with _reaching(target):
            try:
                return os.listdir(target)  # noqa: PTH208 - names are all we need, a Path per name is not
            except FileNotFoundError:
                return []

    def delete(self, name: str) -> None:
        target = self.root / name
        with _reaching(target):
            target.unlink(missing_ok=True)

    def _open(self, path: Path, how: str) -> BinaryIO:
        """Open ``path`` for writing; nobody else could read it even for a moment."""
        return cast(BinaryIO, open(path, how, opener=_private))

    def _fill(self, file: BinaryIO, parts: Iterable[bytes | memoryview]) -> None:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())

    def _rename(self, temporary: Path, target: Path) -> None:
        temporary.replace(target)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        with suppress(FileExistsError):  # somebody else's, just now
            folder.mkdir(FOLDER_MODE)
            folder.chmod(FOLDER_MODE)
        self._sync_folder(folder.parent)

    def _sync_folder(self, folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _verify(target: Path, parts: Sequence[Part]) -> None:
    """Read ``parts`` back, bit by bit: memory for the whole of a large one costs more than to read it."""
    window = memoryview(bytearray(VERIFIED_AT_ONCE))
    with target.open("rb", buffering=0) as file:
        for part in parts:
            digest, left = hashlib.sha256(), len(part.data)
            while left and (n := file.readinto(window[:left]) or 0):
                digest.update(window[:n])
                left -= n
            if digest.hexdigest() != part.sha256:
                raise UnreachableError(f"{target} does not hold what was written: the disk cannot be trusted")


def _private(path: str, flags: int) -> int:
    handle = os.open(path, flags, FILE_MODE)
    os.fchmod(handle, FILE_MODE)  # the umask may have taken from it, and an older file may have had more
    return handle


@contextmanager
def _reaching(target: Path) -> Iterator[None]:
    """What the disk cannot do, as the one error by which every process knows that its store has failed."""
    try:
        yield
    except OSError as error:
        raise _failure(target, error) from error


def _failure(target: Path, error: OSError) -> UnreachableError:
    return UnreachableError(f"the store fails at {target}: {error.strerror or error}")


def open_local(url: str) -> LocalStore:
    """The store of ``file:///absolute/path``, in which ``%20`` is a blank, as in every URL.

    Raises:
        UsageError: it is written otherwise.
    """
    given = urlsplit(url)
    if given.netloc not in ("", "localhost") or not given.path.startswith("/") or given.query or given.fragment:
        raise UsageError(f"store {url!r} is none of the form {HOW_TO_WRITE} ('?' is written %3F there, '#' %23)")
    return LocalStore(Path(unquote(given.path)))
