"""Where compiled kernels lie, and how they get there and back: one file for each kernel and signature.

They are looked for in the package itself, as a wheel brings them, and then in the cache; only the cache is written to.
Both have a folder for each *target*: one source, Python, numba and processor. So nothing is loaded that was compiled of
something else or for something else, and what fits is loaded wherever and whenever it was compiled.

Numba's own cache goes by the path of the source and the model of the processor. It has an index for each function,
which two processes that compile the same can spoil, and keeps bitcode for callers compiled later, and the types of
every line: three quarters of it.
"""

# mypy: disallow-untyped-calls=False
# Numba has no types of its own, and does not document what is used of it here.

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from sie_online.errors import SettingsError

ADVICE = "set SIE_CACHE_DIR to a folder that can be written, and keep it: compiling takes half a minute"
CHECKSUM_BYTES = hashlib.sha256().digest_size


class KernelFolders:
    """The two folders of one target's kernels.

    Args:
        target: their name.
        shipped: where the package has its own, for whatever targets; it need not be there.

    Attributes:
        used: files that were read or written, by the kernels' names.
    """

    def __init__(self, target: str, shipped: Path) -> None:
        self.used: dict[str, Path] = {}
        self._target = target
        self._shipped = shipped / target

    @property
    def kept(self) -> Path:
        """The cache's: below ``SIE_CACHE_DIR``, or what stands for it; it need not be there.

        Raises:
            SettingsError: nothing stands for it.
        """
        if named := os.environ.get("SIE_CACHE_DIR"):
            return Path(named).absolute() / self._target
        try:
            home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        except RuntimeError:  # this user has no home
            raise SettingsError(f"there is no home folder in which to keep compiled kernels: {ADVICE}") from None
        return home / "sie" / self._target

    def require(self) -> None:
        """See that kernels are there, or room for them.

        Raises:
            SettingsError: neither.
        """
        if not self.there:
            self.room()

    @property
    def there(self) -> bool:
        """Whether any kernels of this target can be read: compiled before, or brought along."""
        return any(os.access(folder, os.R_OK) for folder in self._folders())

    def room(self) -> Path:
        """The cache's folder, which is there now and can be written.

        Raises:
            SettingsError: it cannot be.
        """
        folder = self.kept
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise _cannot_keep(folder, error) from None
        return folder

    def read(self, name: str) -> bytes | None:
        """What was written under ``name``; None where nothing was, or where it is damaged."""
        for folder in self._folders():
            file = folder / name
            try:
                written = file.read_bytes()
            except OSError:
                continue
            content = written[CHECKSUM_BYTES:]
            if written == _checked(content):
                self.used[name] = file
                return content
        return None

    def write(self, name: str, content: bytes) -> None:
        """Keep ``content`` in the cache: all of it or nothing, whoever else does so at the same time.

        Raises:
            SettingsError: it cannot be kept.
        """
        folder = self.room()
        file, beside = folder / name, folder / f"{name}.{uuid.uuid4().hex}"
        try:
            beside.write_bytes(_checked(content))
            beside.replace(file)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise _cannot_keep(folder, error) from None
        self.used[name] = file

    def copy(self, to: Path) -> Path:
        """Copy what was used into a folder of this target below ``to``, and return that.

        Raises:
            OSError: it cannot be written.
        """
        folder = to / self._target
        folder.mkdir(parents=True, exist_ok=True)
        for name, file in self.used.items():
            shutil.copyfile(file, folder / name)
        return folder

    def _folders(self) -> Iterator[Path]:
        yield self._shipped
        yield self.kept


def _checked(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


def _cannot_keep(folder: Path, error: OSError) -> SettingsError:
    return SettingsError(f"compiled kernels cannot be kept in {folder} ({error.strerror}): {ADVICE}")


class KernelCache(NullCache):
    """What numba asks for a kernel before it compiles it, and hands it to afterwards."""

    def __init__(self, function: Callable[..., Any], folders: KernelFolders) -> None:
        self._function = function
        self._folders = folders

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The kernel compiled for these types of arguments; None where it must be compiled.

        Numba's own would import all that it can compile first, which takes longer than to load the kernels.

        Raises:
            SettingsError: it must be compiled, and could not be kept.
        """
        content = self._folders.read(self._name(sig))
        if content is None:
            self._folders.room()
            return None
        return CompileResult._rebuild(target_context, *pickle.loads(content))  # noqa: S301 (its folder's owner wrote it)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the kernel compiled for these types of arguments.

        Raises:
            SettingsError: it cannot be kept.
        """
        if data.library.has_dynamic_globals:
            raise TypeError(f"{self._function.__qualname__} holds addresses of this process, so it cannot be kept")
        self._folders.write(self._name(sig), dumps(data._reduce()))

    def _name(self, sig: Any) -> str:
        source = _source_digest(self._function.__code__.co_filename)
        digest = hashlib.sha256(f"{source}{sig}".encode()).hexdigest()[:16]
        return f"{self._function.__module__}.{self._function.__qualname__}-{digest}"


@cache
def _source_digest(file: str) -> str:
    """The target says it of our own sources; this is for kernels of others."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
