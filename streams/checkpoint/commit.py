"""The commit of one checkpoint: ordered steps, each of which may be the last thing this process ever does.

Owns the order and what it promises; names and bytes are ``ShardFolder``'s, what to rewrite is ``space``'s.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from sie_online.errors import CheckpointError, DecisionError, StaleEpochError, UnreachableError
from streams.checkpoint.folder import Listing, ShardFolder, pack_epoch
from streams.checkpoint.manifest import CheckpointManifest, Piece
from streams.checkpoint.space import pieces_to_move
from streams.store import Part

if TYPE_CHECKING:
    from sie_online.shard.snapshot import Snapshot

log = logging.getLogger(__name__)

KEPT_CLAIMS = 16
"""Claims below the newest that are not forgotten: a rival who read the list before they were deleted must not be able
to create one of them again and believe it new."""


def check_current(folder: ShardFolder, epoch: int, listing: Listing | None = None) -> None:
    """Prove that ``epoch`` is still the newest claim, by ``listing`` where one was just made.

    One question to the store: every checkpoint's epoch was claimed before, and the newest claim is never forgotten.

    Raises:
        StaleEpochError: a newer one exists.
        UnreachableError: not even our own exists: the store was emptied under us.
    """
    claims = folder.claims() if listing is None else listing.claims
    newest = max(claims, default=0) if listing is None else listing.newest_epoch
    if newest > epoch:
        raise StaleEpochError(f"{folder.path}: epoch {newest} has been claimed; this owner, epoch {epoch}, must stop")
    if epoch not in claims:
        raise UnreachableError(f"{folder.path}: the claim of epoch {epoch} is gone; the store was emptied or replaced")


@dataclass
class Commit:
    """Makes one snapshot durable under ``epoch``. ``draft`` is its manifest without packs and pieces; ``base`` the
    manifest whose unchanged pieces it takes over, None for a full snapshot; ``found`` what lay in ``folder`` just now:
    whatever comes there later is this commit's, or of a later epoch and not ours to touch. Call ``run`` once.
    """

    folder: ShardFolder
    found: Listing
    draft: CheckpointManifest
    snapshot: Snapshot
    base: CheckpointManifest | None
    number: int
    bytes_written: int = 0
    _pack: str = ""

    def run(self) -> CheckpointManifest:
        """Raises ``StaleEpochError``, ``CheckpointError`` or ``UnreachableError``. ``load`` then gives the old state,
        or the new one if the manifest was already durable.
        """
        # 1. Nothing is written by an owner who knows of a newer one. Dying here: the old checkpoint stands.
        check_current(self.folder, self.draft.epoch, self.found)
        # 2. Changed pieces, and live ones that are due to be written anew. Dying here: a pack that nobody names, or
        #    half of one; the next commit of whoever owns the shard then deletes it.
        older = whole_before(self.folder, self.found, self.draft)
        packs, pieces = self._write_pack(older)
        # 3. The manifest: from its rename on, a restart loads the new state. Dying before: as after 2. Dying here:
        #    the new checkpoint stands, and one superseded manifest too many, which the next commit deletes.
        try:
            manifest = self._write_manifest(packs, pieces)
        except UnreachableError:
            self._drop_pack()
            raise
        # 4. A newer owner may have come since 1. Then it may read what we would sweep, and we delete nothing. (That our
        #    manifest got in does no harm: it is a true state, and any manifest of the newer epoch precedes it.)
        check_current(self.folder, self.draft.epoch)
        # 5. Superseded manifests first, then packs without a name. Dying amid it: the next commit deletes the rest.
        self._sweep(kept(manifest, older))
        return manifest

    def _write_pack(self, older: Sequence[CheckpointManifest]) -> tuple[dict[str, int], dict[str, Piece]]:
        known = self._kept_pieces()
        sizes = self.base.packs if self.base else {}
        changed = {name: _flat(part) for name, part in self.snapshot.changed.items()}
        moved = pieces_to_move(known, sizes, self.number, incoming=sum(part.nbytes for part in changed.values()))
        staying = {piece.pack for name, piece in known.items() if name not in moved}
        if not any(manifest.packs.keys().isdisjoint(staying) for manifest in older):
            moved = set(known)  # no older checkpoint is without a share in what stays: nothing may stay
        moving = {name: piece for name, piece in known.items() if name in moved}
        changed |= {name: _flat(part) for name, part in self.folder.read_pieces(moving).items()}
        pieces = {name: piece for name, piece in known.items() if name not in moved}
        packs = {piece.pack: sizes[piece.pack] for piece in pieces.values()}
        if changed:
            parts = {name: Part.of(part) for name, part in changed.items()}
            pack = self._pack = self.folder.put_pack(self.draft.epoch, self.number, list(parts.values()))
            packs[pack] = sum(part.nbytes for part in changed.values())
            self.bytes_written += packs[pack]
            pieces |= dict(_laid_out(pack, parts))
        return packs, pieces

    def _kept_pieces(self) -> dict[str, Piece]:
        unchanged = self.snapshot.live - self.snapshot.changed.keys()
        known = self.base.pieces if self.base else {}
        if missing := unchanged - known.keys():
            raise CheckpointError(
                f"{len(missing)} live pieces, such as {min(missing)!r}, are neither in the snapshot nor in this owner's"
                " last checkpoint: an owner's first snapshot, and the one after a failed write, must be full"
            )
        return {name: known[name] for name in sorted(unchanged)}

    def _write_manifest(self, packs: dict[str, int], pieces: dict[str, Piece]) -> CheckpointManifest:
        manifest = msgspec.structs.replace(self.draft, packs=packs, pieces=pieces)
        self.bytes_written += self.folder.put_manifest(manifest)
        return manifest

    def _drop_pack(self) -> None:
        """A full disk must not stay full of what nobody names; unless the manifest got in before the store failed."""
        with suppress(UnreachableError):
            if self._pack and self.draft.position not in self.folder.positions():
                self.folder.delete_pack(self._pack)

    def _sweep(self, kept: Sequence[CheckpointManifest]) -> None:
        try:
            sweep(self.folder, self.found, kept)
        except UnreachableError as error:  # what could not be deleted goes with a later commit; the checkpoint stands
            log.warning("%s: superseded checkpoint files stay for now: %s", self.folder.path, error)


def whole_before(folder: ShardFolder, listing: Listing, draft: CheckpointManifest) -> list[CheckpointManifest]:
    """Manifests below ``draft``, about the same log, that can be loaded, as far as names tell; newest first."""
    found = []
    for each in listing.positions:
        if each >= draft.position:
            continue
        try:
            manifest = folder.read_manifest(each)
        except (CheckpointError, DecisionError, FileNotFoundError) as error:
            log.warning("%s: manifest %d-%d is of no use and goes: %s", folder.path, *each, error)
            continue
        is_of_another_log = "" not in (ids := {manifest.topic_id, draft.topic_id}) and len(ids) > 1
        if manifest.packs.keys() <= listing.packs and not is_of_another_log:
            found.append(manifest)
    return found


def kept(newest: CheckpointManifest, older: Sequence[CheckpointManifest]) -> list[CheckpointManifest]:
    """What stays of ``newest`` and all ``older`` ones (newest first): at most four.

    The newest; the one before, to fall back on; the newest that shares no pack with the newest of all, so that no one
    damaged file can make both unreadable; and of those in between the oldest, which will take that one's place.
    """
    apart = [manifest.packs.keys().isdisjoint(newest.packs) for manifest in older]
    independent = apart.index(True) if True in apart else len(older)
    places = {0, independent - 1, independent} & set(range(len(older)))
    return [newest, *(older[place] for place in sorted(places))]


def sweep(folder: ShardFolder, found: Listing, kept: Sequence[CheckpointManifest]) -> None:
    """Delete what was ``found`` and none of ``kept`` (newest first) needs. Nothing of a later epoch is ever touched, so
    that even an owner who was superseded a moment ago cannot harm its successor, whose first checkpoint is full.
    """
    newest = kept[0].position
    positions = {manifest.position for manifest in kept}
    for position in found.positions:
        if position < newest and position not in positions:
            folder.delete_manifest(position)
    named = {pack for manifest in kept for pack in manifest.packs}
    for pack in sorted(found.packs - named):
        if pack_epoch(pack) <= newest.epoch:
            folder.delete_pack(pack)
    for epoch, name in found.litter:
        if epoch <= newest.epoch:
            folder.store.delete(name)
    for epoch in found.claims:
        if epoch <= newest.epoch - KEPT_CLAIMS:
            folder.delete_claim(epoch)


def _flat(part: bytes | memoryview) -> memoryview:
    view = memoryview(part)
    return view.cast("B") if view.nbytes else memoryview(b"")


def _laid_out(pack: str, parts: dict[str, Part]) -> Iterator[tuple[str, Piece]]:
    position = 0
    for name, part in parts.items():
        yield name, Piece(pack, position, len(part.data), part.sha256)
        position += len(part.data)
