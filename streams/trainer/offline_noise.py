"""The noise model beside an evaluation: fitted on what the shards have heard, in step with the records; no broker.

A first fit when the log has ``trainer.noise.min_events``, then whenever it has grown by ``trainer.noise.growth``. It
applies from ``adopt_after`` records on, as a net does, and follows from the records alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.noise.gate import withdrawal
from sie_online.announcements import NOISE
from sie_online.contracts import BUILTIN_MODEL
from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings
from sie_online.shard import Shard
from streams.model_registry.loaded import LoadedModels
from streams.model_registry.noises import noise_in_force
from streams.model_registry.recorded import RegistryRecorder
from streams.store import Store
from streams.trainer.event_window import EventWindow
from streams.trainer.metrics import TrainingOutcome
from streams.trainer.noise_attempt import attempt_noise, version_of
from streams.trainer.offline_announcer import OfflineAnnouncer
from streams.trainer.plan import noise_gate_of, noise_is_due
from streams.trainer.settlement import given_up, settle, verdict_of


@dataclass(frozen=True)
class NoiseFitted:
    """One fit, begun at event time ``clock_ms`` on so many ``events``, and what became of it after ``seconds``.

    ``suspects`` are accounts that were left out of what is ordinary; ``metrics`` and ``baseline_metrics`` are what the
    candidate and the model in force showed on families of behaviour that the candidate was not fitted on. ``withdrawn``
    is why the model in force was taken back where the candidate was refused.
    """

    number: int
    clock_ms: int
    events: int
    version: str
    outcome: TrainingOutcome = TrainingOutcome.UNFIT
    reasons: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    suspects: int = 0
    seconds: float = 0.0
    offsets: Mapping[int, int] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    baseline_metrics: Mapping[str, float | None] = field(default_factory=dict)


class OfflineNoise:
    """Fits the noise model when that is due.

    Args:
        settings: ``trainer.noise``.
        adopt_after: records of its own that a partition has still to process when a model is announced to it.
        on_begin: told of a fit that begins; on_progress: what is being done, and the share of it; on_end: the result.

    Attributes:
        fitted: all fits so far.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        recorder: RegistryRecorder,
        loaded: LoadedModels,
        *,
        adopt_after: int,
        on_begin: Callable[[NoiseFitted], None],
        on_end: Callable[[NoiseFitted], None],
    ) -> None:
        self.fitted: list[NoiseFitted] = []
        self._settings = settings
        self._store = store
        self._recorder = recorder
        self._loaded = loaded
        self._adopt_after = adopt_after
        self._on_begin, self._on_end = on_begin, on_end
        self._window = EventWindow(settings)
        self._fitted_at = 0

    def heard(self, batch: RecordBatch) -> None:
        """Into the window."""
        if self._settings.trainer.noise.enabled:
            self._window.add(batch)

    def look(self, shards: Sequence[Shard]) -> None:
        """Fit if that is due, and tell the shards of a model that passes."""
        rules = self._settings.trainer.noise
        if not rules.enabled or not noise_is_due(rules, self._window.heard, self._fitted_at):
            return
        self._fitted_at = self._window.heard
        done = self._round(shards)
        self.fitted.append(done)
        self._on_end(done)

    def _round(self, shards: Sequence[Shard]) -> NoiseFitted:
        columns, registered = self._window.columns(), self._recorder.registry[NOISE]
        begun = self._begun(columns, max(shard.clock_ms for shard in shards))
        self._on_begin(begun)
        parent = registered.in_force(registered.newest)
        current = noise_in_force(self._store, registered, parent)
        try:
            found = attempt_noise(columns, self._window.spans(), current, self._settings, begun.version, parent)
        except ModelError as error:
            return replace(begun, outcome=given_up(error), reasons=(str(error),))
        announcer = OfflineAnnouncer(self._recorder, self._loaded.get, shards, self._adopt_after)
        verdict = verdict_of(found.manifest)
        withdrawn = withdrawal(verdict, noise_gate_of(self._settings)) if parent != BUILTIN_MODEL else ()
        settled = asyncio.run(
            settle(
                found.contents,
                found.manifest,
                announcer,
                self._store,
                judged_at=registered.newest,
                withdrawn=withdrawn,
            )
        )
        return replace(
            begun,
            outcome=settled.outcome,
            reasons=verdict.reasons,
            withdrawn=withdrawn,
            suspects=found.suspects,
            seconds=found.seconds,
            offsets=settled.announcement.offsets if settled.announcement else {},
            metrics=found.manifest.metrics,
            baseline_metrics=found.manifest.baseline_metrics,
        )

    def _begun(self, columns: NDArray[np.void], clock_ms: int) -> NoiseFitted:
        number = len(self.fitted) + 1
        version = version_of(columns, clock_ms, number, self._settings)
        return NoiseFitted(number, clock_ms, len(columns), version)
