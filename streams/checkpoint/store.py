"""The checkpoint store: epochs and checkpoints of every shard of one consumer group and topic.

Owns who may write (epochs) and what is loaded; does not own what a state means, nor when to checkpoint. Synchronous
and safe to call from several threads.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sie_online.contracts import CODE_VERSION
from sie_online.errors import CheckpointError, DecisionError, UnreachableError
from sie_online.settings import Settings
from sie_online.settings.operation import is_base_url
from streams.checkpoint import manifest as manifests
from streams.checkpoint.commit import KEPT_CLAIMS, Commit, check_current
from streams.checkpoint.folder import Listing, ShardFolder
from streams.checkpoint.manifest import CheckpointManifest, Position
from streams.store import Store, open_store

if TYPE_CHECKING:
    from sie_online.shard.snapshot import Snapshot

log = logging.getLogger(__name__)

LOAD_ATTEMPTS = 3
"""A predecessor may complete one commit, and delete what we were about to read, while we load."""


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    """A checkpoint, read and verified. ``next_offset`` is the first input offset that ``pieces`` do not cover."""

    next_offset: int
    epoch: int
    meta: dict[str, Any]
    pieces: dict[str, bytes | memoryview]
    fingerprint: str
    input_partitions: int
    format: int
    highest_generation: int
    code_version: str
    topic_id: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What a checkpoint cost: bytes of pack and manifest, seconds, and how many pieces had changed."""

    bytes: int
    seconds: float
    pieces: int


@dataclass
class _ShardCheckpoints:
    """What this process knows of one shard's checkpoints."""

    folder: ShardFolder
    lock: threading.Lock = field(default_factory=threading.Lock)
    last: CheckpointManifest | None = None
    packs_written: int = 0


class CheckpointStore:
    """Checkpoints of the shards of ``topic``, below ``settings.store``.

    ``input_partitions``, the number of ``topic``'s partitions, and ``topic_id``, Kafka's id of it (empty: unknown), go
    into every manifest; set the former before ``write``. ``advertised_url``, where others may send those who ask for a
    shard (empty: nowhere), goes into every claim.
    """

    def __init__(
        self, settings: Settings, topic: str, *, input_partitions: int = 0, store: Store | None = None
    ) -> None:
        self.input_partitions = input_partitions
        self.topic_id = ""
        self.advertised_url = ""
        self._topic = topic
        self._group = settings.group
        self._fingerprint = settings.fingerprint()
        self._store = store or open_store(settings.store)
        self._shards = _Shards(self._store, settings.group, topic)

    def claim(self, partition: int, at_least: int) -> int:
        """Claim the next epoch of a shard: ``at_least``, and above every epoch claimed or checkpointed before.

        No two callers, threads or processes, ever get the same one. Blocks while it syncs a small file.

        Raises:
            UnreachableError: the store does not answer.
        """
        folder = self._shards[partition].folder
        note = note_of(self.advertised_url)
        while True:
            epoch = max(1, at_least, folder.newest_epoch() + 1)
            # Claims are forgotten KEPT_CLAIMS below the newest: one as old as that may not have been ours first.
            if folder.create_claim(epoch, note) and folder.newest_epoch() < epoch + KEPT_CLAIMS:
                return epoch

    def check_current(self, partition: int, epoch: int) -> None:
        """Prove that ``epoch`` is the newest claim.

        Raises:
            StaleEpochError: a newer claim exists: stop publishing.
            UnreachableError: the store does not answer, or the claim itself is gone.
        """
        check_current(self._shards[partition].folder, epoch)

    def newest(self, partition: int) -> Position | None:
        """Epoch and next offset of the newest manifest, without reading it; None if there is none."""
        return next(iter(self._shards[partition].folder.positions()), None)

    def newest_epoch(self, partition: int) -> int:
        """Highest epoch that was ever claimed or checkpointed, 0 if none."""
        return self._shards[partition].folder.newest_epoch()

    def owner_url(self, partition: int) -> str:
        """What the newest claim's owner has said to be asked at; empty where nothing was said, or nobody owns it.

        Raises:
            UnreachableError: the store does not answer.
        """
        return url_in(self._shards[partition].folder.newest_note())

    def load(self, partition: int, only: Callable[[str], bool] = lambda _name: True) -> LoadedCheckpoint | None:
        """The newest checkpoint that is whole, None if there never was one; of its pieces those that ``only`` picks.

        Raises:
            DecisionError: there are checkpoints, but none is whole, or one is another shard's or has another format.
            UnreachableError: the store does not answer.
        """
        folder = self._shards[partition].folder
        for _ in range(LOAD_ATTEMPTS):
            positions, failure = folder.positions(), None
            if not positions:
                return None
            for position in positions:
                try:
                    return self._read(folder, position, only)
                except (CheckpointError, FileNotFoundError, UnreachableError) as error:  # one bad sector is no outage
                    log.warning("%s: checkpoint %d-%d is refused: %s", folder.path, *position, error)
                    failure = error if isinstance(error, UnreachableError) else failure
            if positions == folder.positions():
                break
        if failure is not None:
            raise failure
        raise DecisionError(
            f"{folder.path}: none of the {len(positions)} checkpoints is whole (the log says why): restore the folder"
            " from a backup, or move it away and decide with --fresh"
        )

    def write(self, partition: int, epoch: int, snapshot: Snapshot) -> Written:
        """Make ``snapshot`` the newest checkpoint, all of it or nothing. One at a time per shard.

        An owner's first snapshot, and the first after a failed write, must be full (``changed`` covers ``live``).

        Raises:
            StaleEpochError: a newer claim exists; nothing was deleted.
            UnreachableError: the store is away, full, or may not be written; the checkpoint before stands.
            CheckpointError: it would not have been whole.
        """
        shard = self._shards[partition]
        started = time.perf_counter()
        with shard.lock:
            last, shard.last = shard.last, None  # a failure loses what only this snapshot said: the next must be full
            draft = self._draft(partition, epoch, snapshot)
            try:
                found = shard.folder.listing()
                commit = Commit(shard.folder, found, draft, snapshot, _base(found, last, snapshot), shard.packs_written)
                shard.last = commit.run()
            except (UnreachableError, CheckpointError) as error:
                with suppress(UnreachableError):  # a successor may have swept away what we were writing
                    check_current(shard.folder, epoch)
                at = f"{shard.folder.path}: checkpoint at offset {draft.next_offset}"
                raise type(error)(f"{at} failed: {error}") from error
            shard.packs_written += 1
        return Written(commit.bytes_written, time.perf_counter() - started, len(snapshot.changed))

    def _draft(self, partition: int, epoch: int, snapshot: Snapshot) -> CheckpointManifest:
        if self.input_partitions < 1:
            raise CheckpointError(f"{self._topic}: the store was not told the number of input partitions")
        return CheckpointManifest(
            code_version=CODE_VERSION,
            fingerprint=self._fingerprint,
            group=self._group,
            topic=self._topic,
            topic_id=self.topic_id,
            partition=partition,
            input_partitions=self.input_partitions,
            epoch=epoch,
            highest_generation=epoch,
            next_offset=snapshot.next_offset,
            meta=manifests.encode_meta(snapshot.meta),
            packs={},
            pieces={},
        )

    def _read(self, folder: ShardFolder, position: Position, only: Callable[[str], bool]) -> LoadedCheckpoint:
        """The checkpoint at ``position``.

        Raises:
            CheckpointError, FileNotFoundError: it is not whole.
            DecisionError: it is, and belongs to another shard or has another format.
        """
        try:
            manifest = folder.read_manifest(position)
            self._check_owner(folder, position, manifest)
        except DecisionError as error:
            raise DecisionError(f"{folder.path}: checkpoint {position.epoch}-{position.offset}: {error}") from None
        pieces = folder.read_pieces({name: piece for name, piece in manifest.pieces.items() if only(name)})
        return LoadedCheckpoint(
            next_offset=manifest.next_offset,
            epoch=manifest.epoch,
            meta=manifests.decode_meta(manifest),
            pieces=pieces,
            fingerprint=manifest.fingerprint,
            input_partitions=manifest.input_partitions,
            format=manifest.format,
            highest_generation=manifest.highest_generation,
            code_version=manifest.code_version,
            topic_id=manifest.topic_id,
        )

    def _check_owner(self, folder: ShardFolder, position: Position, manifest: CheckpointManifest) -> None:
        named = (manifest.group, manifest.topic, manifest.position)
        if named != (self._group, self._topic, position) or not folder.path.endswith(f"/{manifest.partition}"):
            raise DecisionError(
                f"it is of group {manifest.group!r}, topic {manifest.topic}, partition {manifest.partition}, at"
                f" {manifest.epoch}-{manifest.next_offset}: were folders swapped, renamed or copied? Put each back in"
                " its place; no shard goes on from another's state"
            )


def note_of(url: str) -> bytes:
    """What a claim holds: host and process of its owner, for people, and on a line of its own where to ask it."""
    said = f"{socket.gethostname()} {os.getpid()}\n"
    return f"{said}{url}\n".encode() if url else said.encode()


def url_in(note: bytes) -> str:
    """The address in a claim, which whoever may write to the store can have written; empty where there is none."""
    url = note.decode("ascii", "replace").partition("\n")[2].partition("\n")[0]
    return url if is_base_url(url) else ""


class _Shards(dict[int, _ShardCheckpoints]):
    """What is known by partition, made on first use."""

    def __init__(self, store: Store, group: str, topic: str) -> None:
        super().__init__()
        self._store = store
        self._folder = f"checkpoints/{_as_folder(group)}/{_as_folder(topic)}"

    def __missing__(self, partition: int) -> _ShardCheckpoints:
        made = _ShardCheckpoints(ShardFolder(self._store, f"{self._folder}/{partition}"))
        return self.setdefault(partition, made)  # one of two racing threads wins


def _as_folder(name: str) -> str:
    """``name`` as one folder: a group may be called anything, ``..`` and ``a/b`` included."""
    return quote(name, safe="").replace(".", "%2E") if name.strip(".") == "" else quote(name, safe="")


def _base(found: Listing, last: CheckpointManifest | None, snapshot: Snapshot) -> CheckpointManifest | None:
    """The manifest to take unchanged pieces from: our own last one, if the store still has it whole as its newest."""
    if last is None or snapshot.changed.keys() == snapshot.live:
        return None
    newest = next(iter(found.positions), None)
    return last if newest == last.position and last.packs.keys() <= found.packs else None
