"""From a fitted noise model to what is stored: artifact, manifest and verdict, in that order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from models.manifest import Manifest
from models.noise.artifact import NoiseCanary, encode_noise
from models.noise.gate import NoiseFigures, judge
from models.publish import Provenance
from models.settings import NoiseGate
from models.snapshot import Contents

NOISE = "noise"


def judged(
    tensors: Mapping[str, NDArray[Any]],
    canary: NoiseCanary,
    figures: tuple[NoiseFigures, NoiseFigures | None],
    gate: NoiseGate,
    origin: Provenance,
    train_offsets: dict[str, tuple[int, int]],
) -> tuple[Contents, Manifest]:
    """The artifact of ``tensors`` and its manifest with the gate's verdict. Nothing is written.

    ``figures`` are the candidate's and those of the model in force. ``origin.feature_schema_hash`` is that of the
    evidence; mean f is 1: the model has none.

    Raises:
        ArtifactError: the tensors do not fit, are not finite or do not reproduce their canary.
    """
    contents = encode_noise(tensors, canary)
    candidate, current = figures
    manifest = Manifest(
        **origin._asdict(),
        size=len(contents.data),
        sha256=contents.sha256,
        tensors=contents.tensors,
        mean_f=1.0,
        train_offsets=train_offsets,
        metrics=candidate.figures(),
        baseline_metrics={} if current is None else current.figures(),
        gate=judge(candidate, current, gate),
        model=NOISE,
    )
    return contents, manifest
