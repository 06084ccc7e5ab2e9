"""A shard: what one partition has taught, and the one way to change it: processing its records in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.announcements import NET, Adoption
from sie_online.ingest.decoder import Decoder
from sie_online.ingest.events import EventBatch
from sie_online.ingest.records import RecordBatch
from sie_online.ranking.pooling import Neighbourhoods
from sie_online.recommender.pooling import Gains
from sie_online.settings import Settings
from sie_online.shard.assembly import Assembly, ShardOutput
from sie_online.shard.figures import ShardStats, counts_between
from sie_online.shard.gathering import Gathered
from sie_online.shard.learned import Learned
from sie_online.shard.lookup import EntityFigures, PairScore
from sie_online.shard.output import DONE, Out
from sie_online.shard.patches import Piece
from sie_online.shard.questions import Questions
from sie_online.shard.ranking import ListBefore
from sie_online.shard.schedule import Artifact, Schedule
from sie_online.shard.snapshot import Snapshot, SnapshotDiff
from sie_online.shard.state import COUNTERS
from sie_online.statements import EntityKind

FULL_AFTER_ERASURE = 2
"""Full snapshots after an erasure. After one the store would still keep a checkpoint in which the erased are: the
newest that shares no file with what follows. After two, that one lies after the erasure, too."""


class Shard:
    """Owns the state of one partition.

    What it says depends on the partition's records alone: not on how they are cut into batches, on clocks, or on
    restarts. ``generation`` is stamped on rows and changes nothing else.

    Args:
        settings: of the deployment; those in ``ROW_SECTIONS`` shape the rows.
        partition: of the input topic.
        generation: epoch of this ownership.
        scratch: folder for the file of open views; the system's temporary folder by default.
        offset: first offset to process.

    Attributes:
        lists_begin_anew: whether it was restored from a snapshot without lists, or with ones under other bounds.
    """

    def __init__(
        self,
        settings: Settings,
        partition: int,
        *,
        generation: int = 0,
        scratch: Path | None = None,
        offset: int = 0,
    ) -> None:
        self.partition = partition
        self.next_offset = offset
        self.dead_letters = self.attributes_dropped = 0
        self.lists_begin_anew = False
        self._scratch = scratch
        self._decoder = Decoder(settings)
        self._learned = Learned(settings, scratch)
        self._questions = Questions(settings, self._learned)
        self._assembly = Assembly(settings, partition, generation)
        self._schedule = Schedule()
        self._snapshot_diff = SnapshotDiff(scratch)
        self._full_snapshots = 0
        self._lists_before = False

    @classmethod
    def restore(
        cls,
        settings: Settings,
        partition: int,
        meta: Mapping[str, Any],
        pieces: Mapping[str, Piece],
        *,
        generation: int,
        scratch: Path | None = None,
        artifacts: Mapping[str, Artifact] | None = None,
    ) -> Shard:
        """The shard that a ``Snapshot`` with this ``meta`` and these ``pieces`` was taken of.

        ``artifacts`` are, by model, what `versions_named` of ``meta`` names; without one of them the shard goes on as
        if it had not heard of that announcement.

        Raises:
            CheckpointError: the pieces do not fit together.
        """
        shard = cls(settings, partition, generation=generation, scratch=scratch, offset=int(meta["next_offset"]))
        shard.dead_letters = int(meta["dead_letters"])
        shard.attributes_dropped = int(meta.get("attributes_dropped", 0))
        shard._schedule.restore(meta, artifacts or {})
        shard.lists_begin_anew = not shard._learned.restore(meta, pieces, artifacts or {})
        return shard

    @property
    def generation(self) -> int:
        """Epoch of this ownership; to be set anew where an owner keeps the shard under another epoch."""
        return self._assembly.generation

    @generation.setter
    def generation(self, epoch: int) -> None:
        self._assembly.generation = epoch

    @property
    def clock_ms(self) -> int:
        """What the shard's clock says (`sie_online.shard.clock`), ms since 1970; 0 before the first event."""
        return self._learned.clock_ms

    @property
    def end_ms(self) -> int:
        """Latest event time, should the log end here (`sie_online.shard.clock`), ms; 0 before the first event."""
        return self._learned.end_ms

    def process(self, batch: RecordBatch, *, gather: bool = False) -> Iterator[ShardOutput]:
        """Process ``batch``, which must begin at ``next_offset``, and yield what it gives rise to, at least one output.

        The last of them says so. It must be asked for: the state has advanced over the batch only then. With ``gather``
        samples wait until they are many, and so do statements about entities, or both until ``gathered``.
        """
        if batch.start != self.next_offset:
            raise ValueError(f"partition {self.partition}: batch begins at {batch.start}, expected {self.next_offset}")
        events, dead = self._decoder.decode(batch)
        self.dead_letters += len(dead)
        self.attributes_dropped += (dropped := events.attributes_dropped)
        offsets, counters = events.columns["offset"], self._learned.state.counters
        at, done, erasures = 0, False, int(counters["erasures"][0])
        while not done:
            before = counters[0].copy()
            if at < len(events):
                self._adopt_until(int(offsets[at]))
            begin = at
            at, out = self._learned.learn(events, at, self._schedule.next_adoption_row(offsets))
            done = out.control["stop"][0] == DONE and at == len(events)
            lists_before = self._rank(events, begin, at, out)
            output = self._assembly.output(
                out,
                events,
                self.version(NET),
                gather=gather,
                dead_letters=dead,
                counts=counts_between(before, counters[0], len(dead), dropped),
                lists_before=lists_before,
                last=done,
            )
            if done:
                if erasures != counters["erasures"][0]:
                    self._full_snapshots = FULL_AFTER_ERASURE
                self.next_offset = batch.end
                self._adopt_until(batch.end)
            yield output
            dead, dropped = [], 0

    def _rank(self, events: EventBatch, first: int, last: int, out: Out) -> Sequence[ListBefore]:
        """Have the ranking learn from rows ``first`` to ``last``, and gather the lists that changed.

        Returns the lists as they stood before each event, where these are asked for.
        """
        ranking = self._learned.ranking
        if ranking is None:
            return ()
        if self._lists_before:
            return ranking.learn_after_listing(events, first, last, out)
        self._assembly.take_lists(ranking.learn(events, first, last, out), events)
        return ()

    def list_before_events(self) -> None:
        """From now on say with every output what the users' lists were before each event: takes longer.

        Raises:
            UsageError: ``recommend.enabled`` is false.
        """
        self._learned.require_ranking()
        self._lists_before = True

    @property
    def waiting(self) -> int:
        """Samples and statements about entities that were gathered and not handed on."""
        return self._assembly.waiting

    @property
    def waiting_samples(self) -> int:
        """Samples that were gathered and not handed on."""
        return self._assembly.samples

    def gathered(self, *, statements: bool = True) -> Gathered:
        """What was gathered, perhaps without the ``statements``; it waits no longer."""
        return self._assembly.gathered(samples=True, statements=statements)

    # -- models: from its offset on a version is in force, and what is said is said by it

    def schedule(self, adoption: Adoption, artifact: Artifact | None) -> bool:
        """Adopt ``artifact`` (None: the built-in model) at the offset ``adoption`` names; False if that has passed.

        To be called in each model's order of announcement, and not while a batch is being processed.
        """
        if adoption.offset < self.next_offset:
            return False
        self._schedule.add(adoption, artifact)
        return True

    def adopt(self, adoption: Adoption, artifact: Artifact | None) -> None:
        """Adopt at once, late. Announcements that are older than one in force change nothing."""
        if adoption.n > self.announced(adoption.model):
            self._learned.put(adoption.model, artifact)
            self._schedule.adopted(adoption, builtin=artifact is None)

    def announced(self, model: str) -> int:
        """Number of the announcement of ``model`` that is in force; 0 before the first."""
        return self._schedule.announced[model]

    def version(self, model: str) -> str:
        """Version of ``model`` in force."""
        return self._schedule.versions[model]

    def latest_known(self, model: str) -> int:
        """Number of the newest announcement of ``model`` that is in force or scheduled."""
        return self._schedule.latest_known(model)

    def noise_evidence(self) -> NDArray[np.float32]:
        """The standardised evidence of the event processed last, by `importance.noise.evidence.SIGNALS`."""
        evidence: NDArray[np.float32] = self._learned.state.population[0]["z_evidence"].copy()
        return evidence

    def own_gains(self) -> Gains:
        """What was learned from this partition alone, as of ``next_offset``."""
        return self._learned.own_gains()

    def own_neighbourhoods(self) -> Neighbourhoods | None:
        """What this partition has counted for its lists; None where it does not learn to rank."""
        return self._learned.own_neighbourhoods()

    def put_neighbourhoods(self, others: Neighbourhoods | None) -> None:
        """Rank by what ``others`` have counted, too, in the place of any put in before; None takes it out again."""
        self._learned.put_neighbourhoods(others)

    def _adopt_until(self, offset: int) -> None:
        for adoption, artifact in self._schedule.due(offset):
            self.adopt(adoption, artifact)

    # -- snapshots

    def copy_ahead(self) -> bool:
        """Copy a part of what the first snapshot must hold, so that it need not copy all at once; whether there may be
        more. The shard may process records in between.
        """
        return not self._full_snapshots and self._snapshot_diff.copy_ahead(self._learned.state, self._learned.tables())

    def snapshot(self) -> Snapshot:
        """The state as of ``next_offset``, as named pieces; only those that changed since the last call carry data.

        What was gathered is not part of it, and must have been asked for.
        """
        if self.waiting:
            raise ValueError(
                f"partition {self.partition}: {self.waiting} gathered samples and statements would be lost"
            )
        if self._full_snapshots:
            self._snapshot_diff = SnapshotDiff(self._scratch)
            self._full_snapshots -= 1
        meta = {"next_offset": self.next_offset, "dead_letters": self.dead_letters}
        meta |= {"attributes_dropped": self.attributes_dropped} | self._schedule.meta() | self._learned.layouts()
        taken = self._snapshot_diff.capture(self._learned.state, meta, self._learned.pieces(), self._learned.tables())
        self._learned.release_views()
        return taken

    # -- questions: what they leave behind is nothing; not to be asked while a batch is being processed

    def stats(self) -> ShardStats:
        """Figures for metrics."""
        counters = self._learned.state.counters[0]
        nothing = np.zeros(1, COUNTERS)[0]
        return self._questions.stats(counts_between(nothing, counters, self.dead_letters, self.attributes_dropped))

    def entity(self, kind: EntityKind, entity_id: str) -> EntityFigures | None:
        """What is known of a user (by the raw id), item or category; None if nothing is."""
        return self._questions.entity(kind, entity_id)

    def score(self, user_id: str, item_id: str, category_id: str = "") -> PairScore:
        """P(conversion) of a sample of the user (by the raw id) and the item, would it happen at ``clock_ms``."""
        return self._questions.score(user_id, item_id, category_id)

    def recommend(self, user_id: str, n: int) -> list[str]:
        """The best ``n`` items for a user as of ``next_offset``, best first, by their ids; ``user_id`` is the raw one.

        Of a user who is not known: what is popular. Fewer than ``n`` where fewer are known.

        Raises:
            UsageError: ``recommend.enabled`` is false.
        """
        return self._questions.recommend(user_id, n)

    def close(self) -> None:
        """Release the memory and the scratch file; the shard cannot be used any more."""
        del self._learned, self._questions, self._snapshot_diff
