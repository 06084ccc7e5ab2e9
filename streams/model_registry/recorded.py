"""Announcements that are repeated: scheduled in fresh shards, and kept as files beside the artifacts they name.

In a folder, ``models/records.jsonl`` holds the records of ``sie.models.v1``, one ``{"key": …, "value": …}`` a line,
and ``models/<model>`` the artifacts, as in a store. An evaluation with a trainer writes such a folder, for another one
to repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pyarrow as pa

from models.errors import ModelError
from models.manifest import Manifest
from sie_online.announcements import (
    Announcement,
    Reason,
    announcement_key,
    current_key,
    encode,
    manifest_key,
)
from sie_online.errors import UnreachableError, UsageError
from sie_online.ingest.records import RecordBatch
from sie_online.shard import Shard
from streams.model_registry import artifacts
from streams.model_registry.loaded import ArtifactOf
from streams.model_registry.registry import ModelRegistry, empty_registry, take_in
from streams.store import LocalStore, Part, Store

FOLDER = "models"
RECORDS = f"{FOLDER}/records.jsonl"


class Repeated:
    """A ``ModelSource`` that repeats ``registry``: every shard hears of all of it before its first record."""

    def __init__(self, registry: ModelRegistry, artifact_of: ArtifactOf) -> None:
        self._registry = registry
        self._artifact_of = artifact_of

    def heard(self, batch: RecordBatch) -> None:
        """Nothing is learnt from them here."""

    def settled(self, samples: pa.RecordBatch) -> None:
        """Nothing is learnt from them here."""

    def look(self, shards: Sequence[Shard]) -> None:
        """Have the shards adopt what they do not know."""
        for shard in shards:
            schedule_announced(shard, self._registry, self._artifact_of)


class RegistryRecord(msgspec.Struct, frozen=True):
    """One record: the key as text, the value as the JSON it is."""

    key: str
    value: msgspec.Raw


_record = msgspec.json.Decoder(RegistryRecord)


def schedule_announced(shard: Shard, registry: ModelRegistry, artifact_of: ArtifactOf) -> None:
    """Have ``shard`` adopt what it has not heard of yet, each version where it applies.

    Raises:
        LookupError: an announced version cannot be had.
    """
    for model, registered in registry.items():
        for adoption in registered.adoptions(shard.partition, after=shard.latest_known(model)):
            shard.schedule(adoption, artifact_of(adoption, shard.partition))


class RegistryRecorder:
    """A model registry that this alone writes. The folder holds it after every announcement."""

    def __init__(self, store: Store) -> None:
        self.registry = empty_registry()
        self._store = store
        self._records: list[bytes] = []
        self._write()

    def publish(self, data: bytes, manifest: Manifest, offsets: Mapping[int, int], now_ms: int) -> Announcement:
        """Keep a version and announce it from ``offsets`` (per partition) on. Blocks.

        Raises:
            UnreachableError: the folder cannot be written.
        """
        artifacts.keep(self._store, data, manifest)
        self._append(manifest_key(manifest.model, manifest.version), manifest.to_json().encode())
        return self._announce(manifest.model, manifest.version, "publish", offsets, now_ms)

    def rollback(self, model: str, version: str, offsets: Mapping[int, int], now_ms: int) -> Announcement:
        """Announce ``version`` of ``model``, announced before, or ``builtin``, anew. Blocks.

        Raises:
            UnreachableError: the folder cannot be written.
        """
        return self._announce(model, version, "rollback", offsets, now_ms)

    def _announce(
        self, model: str, version: str, reason: Reason, offsets: Mapping[int, int], now_ms: int
    ) -> Announcement:
        n = self.registry[model].newest + 1
        announcement = Announcement(n=n, version=version, offsets=dict(offsets), reason=reason, created_at_ms=now_ms)
        self._append(announcement_key(model, n), encode(announcement))
        self._append(current_key(model), b"%d" % n)
        self._write()
        return announcement

    def _append(self, key: bytes, value: bytes) -> None:
        take_in(self.registry, key, value)
        self._records.append(msgspec.json.encode(RegistryRecord(key.decode(), msgspec.Raw(value))) + b"\n")

    def _write(self) -> None:
        self._store.put(RECORDS, [Part.of(b"".join(self._records))])


def newest_version(folder: Path, model: str) -> tuple[bytes, Manifest]:
    """Artifact and manifest of what was announced last of ``model`` in ``folder``.

    Raises:
        UsageError: nothing was, or it cannot be read.
    """
    registry, store = recorded(folder)
    registered = registry[model]
    version = registered.in_force(registered.newest)
    try:
        manifest = Manifest.from_json(registered.manifests[version])
        artifacts.verify(store, manifest)
        return store.read(manifest.uri), manifest
    except KeyError:
        raise UsageError(f"{folder}: no version of model {model} is in force there") from None
    except (ModelError, FileNotFoundError, UnreachableError) as error:
        raise UsageError(f"{folder}: {model} {version} cannot be loaded: {error}") from None


def recorded(folder: Path) -> tuple[ModelRegistry, Store]:
    """What a ``RegistryRecorder`` has left in ``folder``, which may also be given by its ``models``.

    Raises:
        UsageError: there is nothing, or it cannot be read.
    """
    root = folder.parent if folder.name == FOLDER and not (folder / RECORDS).exists() else folder
    registry, store = empty_registry(), LocalStore(root)
    try:
        for text in store.read(RECORDS).splitlines():
            record = _record.decode(text)
            take_in(registry, record.key.encode(), bytes(record.value))
    except (FileNotFoundError, UnreachableError) as error:
        raise UsageError(f"{error}: is it what 'sie evaluate --trainer' or 'sie fit-noise' wrote?") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{root / RECORDS} cannot be read: {error}") from None
    return registry, store
