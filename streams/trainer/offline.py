"""The trainer beside an evaluation: the same window, fine-tune and gate, but in step with the records; no broker.

Owns when a fine-tune is due and from which offset its net applies. Both follow from the records alone, so that (on one
CPU, with one seed) a second evaluation announces the same nets at the same places. There is no clock: what the trainer
does after so many seconds (``trainer.every_s``, ``trainer.fine_tune.longest_s``) is left out.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from models.errors import ModelError
from models.manifest import Manifest
from models.samples import feature_schema_hash, from_table
from models.ulid import ulid
from sie_online.announcements import NET
from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings
from sie_online.shard import Shard
from streams.model_registry.loaded import LoadedModels
from streams.model_registry.recorded import RegistryRecorder, schedule_announced
from streams.observe.metrics import Metrics
from streams.store import Store
from streams.trainer.attempt import attempt, current_of
from streams.trainer.intake import WindowView
from streams.trainer.metrics import TrainingOutcome
from streams.trainer.offline_announcer import OfflineAnnouncer
from streams.trainer.offline_noise import NoiseFitted, OfflineNoise
from streams.trainer.offline_priors import OfflinePriors
from streams.trainer.plan import fine_tune_of, gate_of, window_of
from streams.trainer.settlement import given_up, settle, verdict_of

RANDOM_BYTES = 10


@dataclass(frozen=True)
class FineTuned:
    """One fine-tune, begun at event time ``clock_ms``, and what became of it after ``seconds``.

    ``withdrawn`` is why the net in force was taken back where the new one was refused. ``offsets`` names per partition
    from where the accepted net applies, or the built-in model in a withdrawn one's place; else it is empty. ``gate``
    has the gate's figures by kind of weights, ``metrics`` and ``baseline_metrics`` are the manifest's.
    """

    number: int
    clock_ms: int
    samples: int
    positives: int
    version: str
    outcome: TrainingOutcome = TrainingOutcome.UNFIT
    reasons: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    seconds: float = 0.0
    offsets: Mapping[int, int] = field(default_factory=dict)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    baseline_metrics: Mapping[str, float | None] = field(default_factory=dict)
    gate: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)


class OfflineTrainer:
    """A ``ModelSource`` that trains. Everything it announces lies in ``store`` afterwards, for ``recorded``.

    Args:
        settings: ``trainer`` and what of ``importance`` shapes weights.
        adopt_after: records of its own that a partition has still to process when a net is announced to it.
        net: whether to fine-tune the net and to put priors together, besides the noise model.
        on_begin: told of a fine-tune that begins; on_end: told what became of it; the same of the noise model's fits.

    Attributes:
        fine_tuned: all fine-tunes so far.
        priors: what puts together what the shards learn.
        noise: what fits the noise model.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        adopt_after: int,
        net: bool = True,
        on_begin: Callable[[FineTuned], None],
        on_end: Callable[[FineTuned], None],
        on_noise_begin: Callable[[NoiseFitted], None] = lambda _: None,
        on_noise_end: Callable[[NoiseFitted], None] = lambda _: None,
    ) -> None:
        self.fine_tuned: list[FineTuned] = []
        self._settings = settings
        self._store = store
        self._adopt_after = adopt_after
        self._net = net
        self._on_begin, self._on_end = on_begin, on_end
        self._recorder = RegistryRecorder(store)
        self._loaded = LoadedModels(settings, store, self._recorder.registry, Metrics(settings))
        self.priors = OfflinePriors(settings, store, self._recorder, self._loaded)
        self.noise = OfflineNoise(
            settings,
            store,
            self._recorder,
            self._loaded,
            adopt_after=adopt_after,
            on_begin=on_noise_begin,
            on_end=on_noise_end,
        )
        self._window = window_of(settings)
        self._schema_hash = ""
        self._fresh = 0

    def begin_with(self, data: bytes, manifest: Manifest) -> None:
        """Announce a version that applies from the first record on."""
        self._recorder.publish(data, manifest, {}, time.time_ns() // 1_000_000)

    def settled(self, samples: pa.RecordBatch) -> None:
        """Into the window."""
        self._schema_hash = feature_schema_hash(samples.schema)
        self._window.add(from_table(pa.Table.from_batches([samples])))
        self._fresh += len(samples)

    def heard(self, batch: RecordBatch) -> None:
        """Into the noise model's window."""
        self.noise.heard(batch)

    def look(self, shards: Sequence[Shard]) -> None:
        """Fit the noise model, make priors and fine-tune if that is due, and tell the shards of what passes."""
        for shard in shards:
            schedule_announced(shard, self._recorder.registry, self._loaded.get)
        self.noise.look(shards)
        if not self._net:
            return
        self.priors.look(shards, self._window)
        trainer = self._settings.trainer
        if self._fresh < trainer.every_samples or len(self._window) < trainer.min_samples:
            return
        samples = self._window.samples()
        if samples is None:
            return
        self._fresh = 0
        done = self._round(WindowView(samples, self._schema_hash), shards)
        self.fine_tuned.append(done)
        self._on_end(done)

    def _round(self, view: WindowView, shards: Sequence[Shard]) -> FineTuned:
        begun = self._begun(view, max(shard.clock_ms for shard in shards))
        registered, gate = self._recorder.registry[NET], gate_of(self._settings)
        current = current_of(self._store, registered, registered.newest, registered.in_force(registered.newest))
        self._on_begin(begun)
        began_s = time.perf_counter()
        try:
            found = attempt(view, current, fine_tune_of(self._settings), gate, begun.version)
        except ModelError as error:
            seconds = time.perf_counter() - began_s
            return replace(begun, outcome=given_up(error), reasons=(str(error),), seconds=seconds)
        seconds, verdict = time.perf_counter() - began_s, verdict_of(found.manifest)
        announcer = OfflineAnnouncer(self._recorder, self._loaded.get, shards, self._adopt_after)
        withdrawn = current.withdrawn(verdict, gate)
        outcome, announcement = asyncio.run(
            settle(found.contents, found.manifest, announcer, self._store, judged_at=current.n, withdrawn=withdrawn)
        )
        return replace(
            begun,
            outcome=outcome,
            reasons=verdict.reasons,
            withdrawn=withdrawn,
            seconds=seconds,
            offsets=announcement.offsets if announcement else {},
            metrics=found.manifest.metrics,
            baseline_metrics=found.manifest.baseline_metrics,
            gate=verdict.report,
        )

    def _begun(self, view: WindowView, clock_ms: int) -> FineTuned:
        """The version is named after all that it follows from, so that a repetition names it alike."""
        samples, number = view.samples, len(self.fine_tuned) + 1
        digest = hashlib.sha256(f"{number} {self._settings.fingerprint()} {self._settings.trainer!r}".encode())
        for column in (samples.partition, samples.offset, samples.label, samples.probability, samples.dense):
            digest.update(np.ascontiguousarray(column).data)
        version = ulid(clock_ms, digest.digest()[:RANDOM_BYTES])
        return FineTuned(number, clock_ms, len(samples), int(samples.label.sum()), version)
