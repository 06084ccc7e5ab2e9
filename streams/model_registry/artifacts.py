"""A version's files in the store: ``models/<model>/<version>.safetensors`` and ``.json``, its manifest, beside it.

The artifact is written first: whoever finds a manifest finds what it names. Candidates that the gate refused lie here
too, told apart by the verdict in their manifests alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from models.errors import ArtifactError, ManifestError
from models.forward import NetWeights
from models.manifest import TEXT_BYTES, Manifest
from models.noise.artifact import noise_of
from models.snapshot import Tensors, decode, net_of
from models.ulid import is_ulid
from sie_online.announcements import NET, NOISE
from sie_online.errors import UnreachableError
from streams.store import TEMPORARY, Part, Store

TENSORS, MANIFEST = ".safetensors", ".json"

_CANARIES: Mapping[str, Callable[[Tensors], object]] = {NET: net_of, NOISE: noise_of}
"""What has the tensors of a model score their canary."""


def folder(model: str) -> str:
    """Where the files of ``model`` lie in the store."""
    return f"models/{model}"


def artifact_name(version: str, model: str = NET) -> str:
    """Name of a version's artifact in the store, the ``uri`` of its manifest."""
    return f"{folder(model)}/{version}{TENSORS}"


def manifest_name(version: str, model: str = NET) -> str:
    """Name of a version's manifest in the store."""
    return f"{folder(model)}/{version}{MANIFEST}"


def keep(store: Store, data: bytes, manifest: Manifest) -> None:
    """Make artifact and manifest durable, in this order. Blocks.

    Raises:
        UnreachableError: the store cannot be written; what was begun has been removed where that is still possible.
    """
    version, model = manifest.version, manifest.model
    names = (artifact_name(version, model), data), (manifest_name(version, model), manifest.to_json().encode())
    try:
        for name, content in names:
            store.put(name, [Part.of(content)])
    except UnreachableError:
        delete(store, version, model)  # a full disk must not stay full of what nobody will read
        raise


def load(store: Store, manifest: Manifest) -> NetWeights:
    """The net that ``manifest`` describes, verified: size, digest, shapes, finiteness, canary. Blocks.

    Raises:
        ArtifactError: a check failed; the message names it. FileNotFoundError, UnreachableError: the store does not
            give the file.
    """
    return net_of(tensors(store, manifest))


def verify(store: Store, manifest: Manifest) -> Tensors:
    """``tensors``, and the canary where a model of this kind has one. Raises as ``load``. Blocks."""
    found = tensors(store, manifest)
    if manifest.model in _CANARIES:
        _CANARIES[manifest.model](found)
    return found


def tensors(store: Store, manifest: Manifest) -> Tensors:
    """What the artifact that ``manifest`` describes holds, verified: size, digest, shapes, finiteness. Blocks.

    Raises:
        ArtifactError: a check failed; the message names it. FileNotFoundError, UnreachableError: the store does not
            give the file.
    """
    if manifest.uri != artifact_name(manifest.version, manifest.model):
        raise ArtifactError(f"the manifest of {manifest.version} names {manifest.uri!r}, which is no place of ours")
    return decode(store.read(manifest.uri, manifest.size + 1), manifest)  # one more would be another file


def read_manifest(store: Store, version: str, model: str = NET) -> Manifest:
    """The manifest of ``version`` as stored.

    Raises:
        ManifestError: it cannot be read. FileNotFoundError: there is none. UnreachableError: the store fails.
    """
    name = manifest_name(version, model)
    manifest = Manifest.from_json(store.read(name, TEXT_BYTES + 1))
    if (manifest.version, manifest.model) != (version, model):
        raise ManifestError(f"{name} is the manifest of {manifest.model} {manifest.version}")
    return manifest


def stored(store: Store, model: str = NET) -> list[str]:
    """Versions of which there is an artifact or a manifest, oldest first."""
    names = (name.partition(".")[0] for name in store.list(folder(model)))
    return sorted({name for name in names if is_ulid(name)})


def delete(store: Store, version: str, model: str = NET) -> None:
    """Remove all files of ``version``, half-written ones too; what cannot be removed now is left to the next time."""
    for name in (manifest_name(version, model), artifact_name(version, model)):
        for file in (name, f"{name}{TEMPORARY}"):
            with suppress(UnreachableError):
                store.delete(file)
