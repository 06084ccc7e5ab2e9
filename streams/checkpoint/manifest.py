"""The manifest: one small JSON file that names everything a checkpoint consists of, and vouches for it.

Format 2 is ``{"sha256": <hex of body's bytes>, "body": {…}}``; the fields are those of ``CheckpointManifest``, and its
``meta`` names the layout of the pieces. Within a format fields are only added. Formats that are not ours are refused: a
later one is for a later version to read, format 1 did not say how its records were laid out.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, NamedTuple

import msgspec

from sie_online.contracts import CODE_VERSION, INT64_MAX
from sie_online.errors import CheckpointError, DecisionError

FORMAT = 2

MAX_BYTES = 1 << 28
"""Far beyond any manifest (a state of 100 GB has one of about this size): larger ones are not parsed."""

REPROCESS = (
    "process everything anew: stop the workers, name another group (SIE_GROUP), and start it with --fresh"
    " (docs/operating.md, 'Reprocess everything')"
)
"""The way out where a state is of no use: another group has no state, and this one's stays as it is."""

Count = Annotated[int, msgspec.Meta(ge=0, le=INT64_MAX)]


class Position(NamedTuple):
    """Order of manifests: by epoch, then by the next offset to consume."""

    epoch: int
    offset: int


class Piece(msgspec.Struct, frozen=True, array_like=True, order=True):
    """Where the bytes of one piece lie: ``length`` bytes from ``position`` of ``pack``, with their digest (hex)."""

    pack: str
    position: Count
    length: Count
    sha256: str


class CheckpointManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint: whose state, which state, and where its pieces are. ``packs`` maps names to bytes.

    ``topic_id`` is Kafka's, empty where it is not known (brokers that tell none).
    """

    format: Count = FORMAT
    code_version: str
    fingerprint: str
    group: str
    topic: str
    topic_id: str = ""
    partition: Count
    input_partitions: Count
    epoch: Count
    highest_generation: Count
    next_offset: Count
    meta: msgspec.Raw
    packs: dict[str, Count]
    pieces: dict[str, Piece]

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.next_offset)


class _Envelope(msgspec.Struct):
    sha256: str
    body: msgspec.Raw


class _Format(msgspec.Struct):
    format: Count
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


def decode_meta(manifest: CheckpointManifest) -> dict[str, Any]:
    """The snapshot's ``meta``."""
    meta: dict[str, Any] = json.loads(bytes(manifest.meta))
    return meta


def encode(manifest: CheckpointManifest) -> bytes:
    """The file's content."""
    body = msgspec.json.encode(manifest)
    return msgspec.json.encode(_Envelope(sha256=hashlib.sha256(body).hexdigest(), body=msgspec.Raw(body)))


def decode(data: bytes) -> CheckpointManifest:
    """Read a manifest and check its digest.

    Raises:
        CheckpointError: torn, altered, or no manifest.
        DecisionError: whole, and of another format than ours.
    """
    if len(data) > MAX_BYTES:
        raise CheckpointError(f"the manifest has {len(data)} bytes, and {MAX_BYTES} is the most")
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
        body = bytes(envelope.body)
        if hashlib.sha256(body).hexdigest() != envelope.sha256:
            raise CheckpointError("the manifest's checksum does not fit its content")
        _check_format(msgspec.json.decode(body, type=_Format))
        manifest = msgspec.json.decode(body, type=CheckpointManifest)
        if not isinstance(decode_meta(manifest), dict):
            raise CheckpointError("the manifest's meta is no object")
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # nested beyond any depth, or not UTF-8
        raise CheckpointError(f"the manifest is torn or no manifest: {error}") from error
    return manifest


def _check_format(header: _Format) -> None:
    if header.format == FORMAT:
        return
    by = f"it has format {header.format} and was written by version {header.code_version}"
    if header.format > FORMAT:
        raise DecisionError(f"{by}; this version, {CODE_VERSION}, reads format {FORMAT}: run the newer version")
    raise DecisionError(
        f"{by}, which did not say how its records are laid out; this version, {CODE_VERSION}, does not guess. Go back"
        f" to that version, or {REPROCESS}"
    )
