"""Announced versions of every model, as one shard or another takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sie_online.announcements import NET, NOISE, PRIORS, Adoption, RegisteredModel
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

    def version(self, model: str, version: str, partition: int) -> Artifact | None:
        """What ``version`` of ``model`` is to ``partition``; None for the built-in model. Blocks.

        Raises:
            LookupError: it cannot be had now.
        """
        return self._models[model].for_partition(version, partition)
