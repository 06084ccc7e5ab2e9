"""Announced versions as shards take them: loaded from the store, verified, kept while they may be needed."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from typing import Generic, TypeVar, cast

from models.errors import ModelError
from models.manifest import Manifest
from sie_online.announcements import RegisteredModel
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import CheckpointError, UnreachableError
from sie_online.features import schema_hash
from sie_online.shard.schedule import Artifact
from streams.observe.metrics import Metrics
from streams.store import Store

log = logging.getLogger(__name__)

RETRY_S = 10.0
KEPT = 4
"""Versions in memory: the one in force, the one announced, and what a rollback would want."""

Kind = TypeVar("Kind")


class Versions(ABC, Generic[Kind]):
    """Loads each version of one model once. Methods may be called from any thread."""

    def __init__(self, store: Store, registered: RegisteredModel, metrics: Metrics) -> None:
        self._store = store
        self._registered = registered
        self._metrics = metrics
        self._loaded: dict[str, Kind] = {}
        self._tried: dict[str, float] = {}
        self._lock = threading.Lock()

    def get(self, version: str) -> Kind | None:
        """What ``version`` names; None for the built-in model. Blocks.

        Raises:
            LookupError: it cannot be had now. That has been logged and counted; it is tried again in ``RETRY_S``.
        """
        if version == BUILTIN_MODEL:
            return None
        with self._lock:
            found = self._loaded.pop(version, None)
            refused = found is None and time.monotonic() - self._tried.get(version, -RETRY_S) < RETRY_S
        if refused:
            raise LookupError(version)
        found = found or self._load(version)
        with self._lock:
            self._loaded[version] = found  # the newest last
            while len(self._loaded) > KEPT:
                del self._loaded[next(iter(self._loaded))]
        return found

    @abstractmethod
    def _of(self, manifest: Manifest) -> Kind:
        """Load what ``manifest`` describes. Raises what ``_load`` catches."""

    def for_partition(self, version: str, partition: int) -> Artifact | None:
        """What ``version`` is to ``partition``: by default the same to all. Raises and blocks as ``get``."""
        return cast(Artifact | None, self.get(version))

    def _meaning(self) -> str:
        """What must be equal in a manifest and in this code: of what the model takes in."""
        return schema_hash()

    def _fit(self, version: str) -> Manifest:
        """The manifest of ``version``, if it is of the inputs that this code computes."""
        manifest = Manifest.from_json(self._registered.manifests[version])
        if manifest.feature_schema_hash != self._meaning():
            raise ValueError(f"version {version} was trained on other inputs than this code computes")
        return manifest

    def _load(self, version: str) -> Kind:
        try:
            return self._of(self._fit(version))
        except (ModelError, CheckpointError, FileNotFoundError, UnreachableError, ValueError, KeyError) as error:
            self._tried[version] = time.monotonic()
            self._metrics.model_load_failed(self._registered.model)
            log.warning("%s %s cannot be loaded; the one in force stays: %r", self._registered.model, version, error)
            raise LookupError(version) from error
