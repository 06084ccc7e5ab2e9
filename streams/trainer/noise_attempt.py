"""One attempt at a noise model: fitted on a log, judged against what is in force. Writes nothing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from models.errors import ExamplesError
from models.manifest import Manifest
from models.noise.artifact import canary_of
from models.noise.publish import judged
from models.publish import Provenance
from models.snapshot import Contents
from models.ulid import ulid
from sie_online.announcements import NOISE
from sie_online.contracts import BUILTIN_MODEL, CODE_VERSION
from sie_online.importance.noise.evidence import evidence_hash
from sie_online.importance.noise.model import NoiseArrays
from sie_online.settings import Settings
from streams.model_registry.artifacts import artifact_name
from streams.trainer.noise_fit import Columns, fit_noise
from streams.trainer.plan import noise_gate_of

RANDOM_BYTES = 10


class NoiseAttempt(NamedTuple):
    """A judged candidate; the events and accounts that it follows from, and how long it took."""

    contents: Contents
    manifest: Manifest
    events: int
    suspects: int
    seconds: float


def version_of(columns: Columns, clock_ms: int, number: int, settings: Settings) -> str:
    """A version named after all that a fit follows from, so that a repetition names it alike."""
    digest = hashlib.sha256(f"{NOISE} {number} {settings.fingerprint()} {settings.trainer.noise!r}".encode())
    for name in ("time_ms", "etype", "user_key", "item_key", "category_key"):
        digest.update(np.ascontiguousarray(columns[name]).data)
    return ulid(clock_ms, digest.digest()[:RANDOM_BYTES])


def attempt_noise(
    columns: Columns,
    spans: dict[str, tuple[int, int]],
    current: NoiseArrays,
    settings: Settings,
    version: str,
    parent: str,
    *,
    on_progress: Callable[[str, float], None] = lambda _what, _share: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> NoiseAttempt:
    """Fit on ``columns``, offsets ``spans`` of the log, and judge the candidate against ``current``, ``parent``'s.

    Raises:
        TrainingError: the fit was given up, or the log cannot be mixed into; its subclass says why.
        ArtifactError: the candidate's tensors are not finite or do not reproduce its canary.
    """
    began = time.perf_counter()
    try:
        found = fit_noise(columns, current, settings, on_progress=on_progress, should_stop=should_stop)
    except ValueError as error:  # the log cannot be mixed into
        raise ExamplesError(str(error)) from error
    rows = found.canary
    canary = canary_of(found.tensors, rows.evidence, rows.head, rows.events)
    origin = Provenance(
        version=version,
        parent=None if parent == BUILTIN_MODEL else parent,
        uri=artifact_name(version, NOISE),
        feature_schema_hash=evidence_hash(),
        created_at_ms=time.time_ns() // 1_000_000,
        code_version=CODE_VERSION,
    )
    figures = found.candidate, found.current
    contents, manifest = judged(found.tensors, canary, figures, noise_gate_of(settings), origin, spans)
    return NoiseAttempt(contents, manifest, found.events, found.suspects, time.perf_counter() - began)
