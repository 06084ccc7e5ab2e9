"""Models that were announced before, for an evaluation to repeat or to begin with."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sie_online.errors import UsageError
from sie_online.evaluation.run import ModelSource
from sie_online.settings import Settings

if TYPE_CHECKING:
    from models.manifest import Manifest
    from sie_online.announcements import Adoption
    from sie_online.shard.schedule import Artifact

LIVE = "live"


def beginning(settings: Settings, directory: Path, begin_with: tuple[bytes, Manifest]) -> ModelSource:
    """One version, from the first record on; it is announced in ``directory``, for --models to repeat."""
    from streams.model_registry.loaded import LoadedModels
    from streams.model_registry.recorded import RegistryRecorder, Repeated
    from streams.observe.metrics import Metrics
    from streams.store import LocalStore

    recorder = RegistryRecorder(store := LocalStore(directory))
    recorder.publish(*begin_with, {}, time.time_ns() // 1_000_000)
    loaded = LoadedModels(settings, store, recorder.registry, Metrics(settings))
    return Repeated(recorder.registry, loaded.get)


def repeated(settings: Settings, models: str) -> ModelSource:
    """What was announced in folder ``models``, or on the broker's topic, at the same offsets.

    Raises:
        UsageError: it cannot be read or loaded.
    """
    from streams.model_registry.loaded import LoadedModels
    from streams.model_registry.recorded import Repeated, recorded
    from streams.observe.metrics import Metrics
    from streams.store import open_store

    if models == LIVE:
        from streams.model_registry.history import read_registry

        registry, store = asyncio.run(read_registry(settings)), open_store(settings.store)
    else:
        registry, store = recorded(Path(models))
    loaded = LoadedModels(settings, store, registry, Metrics(settings))

    def artifact_of(adoption: Adoption, partition: int) -> Artifact | None:
        try:
            return loaded.get(adoption, partition)
        except LookupError:  # the log says why
            raise UsageError(f"announced model {adoption.version} cannot be loaded from {models}") from None

    return Repeated(registry, artifact_of)
