"""What is in force, and one fine-tune from there with its verdict: synchronous, writes nothing.

A fine-tune can be asked to stop between two steps.

Owns how a fine-tune starts from the net in force where that fits, and from nothing where it does not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from models.data import ordered
from models.errors import ArtifactError, ManifestError
from models.forward import NetWeights
from models.gate import Judged, withdrawal
from models.manifest import Manifest, Verdict
from models.net import shape_of
from models.publish import Provenance, judged
from models.settings import FineTune, Gate
from models.snapshot import Contents
from models.tune import Progress, fine_tune
from sie_online.announcements import RegisteredModel
from sie_online.contracts import BUILTIN_MODEL, CODE_VERSION
from sie_online.errors import UnreachableError
from streams.model_registry import artifacts
from streams.store import Store
from streams.trainer.intake import WindowView

log = logging.getLogger(__name__)


class Current(NamedTuple):
    """What is in force: number and version of the announcement; ``net`` is None for none, or if it does not load."""

    n: int
    version: str
    net: Judged | None
    schema_hash: str

    def withdrawn(self, verdict: Verdict, gate: Gate) -> tuple[str, ...]:
        """Why it must not stay, by the figures of a verdict on another; nothing where it may, or there is none."""
        return withdrawal(verdict, gate) if self.net is not None else ()


class Attempt(NamedTuple):
    """A judged candidate; seconds of the fine-tune and of the gate; what it ran on, by torch's name."""

    contents: Contents
    manifest: Manifest
    seconds: float
    gate_seconds: float
    device: str


def current_of(store: Store, registered: RegisteredModel, n: int, version: str) -> Current:
    """``version``, in force by announcement ``n``; with its net unless that is ``builtin``, gone or damaged."""
    nothing = Current(n, version, None, "")
    if version == BUILTIN_MODEL:
        return nothing
    try:
        manifest = Manifest.from_json(registered.manifests.get(version) or b"")
        weights = artifacts.load(store, manifest)
    except (ArtifactError, ManifestError, FileNotFoundError, UnreachableError) as error:
        log.warning("the net in force cannot be loaded, and is not gone on from: %s", error, extra={"version": version})
        return nothing
    return Current(n, version, Judged(weights, manifest.mean_f), manifest.feature_schema_hash)


def attempt(
    view: WindowView,
    current: Current,
    settings: FineTune,
    gate: Gate,
    version: str,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Attempt:
    """Fine-tune on ``view``, and judge the candidate against ``current``.

    Raises:
        TrainingError: the fine-tune was given up; its subclass says why.
        ArtifactError: the candidate's tensors are not finite or do not reproduce its canary.
    """
    begin = time.perf_counter()
    net = current.net if current.schema_hash == view.schema_hash else None
    parent = _parent(net, settings)
    if parent is None:
        settings = replace(settings, mode="full")  # there is no body yet that heads could be put on
    candidate = fine_tune(view.samples, settings, parent, on_progress=on_progress, should_stop=should_stop)
    trained = time.perf_counter()
    origin = origin_of(version, current.version if parent is not None else None, view.schema_hash)
    contents, manifest = judged(candidate, ordered(view.samples), net, gate, origin)
    return Attempt(contents, manifest, trained - begin, time.perf_counter() - trained, candidate.device)


def origin_of(version: str, parent: str | None, schema_hash: str) -> Provenance:
    """What a manifest says of where ``version`` comes from, as of now."""
    return Provenance(
        version=version,
        parent=None if parent == BUILTIN_MODEL else parent,
        uri=artifacts.artifact_name(version),
        feature_schema_hash=schema_hash,
        created_at_ms=time.time_ns() // 1_000_000,
        code_version=CODE_VERSION,
    )


def _parent(net: Judged | None, settings: FineTune) -> NetWeights | None:
    """The net to go on from, if it is of the size that the settings ask for."""
    return net.weights if net is not None and shape_of(net.weights) == settings.shape else None
