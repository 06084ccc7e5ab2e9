"""Priors beside an evaluation: put together, judged and announced in step with the records; no broker, no clock.

The shards are at hand, so what they have learned is taken from them instead of from their checkpoints. Needs no torch.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence

from models.ulid import ulid
from models.window import Window
from sie_online.announcements import PRIORS
from sie_online.settings import Settings
from sie_online.shard import Shard
from streams.model_registry.loaded import LoadedModels
from streams.model_registry.recorded import RegistryRecorder
from streams.store import Store
from streams.trainer.metrics import TrainingOutcome
from streams.trainer.offline_announcer import OfflineAnnouncer
from streams.trainer.priors import LEAST_PARTITIONS, Cadence, ShardGains, judges, pooled, pools, suffice
from streams.trainer.settlement import settle

RANDOM_BYTES = 10


class OfflinePriors:
    """Puts together what the shards learn. A version applies from the next offset on: so it is, at the pace of most
    logs, in a fleet that announces some seconds ahead.

    Args:
        settings: ``trainer.priors``, and what judges.
        recorder: where versions are announced; they lie in ``store``.

    Attributes:
        outcomes: what became of every version so far.
    """

    def __init__(self, settings: Settings, store: Store, recorder: RegistryRecorder, loaded: LoadedModels) -> None:
        self.outcomes: list[TrainingOutcome] = []
        self._settings = settings
        self._store = store
        self._recorder = recorder
        self._loaded = loaded
        self._cadence = Cadence(settings.trainer.priors)

    def look(self, shards: Sequence[Shard], window: Window) -> None:
        """Make a version if one is due, judge it by what ``window`` holds, and tell the shards of it if it passes."""
        processed, rules = sum(shard.next_offset for shard in shards), self._settings.trainer.priors
        if not pools(self._settings) or len(shards) < LEAST_PARTITIONS or not self._cadence.is_due(processed):
            return
        newest = judges(window.samples(), rules)
        if not suffice(newest, rules):
            return
        self._cadence.done(processed)
        learned = {shard.partition: ShardGains(shard.next_offset, shard.own_gains()) for shard in shards}
        registered, now_ms = self._recorder.registry[PRIORS], time.time_ns() // 1_000_000
        version = self._named(max(shard.clock_ms for shard in shards), processed)
        made = pooled(learned, newest, self._settings, version, registered.in_force(registered.newest), now_ms)
        announcer = OfflineAnnouncer(self._recorder, self._loaded.get, shards, ahead=1)
        settled = asyncio.run(settle(made.contents, made.manifest, announcer, self._store, judged_at=registered.newest))
        self.outcomes.append(settled.outcome)

    def _named(self, clock_ms: int, processed: int) -> str:
        """The version is named after what it follows from, so that a repetition names it alike."""
        trainer, fingerprint = self._settings.trainer, self._settings.fingerprint()
        digest = hashlib.sha256(f"{PRIORS} {processed} {fingerprint} {trainer.priors!r}".encode())
        return ulid(clock_ms, digest.digest()[:RANDOM_BYTES])
