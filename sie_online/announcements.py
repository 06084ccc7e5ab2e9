"""What ``sie.models.v1`` says (compacted, one partition): which model version applies from which offset.

Per model (``net``, ``priors``, ``noise``) five kinds of records, told apart by their keys:

| key | value |
|---|---|
| ``<model>/<version>`` | manifest of an artifact, immutable (`models.manifest`) |
| ``<model>/announcement/<n>`` | ``Announcement``: n rises by one, none is ever overwritten |
| ``<model>/current`` | the newest n, written last |
| ``<model>/adopted/<partition>/<n>`` | ``Adopted``: where a shard that heard of n too late took it up |
| ``net/trainer/lease`` | name of the trainer that announces; not read here |

So the log of events and these records determine every published weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from sie_online.contracts import BUILTIN_MODEL, INT64_MAX, PARTITION_MAX

NET = "net"
"""The importance net."""
PRIORS = "priors"
"""What all shards have learned, for each to take in what the others did (`sie_online.recommender.pooling`)."""
NOISE = "noise"
"""What tells noise from ordinary events (`sie_online.importance.noise.model`)."""
MODELS = (NET, PRIORS, NOISE)

VALUE_BYTES = 1 << 20
"""A manifest takes some 3 kB; longer values are not parsed."""

_CURRENT = "current"

Reason = Literal["publish", "rollback"]
Number = Annotated[int, Meta(ge=1, le=INT64_MAX)]
Offset = Annotated[int, Meta(ge=0, le=INT64_MAX)]
Partition = Annotated[int, Meta(ge=0, le=PARTITION_MAX)]
Version = Annotated[str, Meta(pattern=r"\A[0-9A-Za-z]{1,64}\Z")]
"""A ULID or ``builtin``; it becomes part of a file's name."""


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """From these offsets on, ``version`` applies. Fields are only ever added, with a default."""

    n: Number
    """Number of the announcement, from 1."""
    version: Version
    """ULID of a manifest, or ``builtin``: no announced model."""
    offsets: dict[Partition, Offset]
    """First offset per input partition; 0 where a partition is not named."""
    reason: Reason
    created_at_ms: Annotated[int, Meta(ge=0, le=INT64_MAX)]

    def offset(self, partition: int) -> int:
        """First offset of ``partition`` to which this applies."""
        return self.offsets.get(partition, 0)


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """A shard took announcement ``n`` up at ``offset``, later than it was announced for."""

    n: Number
    version: Version
    partition: Partition
    offset: Offset


class Adoption(NamedTuple):
    """At ``offset``, announcement ``n`` of ``model`` puts ``version`` in force."""

    n: int
    version: str
    offset: int
    model: str = NET


def manifest_key(model: str, version: str) -> bytes:
    """Key of a version's manifest."""
    return f"{model}/{version}".encode()


def manifest_named(key: bytes | None) -> tuple[str, str] | None:
    """Model and version of a manifest's key; None for keys of another kind. Raises ``ValueError`` if it is no text."""
    model, _, version = (key or b"").decode().partition("/")
    return (model, version) if version and "/" not in version and version != _CURRENT else None


def announcement_key(model: str, n: int) -> bytes:
    """Key of announcement ``n``."""
    return f"{model}/announcement/{n}".encode()


def current_key(model: str) -> bytes:
    """Key of the record that names the newest announcement."""
    return f"{model}/{_CURRENT}".encode()


def adopted_key(model: str, partition: int, n: int) -> bytes:
    """Key of a late adoption."""
    return f"{model}/adopted/{partition}/{n}".encode()


def encode(record: Announcement | Adopted) -> bytes:
    """The record's value."""
    return msgspec.json.encode(record)


class RegisteredModel:
    """All that was said of one model, record by record."""

    def __init__(self, model: str = NET) -> None:
        self.model = model
        self.manifests: dict[str, bytes] = {}
        """Manifest (JSON) by version."""
        self.announcements: dict[int, Announcement] = {}
        """By number."""
        self.adopted: dict[tuple[int, int], Adopted] = {}
        """By partition and number."""

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Take one record in; those of other models, and of kinds unknown yet, are ignored.

        Raises:
            ValueError: the value is not what its key says. Nothing has changed.
        """
        model, _, rest = (key or b"").decode().partition("/")
        if model != self.model or not rest:
            return
        kind, _, which = rest.partition("/")
        if value is None:
            self._forget(kind, which)
        elif len(value) > VALUE_BYTES:
            raise ValueError(f"a value of {len(value)} bytes; {VALUE_BYTES} are read")
        elif kind == "announcement":
            announcement = _decoded(_announcement, value)
            _require(which == str(announcement.n))
            self.announcements[announcement.n] = announcement
        elif kind == "adopted":
            adopted = _decoded(_adopted, value)
            _require(which == f"{adopted.partition}/{adopted.n}")
            self.adopted[adopted.partition, adopted.n] = adopted
        elif not which and kind != _CURRENT:
            self.manifests[kind] = value

    def _forget(self, kind: str, which: str) -> None:
        if kind == "announcement":
            self.announcements.pop(int(which), None)
        elif not which:
            self.manifests.pop(kind, None)

    @property
    def newest(self) -> int:
        """Number of the newest announcement, 0 before the first."""
        return max(self.announcements, default=0)

    def adoptions(self, partition: int, after: int = 0) -> Iterator[Adoption]:
        """What ``partition`` is to adopt beyond announcement ``after``, in order, each where it truly applies."""
        for n in sorted(self.announcements):
            if n > after:
                announcement, late = self.announcements[n], self.adopted.get((partition, n))
                offset = late.offset if late else announcement.offset(partition)
                yield Adoption(n, announcement.version, offset, self.model)

    def adopted_by(self, partition: int, offset: int) -> int:
        """Number of the announcement that applies to ``offset`` of ``partition``; 0: none does."""
        return max((one.n for one in self.adoptions(partition) if one.offset <= offset), default=0)

    def in_force(self, n: int) -> str:
        """Version that announcement ``n`` put in force; ``builtin`` before the first."""
        return self.announcements[n].version if n else BUILTIN_MODEL


Record = TypeVar("Record")


def _decoded(decoder: msgspec.json.Decoder[Record], value: bytes) -> Record:
    try:
        return decoder.decode(value)
    except RecursionError:  # of brackets within brackets; msgspec's other errors are ValueErrors
        raise ValueError("the value is nested too deeply") from None


def _require(agree: bool) -> None:
    if not agree:
        raise ValueError("key and value disagree")


_announcement = msgspec.json.Decoder(Announcement)
_adopted = msgspec.json.Decoder(Adopted)
