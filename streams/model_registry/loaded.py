"""Announced versions of every model, as one shard or another takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sie_online.announcements import NET, NOISE, PRIORS, Adoption, RegisteredModel
from sie_online.settings import Settings
from sie_online.shard.schedule import Artifact
from streams.model_registry.nets import Nets
from streams.model_registry.noises import Noises
from streams.model_registry.priors import Priors
from streams.observe.metrics import Metrics
from streams.store import Store

ArtifactOf = Callable[[Adoption, int], Artifact | None]
"""What an adoption puts in force at a partition (``LoadedModels.get``)."""


class LoadedModels:
    """Nets, priors and noise models of ``registry``."""

    def __init__(
        self, settings: Settings, store: Store, registry: Mapping[str, RegisteredModel], metrics: Metrics
    ) -> None:
        self.nets = Nets(store, registry[NET], metrics)
        self.noises = Noises(store, registry[NOISE], metrics)
        self._priors = Priors(settings, store, registry[PRIORS], metrics)

    def get(self, adoption: Adoption, partition: int) -> Artifact | None:
        """What ``adoption`` puts in force at ``partition``; None for the built-in model. Blocks.

        Raises:
            LookupError: it cannot be had now.
        """
        if adoption.model == NET:
            return self.nets.get(adoption.version)
        if adoption.model == NOISE:
            return self.noises.get(adoption.version)
        return self._priors.of_others(adoption.version, partition)
