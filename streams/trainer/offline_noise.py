"""The noise model beside an evaluation: fitted on what the shards have heard, in step with the records; no broker.

A first fit when the log has ``trainer.noise.min_events``, then whenever it has grown by ``trainer.noise.growth``. It
applies from ``adopt_after`` records on, as a net does, and follows from the records alone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.ulid import ulid
from sie_online.announcements import NOISE
from sie_online.importance.noise.model import NoiseArrays, default_noise
from sie_online.ingest.decoder import Decoder
from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings
from sie_online.shard import Shard
from streams.model_registry.loaded import LoadedModels
from streams.model_registry.recorded import RegistryRecorder
from streams.store import Store
from streams.trainer.metrics import TrainingOutcome
from streams.trainer.noise_attempt import attempt_noise
from streams.trainer.offline_announcer import OfflineAnnouncer
from streams.trainer.settlement import given_up, settle, verdict_of

RANDOM_BYTES = 10


@dataclass(frozen=True)
class NoiseFitted:
    """One fit, begun at event time ``clock_ms`` on so many ``events``, and what became of it after ``seconds``.

    ``suspects`` are accounts that were left out of what is ordinary; ``metrics`` and ``baseline_metrics`` are what the
    candidate and the model in force showed on families of behaviour that the candidate was not fitted on.
    """

    number: int
    clock_ms: int
    events: int
    version: str
    outcome: TrainingOutcome = TrainingOutcome.UNFIT
    reasons: tuple[str, ...] = ()
    suspects: int = 0
    seconds: float = 0.0
    offsets: Mapping[int, int] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    baseline_metrics: Mapping[str, float | None] = field(default_factory=dict)


class EventWindow:
    """The newest decoded events of all partitions, as they came."""

    def __init__(self, settings: Settings) -> None:
        self.heard = 0
        self._decoder = Decoder(settings)
        self._limit = settings.trainer.noise.window_events
        self._parts: deque[NDArray[np.void]] = deque()

    def add(self, batch: RecordBatch) -> None:
        """Decode one partition's next records, as its shard does."""
        columns = self._decoder.decode(batch)[0].columns
        self.heard += len(columns)
        self._parts.append(columns)
        while sum(map(len, self._parts)) - len(self._parts[0]) >= self._limit:
            self._parts.popleft()

    def columns(self) -> NDArray[np.void]:
        """At most ``trainer.noise.window_events`` events, in order of time."""
        columns = np.concatenate(list(self._parts))[-self._limit :]
        return columns[np.argsort(columns["time_ms"], kind="stable")]


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
        self._due = settings.trainer.noise.min_events

    def heard(self, batch: RecordBatch) -> None:
        """Into the window."""
        if self._settings.trainer.noise.enabled:
            self._window.add(batch)

    def look(self, shards: Sequence[Shard]) -> None:
        """Fit if that is due, and tell the shards of a model that passes."""
        rules = self._settings.trainer.noise
        if not rules.enabled or self._window.heard < self._due:
            return
        self._due = self._window.heard + int(rules.growth * self._window.heard)
        done = self._round(shards)
        self.fitted.append(done)
        self._on_end(done)

    def _round(self, shards: Sequence[Shard]) -> NoiseFitted:
        columns, registered = self._window.columns(), self._recorder.registry[NOISE]
        begun = self._begun(columns, max(shard.clock_ms for shard in shards))
        self._on_begin(begun)
        parent = registered.in_force(registered.newest)
        current = cast(NoiseArrays | None, self._loaded.version(NOISE, parent, 0)) or default_noise()
        try:
            found = attempt_noise(columns, current, self._settings, begun.version, parent)
        except ModelError as error:
            return replace(begun, outcome=given_up(error), reasons=(str(error),))
        announcer = OfflineAnnouncer(self._recorder, self._loaded.get, shards, self._adopt_after)
        settled = asyncio.run(
            settle(found.contents, found.manifest, announcer, self._store, judged_at=registered.newest)
        )
        return replace(
            begun,
            outcome=settled.outcome,
            reasons=verdict_of(found.manifest).reasons,
            suspects=found.suspects,
            seconds=found.seconds,
            offsets=settled.announcement.offsets if settled.announcement else {},
            metrics=found.manifest.metrics,
            baseline_metrics=found.manifest.baseline_metrics,
        )

    def _begun(self, columns: NDArray[np.void], clock_ms: int) -> NoiseFitted:
        """The version is named after all that it follows from, so that a repetition names it alike."""
        number, fingerprint = len(self.fitted) + 1, self._settings.fingerprint()
        digest = hashlib.sha256(f"{NOISE} {number} {fingerprint} {self._settings.trainer.noise!r}".encode())
        for name in ("time_ms", "etype", "user_key", "item_key", "category_key"):
            digest.update(np.ascontiguousarray(columns[name]).data)
        return NoiseFitted(number, clock_ms, len(columns), ulid(clock_ms, digest.digest()[:RANDOM_BYTES]))
