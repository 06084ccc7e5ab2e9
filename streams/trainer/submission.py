"""A candidate from a file, through the same gate as a fine-tune's: on samples of the topic within the window.

Takes an artifact with its manifest beside it, or bare tensors of an importance net. What the gate refuses is kept in
the store for a look, even if it is no net at all; what passes is announced.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.data import Ordered, ordered
from models.errors import ArtifactError, ManifestError, TrainingError
from models.forward import NetWeights, scores, weights_of
from models.gate import Judged, importances, judge
from models.inputs import Inputs, label_known, label_unknown
from models.manifest import Manifest, TensorInfo, Verdict
from models.snapshot import (
    CANARY_IDS,
    CANARY_NUMBERS,
    CANARY_SCORES,
    Canary,
    Contents,
    decode,
    encode_net,
    net_of,
    tensors_in,
)
from models.tune import offset_ranges
from models.ulid import ulid
from sie_online.announcements import Announcement
from sie_online.errors import UsageError
from sie_online.settings import Settings
from streams.model_registry import artifacts
from streams.model_registry.announcer import Announcer
from streams.store import Store
from streams.trainer.attempt import Current, current_of, origin_of
from streams.trainer.intake import Intake, WindowView
from streams.trainer.metrics import TrainerMetrics
from streams.trainer.plan import gate_of
from streams.trainer.settlement import settle

CANARIES = 32
"""Samples in each form whose scores go with bare tensors."""


class Submission(NamedTuple):
    """What was in the file: bytes, and the manifest beside it if there was one."""

    data: bytes
    manifest: Manifest | None


class Submitted(NamedTuple):
    """What became of it; ``announcement`` is None where the gate refused."""

    manifest: Manifest
    announcement: Announcement | None


def read(file: Path) -> Submission:
    """The candidate in ``file``; a manifest is the file of the same name that ends in ``.json``.

    Raises:
        UsageError: a file cannot be read, or the manifest is none.
    """
    beside = file.with_suffix(artifacts.MANIFEST)
    try:
        data = file.read_bytes()
        manifest = Manifest.from_json(beside.read_bytes()) if beside.exists() and beside != file else None
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from None
    except ManifestError as error:
        raise UsageError(f"{beside}: {error}") from None
    return Submission(data, manifest)


async def submit(settings: Settings, store: Store, given: Submission) -> Submitted:
    """Judge ``given``; announce it if it passes, keep it if not.

    Raises:
        UsageError: there are too few samples to judge by. UnreachableError: broker or store does not answer.
        OvertakenError: another version was announced meanwhile.
    """
    intake = Intake(settings, TrainerMetrics())
    await intake.read_to_the_end()
    view = await intake.view()
    if view is None:
        raise UsageError(f"{settings.topics.samples} has no samples within the window: nothing to judge by")
    try:
        order = ordered(view.samples)
    except TrainingError as error:
        raise UsageError(f"the window of {settings.topics.samples} cannot be judged by: {error}") from None
    announcer = Announcer(settings, store)
    await announcer.start()
    try:
        current = current_of(store, announcer.registered_net, announcer.registered_net.newest, announcer.in_force)
        with np.errstate(all="ignore"):  # whatever a candidate overflows, the gate looks at what comes out
            contents, manifest = judged(settings, given, view, order, current)
        settled = await settle(contents, manifest, announcer, store, judged_at=current.n)
        return Submitted(manifest, settled.announcement)
    finally:
        await announcer.stop()


def judged(
    settings: Settings, given: Submission, view: WindowView, order: Ordered, current: Current
) -> tuple[Contents, Manifest]:
    """Artifact and manifest of ``given`` under a new version, with the gate's verdict. Nothing is written."""
    parent = given.manifest.parent if given.manifest else None
    origin = origin_of(ulid(time.time_ns() // 1_000_000, secrets.token_bytes(10)), parent, view.schema_hash)
    common: dict[str, Any] = {**origin._asdict(), "metrics": {}, "baseline_metrics": {}}
    try:
        _require_schema(given, view)
        contents, net = _net(given, order)
    except ArtifactError as error:
        return _unsound(given.data, str(error), common)
    mine = current.net if current.schema_hash == view.schema_hash else None
    manifest = Manifest(
        **common | ({"metrics": given.manifest.metrics} if given.manifest else {}),
        size=len(contents.data),
        sha256=contents.sha256,
        tensors=contents.tensors,
        mean_f=net.mean_f,
        train_offsets=given.manifest.train_offsets if given.manifest else offset_ranges(view.samples),
        gate=judge(order, net, mine, gate_of(settings)),
    )
    return contents, manifest


def _require_schema(given: Submission, view: WindowView) -> None:
    if given.manifest is not None and given.manifest.feature_schema_hash != view.schema_hash:
        raise ArtifactError("its features mean something else than those of the samples: it was trained on others")


def _net(given: Submission, order: Ordered) -> tuple[Contents, Judged]:
    """Raises ArtifactError where the bytes are no sound net."""
    tensors = _tensors(given)
    weights = weights_of(tensors)
    if any(not np.isfinite(array).all() for array in weights):
        raise ArtifactError("a tensor has values that are not finite")
    has_canary = any(name in tensors for name in (CANARY_IDS, CANARY_NUMBERS, CANARY_SCORES))
    if has_canary:
        net_of(tensors)
    mean_f = given.manifest.mean_f if given.manifest else _mean_f(weights, order)
    return encode_net(weights, _canary(tensors, weights, order, has_canary)), Judged(weights, mean_f)


def _tensors(given: Submission) -> dict[str, Any]:
    if given.manifest is not None:
        return decode(given.data, given.manifest)
    return tensors_in(given.data)


def _canary(tensors: dict[str, Any], weights: NetWeights, order: Ordered, has_canary: bool) -> Canary:
    if has_canary:
        return Canary(Inputs(tensors[CANARY_IDS], tensors[CANARY_NUMBERS]), tensors[CANARY_SCORES])
    rows = np.linspace(0, order.train.stop - 1, CANARIES).astype(np.int64)
    some = order.samples.take(rows)
    if weights.n_dense != some.dense.shape[1]:
        raise ArtifactError(f"the net takes {weights.n_dense} dense numbers, samples have {some.dense.shape[1]}")
    forms = label_unknown(some, weights.buckets), label_known(some, weights.buckets)
    inputs = Inputs(*(np.concatenate(columns) for columns in zip(*forms, strict=True)))
    return Canary(inputs, scores(weights, inputs))


def _mean_f(weights: NetWeights, order: Ordered) -> float:
    """Mean importance over the training part, both forms: what a fine-tune would have stored."""
    mean = float(importances(weights, order.samples.take(order.train)).mean())
    if not (math.isfinite(mean) and mean > 0):
        raise ArtifactError(f"the mean importance over the window is {mean:g}, which no weight can be scaled by")
    return mean


def _unsound(data: bytes, reason: str, common: dict[str, Any]) -> tuple[Contents, Manifest]:
    """The bytes as they came, with a manifest that says why they are refused."""
    contents = Contents(data, hashlib.sha256(data).hexdigest(), ())
    tensors: tuple[TensorInfo, ...] = ()
    verdict = Verdict(False, (reason,))
    manifest = Manifest(
        **common,
        size=len(data),
        sha256=contents.sha256,
        tensors=tensors,
        mean_f=1.0,
        train_offsets={},
        gate=verdict,
    )
    return contents, manifest
