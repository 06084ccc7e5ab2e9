"""What ``sie.models.v1`` says (compacted, one partition): which model version applies from which offset.

Per model (``net``, ``priors``) five kinds of records, told apart by their keys:

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
from typing import Literal, NamedTuple

import msgspec

from sie_online.contracts import BUILTIN_MODEL

NET = "net"
"""The importance net."""
PRIORS = "priors"
"""What all shards have learned, for each to take in what the others did (`sie_online.recommender.pooling`)."""
MODELS = (NET, PRIORS)

Reason = Literal["publish", "rollback"]


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """From these offsets on, ``version`` applies. Fields are only ever added, with a default."""

    n: int
    """Number of the announcement, from 1."""
    version: str
    """ULID of a manifest, or ``builtin``: no announced model."""
    offsets: dict[int, int]
    """First offset per input partition; 0 where a partition is not named."""
    reason: Reason
    created_at_ms: int

    def offset(self, partition: int) -> int:
        """First offset of ``partition`` to which this applies."""
        return self.offsets.get(partition, 0)


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """A shard took announcement ``n`` up at ``offset``, later than it was announced for."""

    n: int
    version: str
    partition: int
    offset: int


class Adoption(NamedTuple):
    """At ``offset``, announcement ``n`` of ``model`` puts ``version`` in force."""

    n: int
    version: str
    offset: int
    model: str = NET


def manifest_key(model: str, version: str) -> bytes:
    """Key of a version's manifest."""
    return f"{model}/{version}".encode()


def announcement_key(model: str, n: int) -> bytes:
    """Key of announcement ``n``."""
    return f"{model}/announcement/{n}".encode()


def current_key(model: str) -> bytes:
    """Key of the record that names the newest announcement."""
    return f"{model}/current".encode()


def adopted_key(model: str, partition: int, n: int) -> bytes:
    """Key of a late adoption."""
    return f"{model}/adopted/{partition}/{n}".encode()


def encode(record: Announcement | Adopted) -> bytes:
    """The record's value."""
    return msgspec.json.encode(record)


class ModelLine:
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
            ValueError: the value is not what its key says.
        """
        model, _, rest = (key or b"").decode().partition("/")
        if model != self.model or not rest:
            return
        kind, _, which = rest.partition("/")
        if value is None:
            self._forget(kind, which)
        elif kind == "announcement":
            announcement = _announcement.decode(value)
            self.announcements[announcement.n] = announcement
        elif kind == "adopted":
            adopted = _adopted.decode(value)
            self.adopted[adopted.partition, adopted.n] = adopted
        elif not which and kind != "current":
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

    def in_force(self, n: int) -> str:
        """Version that announcement ``n`` put in force; ``builtin`` before the first."""
        return self.announcements[n].version if n else BUILTIN_MODEL


_announcement = msgspec.json.Decoder(Announcement)
_adopted = msgspec.json.Decoder(Adopted)
