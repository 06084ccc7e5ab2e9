"""The manifest of a Parquet table: which files are the table, and how far it has come. Owns its names and its bytes.

Whoever writes claims an epoch first, by creating its name, which one of any number of rivals can. Manifests are
numbered within their epoch: that of a later epoch counts for more, so that whatever a sink says that was replaced is
never read. Epochs of sinks are odd; a command that works on the table and goes again (a *visitor*) has even ones, so
that a number alone says who it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sie_online.client.lakes import LATEST, MANIFEST_NAME, MANIFESTS, manifest_name, newest_manifest
from sie_online.errors import DecisionError
from streams.lake.marks import Mark
from streams.store import TEMPORARY, Part, Store

EPOCHS, INTENTS = "_epochs", "_intents"
LAYOUT = "sie-online/1"
KEPT = 16
"""Manifests that stay beside the newest, for readers that have just listed them."""
TRIES = 8
SINK, VISITOR = 1, 0
"""Whose an epoch is: its remainder by two."""


class LakeFile(msgspec.Struct, frozen=True):
    """One file: rows of one hour. ``offsets`` are the lowest and highest among them, whatever their partition."""

    path: str
    rows: int
    bytes: int
    written_ms: int
    offsets: tuple[int, int]


class Retired(msgspec.Struct, frozen=True):
    """A file that is no longer part of the table, and since when."""

    path: str
    at_ms: int


class Manifest(msgspec.Struct, frozen=True):
    """One state of a table. ``columns`` are those of the newest rows, with their Arrow types as text."""

    layout: str
    epoch: int
    number: int
    topic: str
    topic_id: str
    kept: str
    columns: dict[str, str]
    marks: dict[int, Mark]
    files: tuple[LakeFile, ...] = ()
    retired: tuple[Retired, ...] = ()

    @property
    def name(self) -> str:
        """Where it lies."""
        return f"{MANIFESTS}/{manifest_name(self.epoch, self.number)}"


class Intent(msgspec.Struct, frozen=True):
    """Files that are about to be written: after a crash, those that no manifest names are litter."""

    paths: tuple[str, ...]


class ManifestFolder:
    """The manifests, epochs and intents of one table in ``store``; what it says of ``url`` is for people."""

    def __init__(self, store: Store, url: str) -> None:
        self.store = store
        self.url = url

    def newest(self) -> Manifest | None:
        """The newest manifest; None where there is none.

        Raises:
            DecisionError: it cannot be read, or is of a newer version.
        """
        name = newest_manifest(self.store.list(MANIFESTS))
        if name is None:
            return None
        try:
            found = msgspec.json.decode(self.store.read(f"{MANIFESTS}/{name}"), type=Manifest)
        except (msgspec.DecodeError, FileNotFoundError) as error:
            raise DecisionError(f"{self.url}/{MANIFESTS}/{name} cannot be read: {error}") from None
        if found.layout != LAYOUT:
            raise DecisionError(f"{self.url}: the table is of layout {found.layout}, this version writes {LAYOUT}")
        return found

    def claim(self, owner: int) -> int:
        """A new epoch of ``owner`` (SINK or VISITOR), above every other."""
        for _ in range(TRIES):
            next_one = self.newest_epoch() + 1
            epoch = next_one + (next_one - owner) % 2
            if self.store.create(f"{EPOCHS}/{epoch:010d}", b""):
                return epoch
        raise DecisionError(
            f"{self.url}: others claim this table again and again: is more than one sink started on it?"
        )

    def newest_epoch(self) -> int:
        """The newest claim; 0 where there is none."""
        return max(self._epochs(), default=0)

    def is_of_another_sink(self, epoch: int) -> bool:
        """Whether a sink has claimed the table after ``epoch``."""
        return any(each > epoch and each % 2 == SINK for each in self._epochs())

    def _epochs(self) -> list[int]:
        return [int(name) for name in self.store.list(EPOCHS) if name.isdigit()]

    def put(self, manifest: Manifest) -> None:
        """Make ``manifest`` the newest."""
        self.store.put(manifest.name, [Part.of(msgspec.json.encode(manifest))])

    def put_latest(self, manifest: Manifest) -> None:
        """Repeat it under the name that never changes."""
        self.store.put(LATEST, [Part.of(msgspec.json.encode(manifest))])

    def intend(self, epoch: int, number: int, paths: Sequence[str]) -> str:
        """Note that ``paths`` are about to be written; the note's name."""
        name = f"{INTENTS}/{manifest_name(epoch, number)}"
        self.store.put(name, [Part.of(msgspec.json.encode(Intent(tuple(paths))))])
        return name

    def sweep_intents(self, manifest: Manifest) -> None:
        """Delete what sinks of epochs before that of ``manifest``, the newest, have left unfinished."""
        named = {file.path for file in manifest.files}
        for name in self.store.list(INTENTS):
            found = MANIFEST_NAME.fullmatch(name.removesuffix(TEMPORARY))
            if found is None or int(found[1]) >= manifest.epoch:
                continue
            for path in self._intended(name):
                if path not in named:
                    self.store.delete(path)
                    self.store.delete(path + TEMPORARY)
            self.store.delete(f"{INTENTS}/{name}")

    def _intended(self, name: str) -> Sequence[str]:
        """None where the note itself was being written: then no file had been begun."""
        if name.endswith(TEMPORARY):
            return ()
        return msgspec.json.decode(self.store.read(f"{INTENTS}/{name}"), type=Intent).paths

    def forget_before(self, manifest: Manifest) -> None:
        """Delete manifests and claims that nobody needs any more, of ``manifest``'s epoch and before."""
        older = sorted(name for name in self.store.list(MANIFESTS) if f"{MANIFESTS}/{name}" < manifest.name)
        for name in older[:-KEPT]:
            self.store.delete(f"{MANIFESTS}/{name}")
        for name in self.store.list(EPOCHS):
            if name.isdigit() and int(name) <= manifest.epoch - KEPT:
                self.store.delete(f"{EPOCHS}/{name}")
