"""A version's files in the store: ``models/net/<version>.safetensors`` and ``.json``, its manifest, beside it.

The artifact is written first: whoever finds a manifest finds what it names. Candidates that the gate refused lie here
too, told apart by the verdict in their manifests alone.
"""

from __future__ import annotations

from contextlib import suppress

from models.errors import ArtifactError, ManifestError
from models.forward import Weights
from models.manifest import Manifest
from models.snapshot import decode, net_of
from models.ulid import is_ulid
from sie_online.announcements import NET
from sie_online.errors import CheckpointError
from streams.checkpoint.backend import TEMPORARY, Backend, Part

FOLDER = f"models/{NET}"
TENSORS, MANIFEST = ".safetensors", ".json"


def artifact_name(version: str) -> str:
    """Name of a version's artifact in the store, the ``uri`` of its manifest."""
    return f"{FOLDER}/{version}{TENSORS}"


def manifest_name(version: str) -> str:
    """Name of a version's manifest in the store."""
    return f"{FOLDER}/{version}{MANIFEST}"


def keep(backend: Backend, data: bytes, manifest: Manifest) -> None:
    """Make artifact and manifest durable, in this order. Blocks.

    Raises:
        OSError: the store cannot be written; what was begun has been removed where that is still possible.
        CheckpointError: the store does not hold what was written.
    """
    names = (artifact_name(manifest.version), data), (manifest_name(manifest.version), manifest.to_json().encode())
    try:
        for name, content in names:
            backend.put(name, [Part.of(content)])
    except (OSError, CheckpointError):
        delete(backend, manifest.version)  # a full disk must not stay full of what nobody will read
        raise


def load(backend: Backend, manifest: Manifest) -> Weights:
    """The net that ``manifest`` describes, verified: size, digest, shapes, finiteness, canary. Blocks.

    Raises:
        ArtifactError: a check failed; the message names it. OSError: the store does not give the file.
    """
    if manifest.uri != artifact_name(manifest.version):
        raise ArtifactError(f"the manifest of {manifest.version} names {manifest.uri!r}, which is no place of ours")
    return net_of(decode(backend.read(manifest.uri), manifest))


def read_manifest(backend: Backend, version: str) -> Manifest:
    """The manifest of ``version`` as stored.

    Raises:
        ManifestError: it cannot be read. OSError: the store does not give it (FileNotFoundError: there is none).
    """
    manifest = Manifest.from_json(backend.read(manifest_name(version)))
    if manifest.version != version:
        raise ManifestError(f"{manifest_name(version)} is the manifest of {manifest.version}")
    return manifest


def stored(backend: Backend) -> list[str]:
    """Versions of which there is an artifact or a manifest, oldest first."""
    names = (name.partition(".")[0] for name in backend.list(FOLDER))
    return sorted({name for name in names if is_ulid(name)})


def delete(backend: Backend, version: str) -> None:
    """Remove all files of ``version``, half-written ones too; what cannot be removed now is left to the next time."""
    for name in (manifest_name(version), artifact_name(version)):
        for file in (name, f"{name}{TEMPORARY}"):
            with suppress(OSError):
                backend.delete(file)
