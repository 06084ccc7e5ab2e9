"""Announced noise models."""

from __future__ import annotations

from models.manifest import Manifest
from models.noise.artifact import noise_of
from sie_online.importance.noise.evidence import N_SIGNALS, evidence_hash
from sie_online.importance.noise.model import NoiseArrays, new_noise
from streams.model_registry import artifacts
from streams.model_registry.versions import Versions


class Noises(Versions[NoiseArrays]):
    """Noise models by version."""

    def _meaning(self) -> str:
        return evidence_hash()

    def _of(self, manifest: Manifest) -> NoiseArrays:
        return new_noise(noise_of(artifacts.tensors(self._store, manifest)), N_SIGNALS)
