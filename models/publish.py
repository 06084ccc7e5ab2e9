"""From a candidate to what is stored: artifact, manifest and verdict, in that order."""

from __future__ import annotations

from typing import NamedTuple

from models.data import Ordered
from models.gate import Judged, judge
from models.manifest import Manifest
from models.settings import Gate
from models.snapshot import Contents, encode_net
from models.tune import Candidate


class Provenance(NamedTuple):
    """What a manifest says that no candidate knows: its ULID, its parent's, the artifact's address, and when (ms)."""

    version: str
    parent: str | None
    uri: str
    feature_schema_hash: str
    created_at_ms: int
    code_version: str


def judged(
    candidate: Candidate, order: Ordered, current: Judged | None, gate: Gate, origin: Provenance
) -> tuple[Contents, Manifest]:
    """The artifact of ``candidate`` and its manifest with the gate's verdict. Nothing is written.

    Raises:
        ArtifactError: the candidate's tensors are not finite or do not reproduce its canary.
    """
    contents = encode_net(candidate.weights, candidate.canary)
    verdict = judge(order, Judged(candidate.weights, candidate.mean_f), current, gate)
    manifest = Manifest(
        **origin._asdict(),
        size=len(contents.data),
        sha256=contents.sha256,
        tensors=contents.tensors,
        mean_f=candidate.mean_f,
        train_offsets=candidate.train_offsets,
        metrics=candidate.metrics,
        baseline_metrics=candidate.baseline_metrics,
        gate=verdict,
    )
    return contents, manifest
