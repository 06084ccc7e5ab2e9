"""Announcements of an evaluation: into the files of its folder, and to its shards at once. No broker."""

from __future__ import annotations

import time
from collections.abc import Sequence

from models.manifest import Manifest
from sie_online.announcements import Announcement
from sie_online.shard import Shard
from streams.model_registry.loaded import ArtifactOf
from streams.model_registry.recorded import RegistryRecorder, schedule_announced


class OfflineAnnouncer:
    """An ``Announcing`` for what is announced now: from ``ahead`` records on that a shard has still to process.

    Nobody else speaks there: nothing can have been announced since a candidate was judged.
    """

    def __init__(
        self, recorder: RegistryRecorder, artifact_of: ArtifactOf, shards: Sequence[Shard], ahead: int
    ) -> None:
        self._recorder = recorder
        self._artifact_of = artifact_of
        self._shards = shards
        self._offsets = {shard.partition: shard.next_offset + ahead for shard in shards}

    async def publish(self, data: bytes, manifest: Manifest, *, judged_at: int) -> Announcement:
        """Keep a version and announce it."""
        return self._scheduled(self._recorder.publish(data, manifest, self._offsets, _now_ms()))

    async def rollback(self, version: str, *, model: str, judged_at: int) -> Announcement:
        """Announce a version of ``model`` that was announced before, or the built-in one."""
        return self._scheduled(self._recorder.rollback(model, version, self._offsets, _now_ms()))

    def _scheduled(self, announcement: Announcement) -> Announcement:
        for shard in self._shards:
            schedule_announced(shard, self._recorder.registry, self._artifact_of)
        return announcement


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
