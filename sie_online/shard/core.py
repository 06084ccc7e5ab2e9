"""A shard: everything learned from one partition, and the one way to change it: processing its records in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sie_online.announcements import NET, NOISE, Adoption
from sie_online.errors import UsageError
from sie_online.importance.guard import SIDES, log_evidence, strength
from sie_online.importance.influence import NetArrays, no_net, own
from sie_online.importance.noise import start_from
from sie_online.importance.noise.model import NoiseArrays, default_noise
from sie_online.importance.weight import effective_share
from sie_online.ingest.decoder import Decoder
from sie_online.ingest.events import DeadLetter, EventBatch, Text
from sie_online.ingest.records import RecordBatch
from sie_online.pseudonyms import longest_id, pseudonyms
from sie_online.ranking.pooling import Neighbourhoods
from sie_online.recommender.pooling import Gains
from sie_online.settings import Settings
from sie_online.shard import lookup, snapshot
from sie_online.shard.buffers import output_buffers
from sie_online.shard.clock import end_ms, now_ms
from sie_online.shard.external import External
from sie_online.shard.figures import (
    JudgedSamples,
    NoiseByType,
    RecordCounts,
    ShardStats,
    counts_between,
    judged_samples,
    noise_by_type,
    tables_by_kind,
)
from sie_online.shard.gathering import Gathered, Gathering
from sie_online.shard.layout import layout_of
from sie_online.shard.lookup import EntityFigures, PairScore
from sie_online.shard.loop import Texts, run
from sie_online.shard.output import CLAIM, DONE, ENLARGE, Out, new_out
from sie_online.shard.patches import Piece, Table
from sie_online.shard.pooled import PooledCoefficients
from sie_online.shard.ranking import ListBefore, Ranking, key_of
from sie_online.shard.render import Renderer
from sie_online.shard.schedule import NAMED, Artifact, Schedule
from sie_online.shard.snapshot import Snapshot, SnapshotDiff
from sie_online.shard.state import COUNTERS, config_of, new_state, new_views
from sie_online.shard.stated import NO_STATEMENTS
from sie_online.slots import bytes_in_use
from sie_online.statements import EntityKind
from sie_online.unpacking import FramedRows

FULL_AFTER_ERASURE = 2
"""Full snapshots after an erasure. After one the store would still keep a checkpoint in which the erased are: the
newest that shares no file with what follows. After two, that one lies after the erasure, too."""

NO_LISTS = "there are no lists of items for users: set recommend.enabled=true, and they are learned from then on"


@dataclass(frozen=True, slots=True)
class ShardOutput:
    """A bounded part of what a record batch gave rise to, in order; ``gathered`` perhaps from earlier ones, too."""

    framed: FramedRows
    known_ms: int
    """When the last of the weights became known, event time, ms; 0 where there are none."""
    gathered: Gathered
    dead_letters: list[DeadLetter]
    counts: RecordCounts
    judged: JudgedSamples
    noise: NoiseByType
    last: bool
    """Whether the record batch ends with it."""
    event_ids: Text
    """Of the weights, row by row."""
    lists: int = 0
    """Lists of recommendations that were made, those that a later one has replaced among them."""
    lists_before: Sequence[ListBefore] = ()
    """Of each event the list as it stood before it; none unless ``Shard.list_before_events``."""

    @property
    def weights(self) -> pa.RecordBatch:
        """The weights in the columns of ``sie.weights.v1``, unpacked anew each time."""
        return self.framed.batch


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
        self.generation = generation
        self.next_offset = offset
        self.dead_letters = self.attributes_dropped = 0
        self.lists_begin_anew = False
        self._settings = settings
        self._scratch = scratch
        self._config = config_of(settings)
        self._views_file = new_views(settings, scratch)
        self._state = new_state(settings, self._views_file.views)
        self._decoder = Decoder(settings)
        self._renderer = Renderer(settings.topics.events, partition, settings.kafka.max_message_bytes)
        self._gathering = Gathering(partition)
        self._nothing = self._renderer.samples(None, generation)
        self._id_bytes = longest_id(settings)
        self._pseudonyms = pseudonyms(settings)
        self._snapshot_diff = SnapshotDiff(self._scratch)
        self._full_snapshots = 0
        self._layout = msgspec.to_builtins(layout_of(self._state))
        self._external = External(settings.recommender) if settings.recommender.classifier else None
        self._pooled = PooledCoefficients(settings)
        self._schedule = Schedule()
        self._ranking = Ranking(settings) if settings.recommend.enabled else None
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
        shard._state = snapshot.restored(shard._state, shard._views_file, meta, pieces)
        shard._schedule.restore(meta, artifacts or {})
        shard._pooled.restore(pieces)
        for model, artifact in (artifacts or {}).items():
            shard._replace(model, artifact)
        if shard._external:
            shard._external.restore(pieces)
        if shard._ranking:
            shard.lists_begin_anew = not shard._ranking.restore(meta, pieces)
        return shard

    @property
    def clock_ms(self) -> int:
        """What the shard's clock says (`sie_online.shard.clock`), ms since 1970; 0 before the first event."""
        return int(now_ms(self._state.clock[0]))

    @property
    def end_ms(self) -> int:
        """Latest event time, should the log end here (`sie_online.shard.clock`), ms; 0 before the first event."""
        return int(end_ms(self._config.belief, self._state.clock[0]))

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
        texts, offsets = _texts(events), events.columns["offset"]
        at, done, erasures = 0, False, int(self._state.counters["erasures"][0])
        while not done:
            before = self._state.counters[0].copy()
            if at < len(events):
                self._adopt_until(int(offsets[at]))
            begin = at
            at, out = self._advance(events, texts, at, self._schedule.next_adoption_row(offsets))
            done = out.control["stop"][0] == DONE and at == len(events)
            lists_before = self._rank(events, begin, at, out)
            output = self._render(out, events, before, dead, dropped, last=done, gather=gather)
            output = replace(output, lists_before=lists_before) if lists_before else output
            if done:
                if erasures != self._state.counters["erasures"][0]:
                    self._full_snapshots = FULL_AFTER_ERASURE
                self.next_offset = batch.end
                self._adopt_until(batch.end)
            yield output
            dead, dropped = [], 0

    @property
    def waiting(self) -> int:
        """Samples and statements about entities that were gathered and not handed on."""
        return self._gathering.samples + self._gathering.statements

    @property
    def waiting_samples(self) -> int:
        """Samples that were gathered and not handed on."""
        return self._gathering.samples

    def gathered(self, *, statements: bool = True) -> Gathered:
        """What was gathered, perhaps without the ``statements``; it waits no longer."""
        return self._gathered(samples=True, statements=statements)

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
            if adoption.model in NAMED:
                self._replace(adoption.model, artifact)
            else:
                self._put_priors(cast(Gains | None, artifact))
            if adoption.model == NOISE:
                start_from(self._state.population[0], self._state.noise)
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
        evidence: NDArray[np.float32] = self._state.population[0]["z_evidence"].copy()
        return evidence

    def own_gains(self) -> Gains:
        """What was learned from this partition alone, as of ``next_offset``."""
        return self._pooled.own(self._state.model)._replace(neighbourhoods=self.own_neighbourhoods())

    def _put_priors(self, others: Gains | None) -> None:
        self._pooled.put(self._state.model, others)
        self.put_neighbourhoods(None if others is None else others.neighbourhoods)

    def _adopt_until(self, offset: int) -> None:
        for adoption, artifact in self._schedule.due(offset):
            self.adopt(adoption, artifact)

    def _replace(self, model: str, artifact: Artifact | None) -> None:
        """Have the kernels read ``artifact``, of a model of `NAMED`, from now on."""
        if model == NET:
            self._state = self._state._replace(net=no_net() if artifact is None else own(cast(NetArrays, artifact)))
        else:
            self._state = self._state._replace(noise=cast(NoiseArrays | None, artifact) or default_noise())

    def copy_ahead(self) -> bool:
        """Copy a part of what the first snapshot must hold, so that it need not copy all at once; whether there may be
        more. The shard may process records in between.
        """
        return not self._full_snapshots and self._snapshot_diff.copy_ahead(self._state, self._ranked_tables())

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
        meta = {"next_offset": self.next_offset, "dead_letters": self.dead_letters, "layout": self._layout}
        meta |= {"attributes_dropped": self.attributes_dropped} | self._schedule.meta()
        extra = self._pooled.pieces() | (self._external.pieces() if self._external else {})
        if self._ranking:
            meta |= {"ranking": self._ranking.layout()}
            extra |= self._ranking.pieces()
        taken = self._snapshot_diff.capture(self._state, meta, extra, self._ranked_tables())
        self._claim_views()
        self._views_file.rest()
        return taken

    def _ranked_tables(self) -> Iterator[Table]:
        return self._ranking.tables() if self._ranking else iter(())

    def list_before_events(self) -> None:
        """From now on say with every output what the users' lists were before each event: takes longer.

        Raises:
            UsageError: ``recommend.enabled`` is false.
        """
        if self._ranking is None:
            raise UsageError(NO_LISTS)
        self._lists_before = True

    def own_neighbourhoods(self) -> Neighbourhoods | None:
        """What this partition has counted for its lists; None where it does not learn to rank."""
        return self._ranking.counted() if self._ranking else None

    def put_neighbourhoods(self, others: Neighbourhoods | None) -> None:
        """Rank by what ``others`` have counted, too, in the place of any put in before; None takes it out again."""
        if self._ranking:
            self._ranking.put_others(others)

    def recommend(self, user_id: str, n: int) -> list[str]:
        """The best ``n`` items for a user as of ``next_offset``, best first, by their ids; ``user_id`` is the raw one.

        Of a user who is not known: what is popular. Fewer than ``n`` where fewer are known.

        Raises:
            UsageError: ``recommend.enabled`` is false.
        """
        if self._ranking is None:
            raise UsageError(NO_LISTS)
        return self._ranking.recommend(np.uint64(self._key("user", user_id)), n)

    def stats(self) -> ShardStats:
        """Figures for metrics."""
        state, counters = self._state, self._state.counters[0]
        tables = tables_by_kind(state)
        return ShardStats(
            clock_ms=self.clock_ms,
            open_views=int(counters["tail"] - counters["head"]),
            entities={kind: int(table.used[0]) for kind, table in tables.items()},
            evictions={kind: int(table.evicted[0]) for kind, table in tables.items()},
            table_bytes=sum(map(bytes_in_use, tables.values())) + (self._ranking.bytes_in_use if self._ranking else 0),
            weight_counts=tuple(counters["weight_bins"].tolist()),
            effective_share=float(effective_share(state.population[0])),
            strength=float(strength(self._config.weight.guard, state.population[0])),
            judged_views=int(state.population["guard_judged"][0]),
            log_evidence={name: float(log_evidence(state.population[0], side)) for side, name in enumerate(SIDES)},
            counts=counts_between(np.zeros(1, COUNTERS)[0], counters, self.dead_letters, self.attributes_dropped),
        )

    # -- questions: what they leave behind is nothing; not to be asked while a batch is being processed

    def entity(self, kind: EntityKind, entity_id: str) -> EntityFigures | None:
        """What is known of a user (by the raw id), item or category; None if nothing is."""
        return lookup.entity(self._state, kind, self._key(kind, entity_id))

    def score(self, user_id: str, item_id: str, category_id: str = "") -> PairScore:
        """P(conversion) of a sample of the user (by the raw id) and the item, would it happen at ``clock_ms``."""
        asked = lookup.question(
            self._key("user", user_id),
            self._key("item", item_id),
            self._key("category", category_id),
            self.clock_ms,
            self._config.sample_type,
        )
        state = lookup.apart(self._state)
        found: PairScore = lookup.score(self._config, state, asked)
        return self._external.rescored(found, state.scratch) if self._external else found

    def _key(self, kind: EntityKind, entity_id: str) -> int:
        """Hash of an id as the state has it; 0 for an empty one."""
        text = entity_id.encode()
        if not text:
            return 0
        return int(key_of(self._pseudonyms.of(text) if kind == "user" and self._pseudonyms else text))

    def close(self) -> None:
        """Release the memory and the scratch file; the shard cannot be used any more."""
        del self._state, self._views_file, self._snapshot_diff

    def _advance(self, events: EventBatch, texts: Texts, at: int, until: int) -> tuple[int, Out]:
        """Run the event loop from row ``at`` until the output needs draining or row ``until`` is reached."""
        out = output_buffers(self._id_bytes)
        while True:
            at = self._run(events, texts, at, until, out)
            stop = out.control["stop"][0]
            if stop == CLAIM:
                self._claim_views(1, int(out.control["needed"][0]))
            elif stop == ENLARGE:
                out = new_out(2 * int(out.control["needed"][0]), self._id_bytes)
            else:
                return at, out

    def _run(self, events: EventBatch, texts: Texts, at: int, until: int, out: Out) -> int:
        columns = events.columns[:until]
        if self._external:
            return self._external.run(self._config, self._state, columns, texts, at, out)
        return int(run(self._config, self._state, columns, texts, at, out))

    def _claim_views(self, n: int = 0, id_bytes: int = 0) -> None:
        """Have disk for ``n`` more open views, with ``id_bytes`` of ids, and for none that is settled."""
        head, tail, ids_head, ids_tail = snapshot.bounds_of(self._state)
        self._views_file.claim(head, tail + n, ids_head, ids_tail + id_bytes)

    def _render(
        self,
        out: Out,
        events: EventBatch,
        before: np.void,
        dead: list[DeadLetter],
        dropped: int,
        *,
        last: bool,
        gather: bool,
    ) -> ShardOutput:
        version, n = self.version(NET), int(out.control["rows"][0])
        self._gathering.take(out, events, version)
        return ShardOutput(
            framed=self._renderer.weights(out, self.generation, version),
            known_ms=int(out.rows["published_ms"][n - 1]) if n else 0,
            gathered=self._gathered(
                samples=not gather or self._gathering.has_many_samples,
                statements=not gather or self._gathering.has_many_statements,
            ),
            dead_letters=dead,
            counts=counts_between(before, self._state.counters[0], len(dead), dropped),
            judged=judged_samples(out),
            noise=noise_by_type(out),
            last=last,
            event_ids=Text(out.event_at[: n + 1].copy(), out.event_ids[: out.event_at[n]].copy()),
            lists=self._gathering.lists_made(),
        )

    def _rank(self, events: EventBatch, first: int, last: int, out: Out) -> Sequence[ListBefore]:
        """Have the ranking learn from rows ``first`` to ``last``, and gather the lists that changed.

        Returns the lists as they stood before each event, where these are asked for.
        """
        if self._ranking is None:
            return ()
        if self._lists_before:
            return self._ranking.learn_after_listing(events, first, last, out)
        self._gathering.take_lists(self._ranking.learn(events, first, last, out), events)
        return ()

    def _gathered(self, *, samples: bool, statements: bool) -> Gathered:
        """What was gathered of those asked for; it waits no longer."""
        framed = self._renderer.samples(self._gathering.settled(), self.generation) if samples else self._nothing
        if not statements:
            return Gathered(framed, NO_STATEMENTS)
        return Gathered(framed, self._gathering.stated(), self._gathering.recommended(self.generation))


def _texts(events: EventBatch) -> Texts:
    return Texts(
        events.event_id.offsets,
        events.event_id.data,
        events.user_id.offsets,
        events.user_id.data,
        events.item_id.offsets,
        events.item_id.data,
    )
