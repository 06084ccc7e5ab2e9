"""One shard's folder in the store: how its files are named and listed. No policy: who may write is ``commit``'s."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sie_online.contracts import INT64_MAX
from sie_online.errors import CheckpointError, DecisionError
from sie_online.shard.scratch import Spool
from streams.checkpoint import manifest as manifests
from streams.checkpoint.manifest import REPROCESS, CheckpointManifest, Piece, Position
from streams.store import TEMPORARY, Part, Store

CLAIM = re.compile(r"[0-9]{10}")
MANIFEST = re.compile(r"([0-9]{10})-([0-9]{20})\.json")
PACK = re.compile(r"([0-9]{10})-([0-9]{6,18})-[0-9a-f]{16}\.pack")
LITTER = re.compile(r"([0-9]{10})-.*" + re.escape(TEMPORARY))
"""Names of our files; whatever is named otherwise is none of ours, and neither read nor deleted."""

READ_AT_ONCE = 1 << 26
"""Bytes of a pack."""
MOST_IN_MEMORY = 1 << 26
"""Bytes of pieces that were read; further ones wait on disk until they are asked for."""

MOST_OF_A_NOTE = 4_096
"""Bytes of a claim that are read."""

MAX_EPOCH = 10**10 - 1
"""The largest that a name has room for: three centuries of one claim a second."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What lay in a shard's folder at one moment: claimed epochs; positions of manifests, valid or not, newest first;
    names of packs; epoch and full name of every file that a crash left half written.
    """

    claims: frozenset[int]
    positions: tuple[Position, ...]
    packs: frozenset[str]
    litter: tuple[tuple[int, str], ...]

    @property
    def newest_epoch(self) -> int:
        """Highest epoch that was ever claimed or checkpointed here, 0 if none."""
        return max([0, *self.claims, *(position.epoch for position in self.positions)])


class ShardFolder:
    """``<path>/{epochs/<epoch>, manifests/<epoch>-<offset>.json, packs/<epoch>-<n>-<sha>.pack}``."""

    def __init__(self, store: Store, path: str) -> None:
        self.store = store
        self.path = path

    def listing(self) -> Listing:
        """All that is there, in three questions to the store: a bucket charges for each."""
        manifests, packs = self._names("manifests"), self._names("packs")
        litter = [*self._litter("manifests", manifests), *self._litter("packs", packs)]
        return Listing(
            frozenset(self.claims()),
            tuple(_positions(manifests)),
            frozenset(filter(PACK.fullmatch, packs)),
            tuple(litter),
        )

    def claims(self) -> list[int]:
        """Epochs that were claimed and not forgotten, unordered."""
        return [int(name) for name in self._names("epochs") if CLAIM.fullmatch(name)]

    def create_claim(self, epoch: int, note: bytes) -> bool:
        """Claim ``epoch``; False if someone has it.

        Raises:
            DecisionError: no epoch is left.
        """
        if epoch > MAX_EPOCH:
            raise DecisionError(
                f"{self.path}: no epoch is left above {MAX_EPOCH}: some file in 'epochs' or 'manifests' has a name"
                f" that no worker gave it. Find it and move it away, or {REPROCESS}"
            )
        return self.store.create(f"{self.path}/epochs/{epoch:010d}", note)

    def newest_epoch(self) -> int:
        """Highest epoch that was ever claimed or checkpointed here, 0 if none."""
        return self.listing().newest_epoch

    def newest_note(self) -> bytes:
        """What the newest claim holds, as far as it is short; empty if there is none."""
        newest = max(self.claims(), default=0)
        with suppress(FileNotFoundError):
            return self.store.read(f"{self.path}/epochs/{newest:010d}", MOST_OF_A_NOTE)
        return b""

    def positions(self) -> list[Position]:
        """Positions of the manifests there are, valid or not, newest first."""
        return _positions(self._names("manifests"))

    def read_manifest(self, position: Position) -> CheckpointManifest:
        """Raises ``CheckpointError`` where it is torn, ``FileNotFoundError`` where it is gone."""
        return manifests.decode(self.store.read(self._manifest(position)))

    def put_manifest(self, manifest: CheckpointManifest) -> int:
        """Make ``manifest`` the newest; returns its bytes."""
        data = manifests.encode(manifest)
        self.store.put(self._manifest(manifest.position), [Part.of(data)])
        return len(data)

    def put_pack(self, epoch: int, number: int, parts: Sequence[Part]) -> str:
        """Write ``parts`` as one immutable pack; returns its name."""
        digest = Part.of("".join(part.sha256 for part in parts).encode()).sha256
        name = f"{epoch:010d}-{number:06d}-{digest[:16]}.pack"
        self.store.put(f"{self.path}/packs/{name}", parts)
        return name

    def read_pieces(self, pieces: Mapping[str, Piece]) -> dict[str, bytes | memoryview]:
        """The bytes of ``pieces``, each checked against its digest; of every pack what lies between them is read once.

        Those of a state that is too large for memory lie in scratch files.

        Raises:
            CheckpointError: a piece is cut short or altered, or its pack is gone.
            UnreachableError: the store does not answer, or the disk has no room for scratch files.
        """
        found, spool, in_memory = dict[str, bytes | memoryview](), Spool(None), 0
        for pack, wanted in _spans(pieces):
            for name, part in self._slices(pack, wanted):
                in_memory += len(part)
                found[name] = part if in_memory <= MOST_IN_MEMORY else _spooled(spool, part)
        return found

    def delete_manifest(self, position: Position) -> None:
        self.store.delete(self._manifest(position))

    def delete_pack(self, name: str) -> None:
        self.store.delete(f"{self.path}/packs/{name}")

    def delete_claim(self, epoch: int) -> None:
        self.store.delete(f"{self.path}/epochs/{epoch:010d}")

    def _manifest(self, position: Position) -> str:
        return f"{self.path}/manifests/{position.epoch:010d}-{position.offset:020d}.json"

    def _names(self, folder: str) -> Collection[str]:
        return self.store.list(f"{self.path}/{folder}")

    def _litter(self, folder: str, names: Collection[str]) -> Iterator[tuple[int, str]]:
        for name in names:
            if ours := LITTER.fullmatch(name):
                yield int(ours[1]), f"{self.path}/{folder}/{name}"

    def _slices(self, pack: str, pieces: Mapping[str, Piece]) -> Iterator[tuple[str, bytes]]:
        if not PACK.fullmatch(pack):
            raise CheckpointError(f"{pack!r} is no name of a pack")
        start = min(piece.position for piece in pieces.values())
        end = max(piece.position + piece.length for piece in pieces.values())
        try:
            data = self.store.read(f"{self.path}/packs/{pack}", end - start, start)
        except FileNotFoundError as error:
            raise CheckpointError(f"pack {pack} is gone") from error
        for name, piece in pieces.items():
            part = data[piece.position - start : piece.position - start + piece.length]
            if hashlib.sha256(part).hexdigest() != piece.sha256:
                raise CheckpointError(f"piece {name!r} of pack {pack} is cut short or altered")
            yield name, part


def _positions(names: Collection[str]) -> list[Position]:
    ours = filter(None, map(MANIFEST.fullmatch, names))
    found = (Position(*map(int, name.groups())) for name in ours)
    return sorted((position for position in found if position.offset <= INT64_MAX), reverse=True)


def _spans(pieces: Mapping[str, Piece]) -> Iterator[tuple[str, dict[str, Piece]]]:
    """Packs and pieces that lie near each other in them: `READ_AT_ONCE`, or a single larger one."""
    span = dict[str, Piece]()
    for name, piece in sorted(pieces.items(), key=lambda item: item[1]):
        first = next(iter(span.values()), piece)
        if piece.pack != first.pack or piece.position + piece.length - first.position > READ_AT_ONCE:
            yield first.pack, span
            span = {}
        span[name] = piece
    if span:
        yield next(iter(span.values())).pack, span


def _spooled(spool: Spool, part: bytes) -> memoryview:
    waiting = spool.take(len(part)).data
    waiting[:] = part
    return waiting


def pack_epoch(name: str) -> int:
    """The epoch under which pack ``name`` was written."""
    return int(name.split("-")[0])


def pack_number(name: str) -> int:
    """Which of its writer's packs ``name`` is: a later one has a higher number."""
    return int(name.split("-")[1])
