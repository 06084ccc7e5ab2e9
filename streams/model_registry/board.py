"""Every model's story for a status page: what was announced and why, and what the gate refused, by the store."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

from models.errors import ManifestError
from models.manifest import Manifest
from sie_online.announcements import RegisteredModel
from sie_online.errors import UnreachableError
from streams.model_registry import artifacts
from streams.observe.page.models import SHOWN, Adopted, ModelStory, model_stories
from streams.store import Store

log = logging.getLogger(__name__)

NOTHING_ADOPTED: Mapping[str, Adopted] = {}


class ModelBoard:
    """Reads ``registry``, which somebody else follows, and the manifests that ``store`` holds beside it."""

    def __init__(self, registry: Mapping[str, RegisteredModel], store: Store) -> None:
        self._registry = registry
        self._store = store
        self._refused: dict[str, list[Manifest]] = {}

    def stories(self, adopted: Mapping[str, Adopted] = NOTHING_ADOPTED) -> list[ModelStory]:
        """As of now, and of the last ``look``; ``adopted``: what is in force in which partition, by model."""
        return model_stories(self._registry, self._refused, adopted)

    async def look(self) -> None:
        """See what the store holds that was not announced. A store that does not answer leaves what was known."""
        for model, registered in self._registry.items():
            announced = {announcement.version for announcement in registered.announcements.values()}
            try:
                self._refused[model] = await asyncio.to_thread(self._refused_of, model, announced)
            except UnreachableError as error:
                log.debug("refused versions cannot be listed: %s", error)

    def _refused_of(self, model: str, announced: Collection[str]) -> list[Manifest]:
        versions = [version for version in artifacts.stored(self._store, model) if version not in announced][-SHOWN:]
        known = {manifest.version: manifest for manifest in self._refused.get(model, ())}
        found = [known.get(version) or self._manifest(model, version) for version in versions]
        return [manifest for manifest in found if manifest is not None and manifest.gate and not manifest.gate.passed]

    def _manifest(self, model: str, version: str) -> Manifest | None:
        try:
            return artifacts.read_manifest(self._store, version, model)
        except (ManifestError, FileNotFoundError):
            return None  # half-written, perhaps: looked at again
