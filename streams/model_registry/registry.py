"""The model registry, and how one record of ``sie.models.v1``, whoever wrote it, is taken into it."""

from __future__ import annotations

from collections.abc import Mapping

from models.errors import ManifestError
from models.manifest import Manifest
from sie_online.announcements import MODELS, RegisteredModel, manifest_named

ModelRegistry = Mapping[str, RegisteredModel]
"""What was announced, by model."""


def empty_registry() -> ModelRegistry:
    """Nothing announced yet of any model."""
    return {model: RegisteredModel(model) for model in MODELS}


def take_in(registry: ModelRegistry, key: bytes | None, value: bytes | None) -> None:
    """Have the registered model that a record is about take it in; other records are ignored.

    Raises:
        ValueError: it cannot be read, or key and value disagree. Nothing has changed.
    """
    named = manifest_named(key)
    if named is not None and named[0] in registry and value is not None:
        _check_manifest(value, named)
    for registered in registry.values():
        registered.apply(key, value)


def _check_manifest(value: bytes, named: tuple[str, str]) -> None:
    try:
        manifest = Manifest.from_json(value)
    except ManifestError as error:
        raise ValueError(str(error)) from None
    if (manifest.model, manifest.version) != named:
        raise ValueError("it is the manifest of another version than its key names")
