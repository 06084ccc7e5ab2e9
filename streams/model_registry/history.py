"""The model registry for people: every version with what became of it, and two versions side by side. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import ArtifactError, ManifestError
from models.manifest import Manifest
from sie_online.announcements import NET, Announcement, RegisteredModel
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import UnreachableError, UsageError
from sie_online.settings import Settings
from streams.model_registry import artifacts
from streams.model_registry.reader import RegistryReader
from streams.store import Store

CURRENT = "current"
CANARY = "canary."
"""Names of tensors that are no part of a model begin so."""
LEAST_LETTERS = 4
"""A version may be named by so many of its first or last letters, if only one has them."""


@dataclass(frozen=True)
class VersionEntry:
    """One version. ``stored``: its artifact lies in the store; ``late``: shards that adopted it late."""

    version: str
    state: str
    manifest: Manifest | None
    announcements: tuple[Announcement, ...]
    late: int
    stored: bool


async def read_registered(settings: Settings, model: str = NET) -> RegisteredModel:
    """Everything announced of ``model`` so far; raises as ``read_registry``."""
    return (await read_registry(settings))[model]


async def read_registry(settings: Settings, *, strict: bool = False) -> Mapping[str, RegisteredModel]:
    """Everything announced so far, by model.

    Raises:
        UnreachableError: no broker answers. TopicError: there is no such topic.
        MessageError: with ``strict``, a record cannot be read.
    """
    reader = RegistryReader(settings, strict=strict)
    await reader.start()
    try:
        await reader.catch_up()
    finally:
        await reader.stop()
    return reader.registry


def entries(registered: RegisteredModel, store: Store) -> list[VersionEntry]:
    """Every version announced or stored, and ``builtin``, the newest first."""
    stored = set(artifacts.stored(store, registered.model))
    versions = stored | registered.manifests.keys() | {one.version for one in registered.announcements.values()}
    ordered = sorted(versions - {BUILTIN_MODEL}, reverse=True)
    return [_entry(registered, store, version, version in stored) for version in [*ordered, BUILTIN_MODEL]]


def _entry(registered: RegisteredModel, store: Store, version: str, stored: bool) -> VersionEntry:
    announcements = tuple(one for _, one in sorted(registered.announcements.items()) if one.version == version)
    manifest = _manifest(registered, store, version)
    late = sum(one.version == version for one in registered.adopted.values())
    return VersionEntry(
        version, _state(registered, version, announcements, manifest), manifest, announcements, late, stored
    )


def _state(
    registered: RegisteredModel, version: str, announcements: Iterable[Announcement], manifest: Manifest | None
) -> str:
    if registered.in_force(registered.newest) == version:
        return "in force"
    if tuple(announcements):
        return "announced"
    if version == BUILTIN_MODEL:
        return "before any"
    return "refused" if manifest and manifest.gate and not manifest.gate.passed else "not announced"


def _manifest(registered: RegisteredModel, store: Store, version: str) -> Manifest | None:
    with suppress(ManifestError):
        if version in registered.manifests:
            return Manifest.from_json(registered.manifests[version])
        with suppress(FileNotFoundError, UnreachableError):
            return artifacts.read_manifest(store, version, registered.model)
    return None


def named(found: Iterable[VersionEntry], name: str) -> VersionEntry:
    """The entry that ``name`` means: a version, ``current``, or enough of a version's beginning or end.

    Raises:
        UsageError: none is meant, or several are.
    """
    every = list(found)
    wanted = name.upper()
    meant = [entry for entry in every if entry.version == name or (name == CURRENT and entry.state == "in force")]
    if not meant and len(name) >= LEAST_LETTERS:
        meant = [entry for entry in every if entry.version.startswith(wanted) or entry.version.endswith(wanted)]
    if len(meant) == 1:
        return meant[0]
    problem = "is no version" if not meant else f"may mean {', '.join(entry.version for entry in meant)}"
    raise UsageError(f"{name} {problem}: 'sie model list' shows what there is")


def checked(store: Store, manifest: Manifest) -> str:
    """Whether the artifact is there and sound: ``sound``, or what is wrong with it."""
    try:
        artifacts.verify(store, manifest)
    except (ArtifactError, FileNotFoundError, UnreachableError) as error:
        return str(error)
    return "sound"


def difference(store: Store, a: VersionEntry, b: VersionEntry) -> dict[str, Any]:
    """Figures of both beside each other, and how far their tensors are apart where both can be loaded."""
    one, other = _required(a), _required(b)
    return {
        "versions": [a.version, b.version],
        "created_at_ms": [one.created_at_ms, other.created_at_ms],
        "mean_f": [one.mean_f, other.mean_f],
        "metrics": _beside(one.metrics, other.metrics),
        "gate": {
            kind: _beside(*(_report(each, kind) for each in (one, other))) for kind in ("candidate", "importance")
        },
        "tensors": _apart(store, one, other),
    }


def _required(entry: VersionEntry) -> Manifest:
    if entry.manifest is None:
        raise UsageError(f"{entry.version} has no manifest: there is nothing to compare")
    return entry.manifest


def _report(manifest: Manifest, kind: str) -> dict[str, float | None]:
    return manifest.gate.report.get(kind, {}) if manifest.gate else {}


def _beside(a: dict[str, float | None], b: dict[str, float | None]) -> dict[str, list[float | None]]:
    return {name: [a.get(name), b.get(name)] for name in sorted(a.keys() | b.keys())}


def _apart(store: Store, a: Manifest, b: Manifest) -> dict[str, Any]:
    try:
        one, other = artifacts.verify(store, a), artifacts.verify(store, b)
    except (ArtifactError, FileNotFoundError, UnreachableError) as error:
        return {"not_compared": str(error)}
    names = [name for name in one if name in other and not name.startswith(CANARY)]
    return {name: _distance(one[name], other[name]) for name in names}


def _distance(a: NDArray[Any], b: NDArray[Any]) -> dict[str, Any]:
    """Norm of the difference as a share of the first's norm; null where shapes differ."""
    shapes = [list(a.shape), list(b.shape)]
    if shapes[0] != shapes[1]:
        return {"shapes": shapes, "relative_distance": None}
    norm = float(np.linalg.norm(a.astype(np.float64)))
    moved = float(np.linalg.norm(a.astype(np.float64) - b))
    return {"shapes": shapes, "relative_distance": moved / norm if norm else moved}
