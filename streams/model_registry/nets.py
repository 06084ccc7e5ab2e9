"""Announced nets."""

from __future__ import annotations

from models.manifest import Manifest
from sie_online.features import N_DENSE
from sie_online.importance.influence import NetArrays, new_net
from streams.model_registry import artifacts
from streams.model_registry.versions import Versions


class Nets(Versions[NetArrays]):
    """Nets by version."""

    def _of(self, manifest: Manifest) -> NetArrays:
        weights = artifacts.load(self._store, manifest)
        if weights.n_dense != N_DENSE:
            raise ValueError(f"version {manifest.version} takes {weights.n_dense} dense numbers, there are {N_DENSE}")
        return new_net(tuple(weights), manifest.mean_f)
