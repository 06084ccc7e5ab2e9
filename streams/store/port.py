"""The port of an object store: the few operations that checkpoints and models need, and what each promises.

Nothing above it opens, syncs or renames a file. `tests/contract/store_contract.py` holds every store to these promises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

TEMPORARY = ".tmp"
"""Ending of the name under which a store may keep what it is still writing; after a crash it is litter."""


class Part(NamedTuple):
    """Bytes and their digest."""

    data: bytes | memoryview
    sha256: str

    @classmethod
    def of(cls, data: bytes | memoryview) -> Part:
        """``data`` with the digest it has now."""
        return cls(data, hashlib.sha256(data).hexdigest())


class Store(Protocol):
    """A place for small named objects, read and written whole, by any number of processes at once.

    Names are relative to the store's root, with ``/`` between folders, which nobody makes or removes. What lies here
    tells of users: it is its owner's alone. Operations block, are safe to call from several threads, and raise
    ``UnreachableError`` where the place fails: it is away, full, or may not be used. But for ``FileNotFoundError`` from
    ``read``, nothing else comes out of a store, whatever it is made of.

    What a call has done is seen by every later call of any process. A process may be killed at any moment: the
    operations say what is left then.
    """

    def create(self, name: str, data: bytes) -> bool:
        """Create ``name`` durably, unless it exists; True for exactly one of any number of rivals, ever.

        A crash may leave ``name`` with part of ``data``, or with none: that it is there says everything.
        """

    def put(self, name: str, parts: Sequence[Part]) -> None:
        """Make ``name`` hold ``parts`` durably, end to end: all of it or, after a crash, what was there before.

        A crash may also leave ``name`` + ``TEMPORARY``, which ``list`` names and ``delete`` removes. After a failure
        (``UnreachableError``) that is gone where it can be, so that a full place does not stay full.

        What was read back must have the parts' digests, or the place fails.
        """

    def read(self, name: str, most: int = -1, start: int = 0) -> bytes:
        """All of ``name`` from byte ``start`` on, or the first ``most`` bytes of that; raises ``FileNotFoundError``
        where there is none."""

    def list(self, folder: str) -> Sequence[str]:
        """Names directly in ``folder`` (without it; empty: the root), unordered, subfolders' included; none where there
        is no such folder."""

    def delete(self, name: str) -> None:
        """Remove ``name``; done already is fine. Durable with the next operation that is: a crash may bring it back."""
