"""Announced versions of every model, as one shard or another takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from sie_online.announcements import NET, NOISE, PRIORS, Adoption, RegisteredModel
from sie_online.importance.noise.model import NoiseArrays, default_noise
from sie_online.settings import Settings
from sie_online.shard.schedule import Artifact
from streams.model_registry.nets import Nets
from streams.model_registry.noises import Noises
from streams.model_registry.priors import Priors
from streams.model_registry.versions import Versions
from streams.observe.metrics import Metrics
from streams.store import Store

ArtifactOf = Callable[[Adoption, int], Artifact | None]
"""What an adoption puts in force at a partition (``LoadedModels.get``)."""


class LoadedModels:
    """Versions of every model of ``registry``."""

    def __init__(
        self, settings: Settings, store: Store, registry: Mapping[str, RegisteredModel], metrics: Metrics
    ) -> None:
        self._models: Mapping[str, Versions[Any]] = {
            NET: Nets(store, registry[NET], metrics),
            PRIORS: Priors(settings, store, registry[PRIORS], metrics),
            NOISE: Noises(store, registry[NOISE], metrics),
        }

    def get(self, adoption: Adoption, partition: int) -> Artifact | None:
        """What ``adoption`` puts in force at ``partition``; None for the built-in model. Blocks.

        Raises:
            LookupError: it cannot be had now.
        """
        return self.version(adoption.model, adoption.version, partition)

    def noise(self, version: str) -> NoiseArrays:
        """Noise model ``version``; the default for the built-in one. Raises and blocks as ``get``."""
        return cast(NoiseArrays | None, self._models[NOISE].get(version)) or default_noise()

    def version(self, model: str, version: str, partition: int) -> Artifact | None:
        """What ``version`` of ``model`` is to ``partition``; None for the built-in model. Blocks.

        Raises:
            LookupError: it cannot be had now.
        """
        return self._models[model].for_partition(version, partition)
