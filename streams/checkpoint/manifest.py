"""The manifest: one small JSON file that names everything a checkpoint consists of, and vouches for it.

Format 1 is ``{"sha256": <hex of body's bytes>, "body": {…}}``; the body's fields are those of ``Manifest``. Within a
format fields are only added; a reader refuses formats it does not know.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

import msgspec

from sie_online.errors import CheckpointError

FORMAT = 1


class Position(NamedTuple):
    """Order of manifests: by epoch, then by the next offset to consume."""

    epoch: int
    offset: int


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Where the bytes of one piece lie: ``length`` bytes from ``position`` of ``pack``, with their digest (hex)."""

    pack: str
    position: int
    length: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint: whose state, which state, and where its pieces are. ``packs`` maps names to bytes.

    ``topic_id`` is Kafka's, empty where it is not known (earlier manifests, brokers that tell none).
    """

    format: int = FORMAT
    code_version: str
    fingerprint: str
    group: str
    topic: str
    topic_id: str = ""
    partition: int
    input_partitions: int
    epoch: int
    highest_generation: int
    next_offset: int
    meta: msgspec.Raw
    packs: dict[str, int]
    pieces: dict[str, Piece]

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.next_offset)


class _Envelope(msgspec.Struct):
    sha256: str
    body: msgspec.Raw


class _Format(msgspec.Struct):
    format: int
    code_version: str = "?"


def encode_meta(meta: dict[str, Any]) -> msgspec.Raw:
    """``meta`` as JSON; numbers that JSON does not have are refused rather than turned into null.

    Raises:
        CheckpointError: ``meta`` holds NaN, an infinity, or something that is not JSON.
    """
    try:
        return msgspec.Raw(json.dumps(meta, allow_nan=False, separators=(",", ":")).encode())
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"a snapshot's meta is not JSON: {error}") from error


def decode_meta(manifest: Manifest) -> dict[str, Any]:
    """The snapshot's ``meta``."""
    meta: dict[str, Any] = json.loads(bytes(manifest.meta))
    return meta


def encode(manifest: Manifest) -> bytes:
    """The file's content."""
    body = msgspec.json.encode(manifest)
    return msgspec.json.encode(_Envelope(sha256=hashlib.sha256(body).hexdigest(), body=msgspec.Raw(body)))


def decode(data: bytes) -> Manifest:
    """Read a manifest and check its digest.

    Raises:
        CheckpointError: torn, altered, or of a format that this code does not know.
    """
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
        body = bytes(envelope.body)
        if hashlib.sha256(body).hexdigest() != envelope.sha256:
            raise CheckpointError("the manifest's checksum does not fit its content")
        header = msgspec.json.decode(body, type=_Format)
        if header.format != FORMAT:
            raise CheckpointError(
                f"format {header.format}, written by version {header.code_version}, is not the one we read, {FORMAT}"
            )
        return msgspec.json.decode(body, type=Manifest)
    except msgspec.MsgspecError as error:
        raise CheckpointError(f"the manifest is torn or no manifest: {error}") from error
