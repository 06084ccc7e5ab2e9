"""Taking over a shard: claim its next epoch, load its newest checkpoint, check it against the log, put the state up.

Synchronous; runs in threads. Kafka's assignment says who should own a partition, the claim in the store says who does:
Kafka's own generation is no fence (a replaced static member came back with the same one).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sie_online.errors import CheckpointError, DecisionError
from sie_online.settings import Settings
from sie_online.shard import Layout, Shard
from sie_online.shard.schedule import Artifact, versions_named
from streams.checkpoint import CheckpointStore, LoadedCheckpoint
from streams.checkpoint.decisions import Overrides, check_restore, of_this_topic
from streams.checkpoint.manifest import Position
from streams.transport.topic_id import UNKNOWN
from streams.worker.leases import ShardLease
from streams.worker.recent import RecentWeights

log = logging.getLogger(__name__)


NOWHERE = -1
LISTS_BEGIN_ANEW = "lists begin anew: the checkpoint was written without recommend.enabled, or under other bounds"


@dataclass(frozen=True, slots=True)
class LogPlace:
    """What the log says of one partition: the first offset there is, the one after the last, the group's commit."""

    first: int
    end: int
    committed: int | None
    n_partitions: int
    topic_id: str = UNKNOWN
    """Kafka's id of the topic."""


VersionOf = Callable[[str, str, int], Artifact | None]
"""A version of a model, as it is to a partition (``LoadedModels.version``)."""


class Ownership:
    """Takes shards over for this process."""

    def __init__(
        self,
        settings: Settings,
        store: CheckpointStore,
        overrides: Overrides,
        version_of: VersionOf,
    ) -> None:
        self._settings = settings
        self._store = store
        self._version_of = version_of
        self._overrides = overrides

    @cached_property
    def _layout(self) -> Layout:
        return Layout.of(self._settings)

    def begins_anew(self, partition: int) -> bool:
        """Whether a person has decided that this shard, of which nothing is stored, begins at the log's begin."""
        return self._overrides.fresh and self._store.newest(partition) is None

    def stored(self, partition: int) -> LoadedCheckpoint | None:
        """The newest checkpoint's manifest; what ``check`` is to be given."""
        return self._store.load(partition, only=lambda _piece: False)

    def check(self, stored: LoadedCheckpoint | None, place: LogPlace) -> None:
        """Raise what ``take`` would raise of ``stored``, without taking anything."""
        self._begin(stored, place)

    def take(self, partition: int, generation: int, place: LogPlace) -> ShardLease:
        """Own a shard that is not in memory.

        Raises:
            DecisionError: state and log disagree, or no checkpoint can be read.
            UnreachableError: the store does not answer.
        """
        # The claim comes first: from here on no former owner's checkpoint can appear that the load has missed.
        return self._restore(partition, self._store.claim(partition, generation), place)

    def take_again(self, lease: ShardLease, place: LogPlace) -> ShardLease:
        """Own a shard again whose state stayed in memory: as it is if nobody else has written, else from the store."""
        epoch = self._store.claim(lease.partition, lease.epoch + 1)
        newest = self._store.newest(lease.partition)
        if newest != lease.saved or place.n_partitions != lease.n_partitions:
            lease.shard.close()
            return self._restore(lease.partition, epoch, place)
        lease.epoch = lease.shard.generation = epoch
        log.info("shard kept", extra=_log_fields(lease))
        return lease

    def _restore(self, partition: int, epoch: int, place: LogPlace) -> ShardLease:
        started = time.monotonic()
        stored = self._store.load(partition)
        loaded, offset = self._begin(stored, place)
        left_behind = loaded is not stored
        if loaded is not None and not self._store.topic_id:
            self._store.topic_id = loaded.topic_id
        if loaded is None:
            shard = Shard(self._settings, partition, generation=epoch, offset=offset)
            saved = None
        else:
            artifacts = self._in_force(loaded.meta, partition)
            try:
                shard = Shard.restore(
                    self._settings, partition, loaded.meta, loaded.pieces, generation=epoch, artifacts=artifacts
                )
            except CheckpointError as error:
                raise DecisionError(
                    f"partition {partition}: the checkpoint at offset {loaded.next_offset} is whole, but this version"
                    f" cannot put it up ({error}): run version {loaded.code_version}, which wrote it"
                ) from error
            shard.next_offset = offset  # an accepted gap moves it
            if shard.lists_begin_anew:
                log.warning(LISTS_BEGIN_ANEW, extra={"partition": partition, "offset": offset})
            saved = Position(loaded.epoch, loaded.next_offset)
        begin = NOWHERE if left_behind else offset
        recent = RecentWeights(self._settings.api.recent_bytes) if self._settings.api.enabled else None
        lease = ShardLease(
            shard=shard, epoch=epoch, saved=saved, n_partitions=place.n_partitions, begin=begin, recent=recent
        )
        log.info("shard restored", extra=_log_fields(lease) | {"seconds": round(time.monotonic() - started, 3)})
        return lease

    def _begin(self, stored: LoadedCheckpoint | None, place: LogPlace) -> tuple[LoadedCheckpoint | None, int]:
        """What of ``stored`` is gone on with, and from which offset."""
        loaded = of_this_topic(stored, place.topic_id, accepted=self._overrides.accept_new_topic)
        offset = check_restore(
            loaded,
            self._settings,
            self._layout,
            begin_offset=place.first,
            end_offset=place.end,
            committed=place.committed if loaded is stored else None,
            n_partitions=place.n_partitions,
            overrides=self._overrides,
        )
        return loaded, offset

    def _in_force(self, meta: Mapping[str, Any], partition: int) -> dict[str, Artifact]:
        """The versions in force, by model; without one the shard goes on, and adopts it late once it can be had."""
        found: dict[str, Artifact] = {}
        for model, version in versions_named(meta).items():
            with suppress(LookupError):
                if (artifact := self._version_of(model, version, partition)) is not None:
                    found[model] = artifact
        return found


def _log_fields(lease: ShardLease) -> dict[str, int]:
    return {"partition": lease.partition, "epoch": lease.epoch, "offset": lease.shard.next_offset}
