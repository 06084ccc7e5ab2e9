"""What a source holds, found before it goes on: the time of each record, dead letters and their places, disorder.

Reads records as a shard reads them and follows the clock of the source as a whole, all partitions together
(`sie_online.shard.clock`), in which no refused record has a say. ``sie evaluate`` and ``sie replay`` go by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import HEARTBEAT_CODE, TYPE_CODES
from sie_online.errors import UsageError
from sie_online.evaluation.diagnosis import Diagnosis
from sie_online.ingest.decoder import Decoder
from sie_online.ingest.events import DeadLetter
from sie_online.ingest.records import LogRecord, RecordBatch
from sie_online.ingest.wire import Chunk
from sie_online.jit import kernel
from sie_online.settings import Settings
from sie_online.settings.rows import Privacy
from sie_online.shard.clock import belief_of, end_ms, follow, new_clock
from sie_online.shard.dedupe import contains, new_dedupe, remember

EXAMPLES = 3
"""Dead letters of each reason that are kept to be shown."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that is no valid event: ``letter.offset`` is its number in the chunk.

    ``detail`` is what the reader could not make sense of, else what the decoder did not accept; without the payload.
    """

    place: str
    detail: str
    letter: DeadLetter


@dataclass(frozen=True, slots=True)
class Inspected:
    """A chunk, the times (n,) at which its records count, and its rejected ones.

    A rejected or repeated record counts at its predecessor's time.
    """

    chunk: Chunk
    times_ms: NDArray[np.int64]
    rejected: list[Rejected]


@dataclass(frozen=True, slots=True)
class Example:
    """A dead letter, for people."""

    place: str
    detail: str


@dataclass
class SourceFindings:
    """What was found in a source so far.

    Attributes:
        dead_letters_by_reason: how many.
        dead_letter_examples: the first ``EXAMPLES`` of each reason.
        attributes_dropped: entries of ``attributes`` that could not be read; their events were.
        skipped: rows that were to be left out.
        disorder_ms: by how much an event came behind the clock at most.
        late_events: those that came more than ``labels.lateness_s`` behind it ...
        late_conversions: ... and the conversions and returns among them.
    """

    dead_letters_by_reason: dict[str, int] = field(default_factory=dict)
    dead_letter_examples: dict[str, list[Example]] = field(default_factory=dict)
    attributes_dropped: int = 0
    skipped: int = 0
    disorder_ms: int = 0
    late_events: int = 0
    late_conversions: int = 0

    def note(self, one: Rejected) -> None:
        """Count a dead letter, and keep it if it is one of the first."""
        reason = str(one.letter.reason)
        self.dead_letters_by_reason[reason] = self.dead_letters_by_reason.get(reason, 0) + 1
        examples = self.dead_letter_examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(Example(one.place, one.detail))


class Inspector:
    """Inspects one source, chunk by chunk and in order. ``findings`` grow with it."""

    def __init__(self, settings: Settings, *, strict: bool = False) -> None:
        self.findings = SourceFindings()
        self._strict = strict
        self._decoder = Decoder(settings.model_copy(update={"privacy": Privacy()}))  # ids stay in here
        self._belief = belief_of(settings)
        self._lateness_ms = settings.labels.lateness_ms
        self._changes_labels = [TYPE_CODES[name] for name in (*settings.labels.conversions, "return")]
        self._clock = new_clock()
        self._dedupe = new_dedupe(settings.dedupe.events)
        self._events = 0
        self._records = 0
        self._diagnosis = Diagnosis(settings)
        self._found_events = False
        self.inspect(Chunk([], 0.0), 0)  # compiles here, not at the first record

    @property
    def end_ms(self) -> int:
        """Latest event time, should the source end here, ms since 1970; 0 before the first event."""
        return int(end_ms(self._belief, self._clock[0]))

    @property
    def found_events(self) -> bool:
        """Whether there was a valid event so far; a heartbeat is none."""
        return self._found_events

    def inspect(self, chunk: Chunk, stamp_ms: int) -> Inspected:
        """What ``chunk`` holds if it is written at ``stamp_ms``.

        Raises:
            UsageError: it has a dead letter, and we are strict; nothing is to be done with the chunk then.
        """
        before = self.end_ms
        records = [LogRecord(at, stamp_ms, key, value) for at, (key, value, _) in enumerate(chunk.records)]
        batch = RecordBatch.of(records, topic="", partition=0, epoch=0, start=0, end=len(records))
        events, letters = self._decoder.decode(batch)
        rejected = [self._rejected(chunk, letter) for letter in letters]
        if rejected and self._strict:
            worst = rejected[0]
            raise UsageError(f"{worst.place}: {worst.letter.reason}: {worst.detail} (--strict ends here)")
        heard = self._follow(events.columns)
        self._found_events |= bool((events.columns["etype"] != HEARTBEAT_CODE).any())
        for one in rejected:
            self.findings.note(one)
            if not self._found_events:
                self._diagnosis.note(one.place, one.detail, one.letter)
        self.findings.attributes_dropped += events.attributes_dropped
        self.findings.skipped += chunk.skipped
        self._records += len(chunk)
        return Inspected(chunk, _times_ms(len(chunk), heard, before), rejected)

    def require_events(self) -> None:
        """To be called at the end of the source.

        Raises:
            UsageError: it held no valid event; the message says what is likely to be wrong.
        """
        if not self._found_events:
            raise UsageError(self._diagnosis.sentence())

    def _rejected(self, chunk: Chunk, letter: DeadLetter) -> Rejected:
        origin, at = chunk.origin, letter.offset
        if origin is None:
            return Rejected(f"record {self._records + at + 1}", letter.detail, letter)
        return Rejected(origin.place(at), origin.faults.get(at, letter.detail), letter)

    def _follow(self, events: NDArray[np.void]) -> NDArray[np.void]:
        """Take in the events that a shard would, and set their ``now_ms``; returns them."""
        repeated = np.zeros(len(events), np.bool_)
        _find_repeated(self._dedupe, events, repeated, self._events)
        events = events[~repeated]
        late_ms = np.zeros(len(events), np.int64)
        self._events = follow(self._belief, self._clock[0], events, late_ms, self._events)
        late, found = late_ms > self._lateness_ms, self.findings
        found.disorder_ms = max(found.disorder_ms, int(late_ms.max(initial=0)))
        found.late_events += int(late.sum())
        found.late_conversions += int((late & np.isin(events["etype"], self._changes_labels)).sum())
        return events


@kernel
def _find_repeated(dedupe: Any, events: Any, repeated: Any, ordinal: int) -> None:
    """Which of a batch's events (n,) were seen before; ``ordinal`` is the number of the next new one, from 0."""
    for at in range(events.shape[0]):
        event = events[at]
        if event.etype >= HEARTBEAT_CODE:
            continue
        if contains(dedupe, event.event_key):
            repeated[at] = True
            continue
        remember(dedupe, event.event_key, ordinal)
        ordinal += 1


def _times_ms(n: int, events: NDArray[np.void], before: int) -> NDArray[np.int64]:
    times_ms, latest = np.zeros(n, np.int64), np.full(n, -1)
    times_ms[events["offset"]] = events["now_ms"]
    latest[events["offset"]] = events["offset"]
    latest = np.maximum.accumulate(latest)
    return np.where(latest >= 0, times_ms[latest], before)
