"""Priors beside the fine-tunes: when a version is due, where it comes from, what becomes of it.

Reads the newest checkpoint of every shard; the shards are not asked and not held up. Whatever fails leaves the version
in force as it was.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from functools import cached_property

from models.samples import SampleColumns
from models.ulid import ulid
from sie_online.announcements import PRIORS
from sie_online.contracts import CODE_VERSION
from sie_online.errors import DecisionError
from sie_online.features import schema_hash
from sie_online.settings import Settings
from sie_online.shard import Layout
from sie_online.shard.pooled import initial_recommender, is_learned, own_gains
from sie_online.shard.ranking import is_ranking, own_neighbourhoods
from streams.checkpoint.store import CheckpointStore
from streams.model_registry import event_log
from streams.model_registry.announcer import Announcer
from streams.store import Store
from streams.threads import in_thread
from streams.trainer.intake import Intake
from streams.trainer.metrics import TrainerMetrics, TrainingOutcome
from streams.trainer.priors import LEAST_PARTITIONS, Cadence, PooledPriors, ShardGains, judges, pooled, suffice
from streams.trainer.settlement import outcome_of, settle, verdict_of

log = logging.getLogger(__name__)

LOOK_S = 5.0


class PriorRounds:
    """Priors whenever they are due, for ever."""

    def __init__(
        self, settings: Settings, intake: Intake, announcer: Announcer, store: Store, metrics: TrainerMetrics
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._announcer = announcer
        self._store = store
        self._metrics = metrics
        self._checkpoints = CheckpointStore(settings, settings.topics.events, store=store)
        self._cadence = Cadence(settings.trainer.priors)
        self._ended_at = time.monotonic()
        self._partitions: list[int] = []

    @cached_property
    def _layout(self) -> Layout:
        return Layout.of(self._settings)

    async def run(self) -> None:
        """Raises SupersededError where another trainer has begun; nothing else ends it."""
        await self._intake.caught_up.wait()
        while True:
            outcome = await self._look()
            if outcome is not None:
                self._ended_at = time.monotonic()
                self._metrics.priors_ended(outcome)
                if outcome is not TrainingOutcome.UNREACHABLE:  # said already, and again as long as it lasts
                    log.info("priors ended", extra={"outcome": outcome})
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> TrainingOutcome | None:
        """Make a version if one is due; what became of it."""
        return await outcome_of(self._round_if_due(), "no new priors, those in force stay")

    async def _round_if_due(self) -> TrainingOutcome | None:
        if not self._partitions:
            self._partitions = list(await event_log.growth(self._settings))
        processed = await in_thread(None, self._processed)
        waited_s = time.monotonic() - self._ended_at
        if len(processed) < LEAST_PARTITIONS or not self._cadence.is_due(sum(processed.values()), waited_s):
            return None
        newest = await self._newest()
        if not suffice(newest, self._settings.trainer.priors):
            return None
        self._partitions = []  # there may be more by the next time
        outcome = await self._round(list(processed), newest)
        self._cadence.done(sum(processed.values()))  # only now: what failed is tried again at the next look
        return outcome

    def _processed(self) -> dict[int, int]:
        """Next offset of the newest checkpoint, of every partition that has one."""
        found = {partition: self._checkpoints.newest(partition) for partition in self._partitions}
        return {partition: position.offset for partition, position in found.items() if position is not None}

    async def _newest(self) -> SampleColumns | None:
        """The samples to judge by, of the features that this code computes; None while there are none."""
        view = await self._intake.view()
        of_ours = view is not None and view.schema_hash == schema_hash()
        return judges(view.samples if view and of_ours else None, self._settings.trainer.priors)

    async def _round(self, partitions: list[int], newest: SampleColumns | None) -> TrainingOutcome:
        registered = self._announcer.registry[PRIORS]
        made = await in_thread(None, self._made, partitions, newest, registered.in_force(registered.newest))
        manifest, verdict = made.manifest, verdict_of(made.manifest)
        if not verdict.passed:
            log.warning("priors refused: %s", "; ".join(verdict.reasons), extra={"version": manifest.version})
        settled = await settle(made.contents, manifest, self._announcer, self._store, judged_at=registered.newest)
        return settled.outcome

    def _made(self, partitions: list[int], newest: SampleColumns | None, parent: str) -> PooledPriors:
        start, now_ms = initial_recommender(self._settings), time.time_ns() // 1_000_000
        learned: dict[int, ShardGains] = {}
        for partition in partitions:
            loaded = self._checkpoints.load(partition, only=self._needs)
            if loaded is None:
                continue
            if loaded.fingerprint != self._settings.fingerprint() or Layout.named_by(loaded.meta) != self._layout:
                raise DecisionError(
                    f"the checkpoint of partition {partition} was made under other settings than the trainer's ('sie"
                    f" config show'), or by a version with other records than the trainer's, {CODE_VERSION}: what it"
                    " has learned cannot be put together with others"
                )
            gains = own_gains(start, loaded.pieces)
            if self._settings.recommend.enabled:
                counted = own_neighbourhoods(self._settings, loaded.meta, loaded.pieces)
                gains = gains._replace(neighbourhoods=counted)
            learned[partition] = ShardGains(loaded.next_offset, gains)
        return pooled(learned, newest, self._settings, ulid(now_ms, secrets.token_bytes(10)), parent, now_ms)

    def _needs(self, piece: str) -> bool:
        """Whether a version is made of the piece of this name."""
        return is_learned(piece) or (self._settings.recommend.enabled and is_ranking(piece))
