"""A state in pieces, as a shard hands it over, and a disk on which a process can die; for tests of checkpoints."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from streams.checkpoint import CheckpointStore
from streams.checkpoint.folder import ShardFolder
from streams.checkpoint.manifest import CheckpointManifest
from streams.checkpoint.store import LoadedCheckpoint
from streams.store import LocalStore

Stores = Callable[..., CheckpointStore]


def files(folder: Path, kind: str) -> list[Path]:
    """Files of one kind (manifests, packs, epochs) in the test's store."""
    return sorted((folder / "store").rglob(f"{kind}/*"))


def shard_folder(folder: Path) -> ShardFolder:
    """The only shard's folder in the test's store, once something was written."""
    (manifests,) = (folder / "store").rglob("manifests")
    return ShardFolder(LocalStore(folder / "store"), str(manifests.parent.relative_to(folder / "store")))


def newest_manifest(folder: Path) -> CheckpointManifest:
    """What the last checkpoint in the test's store consists of."""
    return shard_folder(folder).read_manifest(shard_folder(folder).positions()[0])


@dataclass(frozen=True)
class FakeSnapshot:
    next_offset: int
    meta: dict[str, Any]
    changed: dict[str, bytes | memoryview]
    live: frozenset[str]


class FakeState:
    """Pieces that change at random; ``snapshot`` hands over those that changed since the last one."""

    def __init__(self, pieces: int = 6, size: int = 1000, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.size = size
        self.offset = 0
        self.pieces = {f"users/{n:05d}": self.random.randbytes(size) for n in range(pieces)}
        self.changed = set(self.pieces)

    def step(self, changes: int = 2) -> None:
        self.offset += self.random.randint(1, 100)
        for name in self.random.sample(sorted(self.pieces), changes):
            self.put(name, self.random.randbytes(self.random.randint(1, self.size)))

    def put(self, name: str, value: bytes) -> None:
        self.pieces[name] = value
        self.changed.add(name)

    def snapshot(self, *, full: bool = False) -> FakeSnapshot:
        names = set(self.pieces) if full else self.changed & self.pieces.keys()
        self.changed = set()
        changed = {name: memoryview(self.pieces[name]) for name in sorted(names)}
        return FakeSnapshot(self.offset, self.meta, changed, frozenset(self.pieces))

    @property
    def meta(self) -> dict[str, Any]:
        return {"clock_ms": self.offset * 1000, "big": 1 << 70, "share": 0.1}

    def whole(self) -> tuple[int, dict[str, Any], dict[str, bytes]]:
        """What ``load`` must give after this state's checkpoint."""
        return self.offset, self.meta, dict(self.pieces)


def whole(loaded: LoadedCheckpoint | None) -> tuple[int, dict[str, Any], dict[str, bytes]]:
    assert loaded is not None
    return loaded.next_offset, loaded.meta, loaded.pieces


class Killed(Exception):  # noqa: N818 - no error: what kill -9 looks like from within
    """The process ends here."""


class MortalStore(LocalStore):
    """A local disk under a process that dies at the ``n``-th thing it does to it: half a file counts as one."""

    def __init__(self, root: Path, dies_at: int) -> None:
        super().__init__(root)
        self.left = dies_at
        self.trace: list[str] = []

    def _tick(self, what: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed(what)
        self.trace.append(what)

    def _fill(self, file: BinaryIO, parts: Any) -> None:
        data = b"".join(parts)
        self._tick("open")
        file.write(data[: len(data) // 2])
        file.flush()
        self._tick("half")
        super()._fill(file, [data[len(data) // 2 :]])
        self._tick("written")

    def _rename(self, temporary: Path, target: Path) -> None:
        super()._rename(temporary, target)
        self._tick(f"renamed {target.suffix}")

    def _sync_folder(self, folder: Path) -> None:
        super()._sync_folder(folder)
        self._tick("synced")

    def delete(self, name: str) -> None:
        super().delete(name)
        self._tick(f"deleted {Path(name).suffix}")
