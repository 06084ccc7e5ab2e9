"""Nets as the shards take them: loaded from the store, verified, kept while they may be needed."""

from __future__ import annotations

import logging
import threading
import time

from models.errors import ModelError
from models.manifest import Manifest
from sie_online.announcements import ModelLine
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import CheckpointError
from sie_online.features import N_DENSE, schema_hash
from sie_online.importance.net import Net, new_net
from streams.checkpoint.backend import Backend
from streams.metrics import Metrics
from streams.model_line import artifacts

log = logging.getLogger(__name__)

RETRY_S = 10.0
KEPT = 4
"""Nets in memory: the one in force, the one announced, and what a rollback would want."""


class Nets:
    """Loads each version once. Methods may be called from any thread."""

    def __init__(self, backend: Backend, line: ModelLine, metrics: Metrics) -> None:
        self._backend = backend
        self._line = line
        self._metrics = metrics
        self._loaded: dict[str, Net] = {}
        self._tried: dict[str, float] = {}
        self._lock = threading.Lock()

    def get(self, version: str) -> Net | None:
        """The net of ``version``; None for the built-in model. Blocks.

        Raises:
            LookupError: it cannot be had now. That has been logged and counted; it is tried again in ``RETRY_S``.
        """
        if version == BUILTIN_MODEL:
            return None
        with self._lock:
            net = self._loaded.pop(version, None)
            refused = net is None and time.monotonic() - self._tried.get(version, -RETRY_S) < RETRY_S
        if refused:
            raise LookupError(version)
        net = net or self._load(version)
        with self._lock:
            self._loaded[version] = net  # the newest last
            while len(self._loaded) > KEPT:
                del self._loaded[next(iter(self._loaded))]
        return net

    def _load(self, version: str) -> Net:
        try:
            return self._read(version)
        except (ModelError, CheckpointError, OSError, ValueError, KeyError) as error:
            self._tried[version] = time.monotonic()
            self._metrics.model_load_failed()
            log.warning("model %s cannot be loaded; the one in force stays: %r", version, error)
            raise LookupError(version) from error

    def _read(self, version: str) -> Net:
        manifest = Manifest.from_json(self._line.manifests[version])
        if manifest.feature_schema_hash != schema_hash():
            raise ValueError(f"version {version} was trained on other features than this code computes")
        weights = artifacts.load(self._backend, manifest)
        if weights.n_dense != N_DENSE:
            raise ValueError(f"version {version} takes {weights.n_dense} dense numbers, there are {N_DENSE}")
        return new_net(tuple(weights), manifest.mean_f)
