"""Announced noise models."""

from __future__ import annotations

import logging

from models.errors import ModelError
from models.manifest import Manifest
from models.noise.artifact import noise_of
from sie_online.announcements import RegisteredModel
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import UnreachableError
from sie_online.importance.noise.evidence import N_SIGNALS, evidence_hash
from sie_online.importance.noise.model import NoiseArrays, default_noise, new_noise
from streams.model_registry import artifacts
from streams.model_registry.versions import Versions
from streams.store import Store

log = logging.getLogger(__name__)


def noise_in_force(store: Store, registered: RegisteredModel, version: str) -> NoiseArrays:
    """Noise model ``version``; the default for the built-in one, and where it is gone, damaged or of other evidence."""
    if version != BUILTIN_MODEL:
        try:
            manifest = Manifest.from_json(registered.manifests.get(version) or b"")
            if manifest.feature_schema_hash == evidence_hash():
                return _arrays(store, manifest)
            log.warning("the noise model in force is of other evidence than this code's", extra={"version": version})
        except (ModelError, FileNotFoundError, UnreachableError, ValueError) as error:
            log.warning("the noise model in force cannot be loaded: %s", error, extra={"version": version})
    return default_noise()


def _arrays(store: Store, manifest: Manifest) -> NoiseArrays:
    return new_noise(noise_of(artifacts.tensors(store, manifest)), N_SIGNALS)


class Noises(Versions[NoiseArrays]):
    """Noise models by version."""

    def _meaning(self) -> str:
        return evidence_hash()

    def _of(self, manifest: Manifest) -> NoiseArrays:
        return _arrays(self._store, manifest)
