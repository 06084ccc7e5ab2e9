"""What a shard says, put together from the kernels' output: weights at once, the rest when it is much or asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from sie_online.ingest.events import DeadLetter, EventBatch, Text
from sie_online.settings import Settings
from sie_online.shard.figures import JudgedSamples, NoiseByType, RecordCounts, judged_samples, noise_by_type
from sie_online.shard.gathering import Gathered, Gathering
from sie_online.shard.lists import MadeLists
from sie_online.shard.output import Out
from sie_online.shard.ranking import ListBefore
from sie_online.shard.render import Renderer
from sie_online.shard.stated import NO_STATEMENTS
from sie_online.unpacking import FramedRows


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


class Assembly:
    """Makes a shard's outputs; keeps what may wait.

    Attributes:
        generation: stamped on what is said from now on.
    """

    def __init__(self, settings: Settings, partition: int, generation: int) -> None:
        self.generation = generation
        self._renderer = Renderer(settings.topics.events, partition, settings.kafka.max_message_bytes)
        self._gathering = Gathering(partition)
        self._nothing = self._renderer.samples(None, generation)

    @property
    def samples(self) -> int:
        """Samples that wait."""
        return self._gathering.samples

    @property
    def waiting(self) -> int:
        """Samples, statements about entities and lists that wait."""
        return self._gathering.samples + self._gathering.statements

    def take_lists(self, made: Iterable[MadeLists], events: EventBatch) -> None:
        """Keep lists that were made at some of ``events``, for the next output to count."""
        self._gathering.take_lists(made, events)

    def output(
        self,
        out: Out,
        events: EventBatch,
        version: str,
        *,
        gather: bool,
        dead_letters: list[DeadLetter],
        counts: RecordCounts,
        lists_before: Sequence[ListBefore],
        last: bool,
    ) -> ShardOutput:
        """What ``out`` holds, said by ``version`` of the net; with ``gather`` what may wait does, until it is much."""
        self._gathering.take(out, events, version)
        n = int(out.control["rows"][0])
        return ShardOutput(
            framed=self._renderer.weights(out, self.generation, version),
            known_ms=int(out.rows["published_ms"][n - 1]) if n else 0,
            gathered=self.gathered(
                samples=not gather or self._gathering.has_many_samples,
                statements=not gather or self._gathering.has_many_statements,
            ),
            dead_letters=dead_letters,
            counts=counts,
            judged=judged_samples(out),
            noise=noise_by_type(out),
            last=last,
            event_ids=Text(out.event_at[: n + 1].copy(), out.event_ids[: out.event_at[n]].copy()),
            lists=self._gathering.lists_made(),
            lists_before=lists_before,
        )

    def gathered(self, *, samples: bool, statements: bool) -> Gathered:
        """What was gathered of those asked for; it waits no longer."""
        framed = self._renderer.samples(self._gathering.settled(), self.generation) if samples else self._nothing
        if not statements:
            return Gathered(framed, NO_STATEMENTS)
        return Gathered(framed, self._gathering.stated(), self._gathering.recommended(self.generation))
