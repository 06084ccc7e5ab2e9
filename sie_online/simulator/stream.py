"""The whole stream in time order, as wire records, with the truth about every event."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sie_online.contracts import EVENT_TYPES, VIEW_CODE
from sie_online.ingest.wire import Chunk, WireRecord
from sie_online.simulator import noise
from sie_online.simulator.behaviour import genuine
from sie_online.simulator.columns import KINDS, EventColumns
from sie_online.simulator.malformed import Fields, malformed, malformed_line
from sie_online.simulator.scenario import Scenario
from sie_online.simulator.world import World, build

CHUNK = 4_096  # events turned into Python objects at a time
RESEND_MEAN = 200.0  # records between an event and its duplicate


class _Event(msgspec.Struct, omit_defaults=True):
    event_id: str
    user_id: str
    item_id: str
    category_id: str
    event_type: str
    timestamp_ms: int
    session_id: str
    price: float
    position: int | None = None
    dwell_ms: float | None = None
    rating: float | None = None


SCHEMA = pa.schema(
    {
        "event_id": pa.string(),
        "user_id": pa.string(),
        "item_id": pa.string(),
        "category_id": pa.string(),
        "event_type": pa.string(),
        "timestamp_ms": pa.int64(),
        "session_id": pa.string(),
        "price": pa.float64(),
        "position": pa.int64(),
        "dwell_ms": pa.float64(),
        "rating": pa.float64(),
    }
)
"""Of a simulation's events as a table: the documented columns that it fills."""


@dataclass(frozen=True)
class Simulation:
    """A generated stream. ``columns`` are the valid events in time order; event ``i`` has id ``event_id(i)``.
    ``user_ids`` are the published numbers by account, ``session_ids`` those by event.

    ``resent`` are the events that are sent a second time and ``resend_after`` the events each duplicate follows;
    ``broken_after`` the events that a malformed record follows.
    """

    scenario: Scenario
    world: World
    columns: EventColumns
    user_ids: NDArray[np.int64]
    session_ids: NDArray[np.int64]
    resent: NDArray[np.int64]
    resend_after: NDArray[np.int64]
    broken_after: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of records, duplicates and malformed ones included."""
        return self.events + self.duplicates + self.malformed

    @property
    def events(self) -> int:
        """Number of valid, distinct events."""
        return len(self.columns)

    @property
    def duplicates(self) -> int:
        """Number of records that repeat an event."""
        return len(self.resent)

    @property
    def malformed(self) -> int:
        """Number of records that must become dead letters."""
        return len(self.broken_after)

    @property
    def last_event_ms(self) -> int:
        """Event time of the last event."""
        return int(self.columns.time_ms[-1])

    @cached_property
    def truth(self) -> pa.Table:
        """event_id, event_type, kind (``clean | misclick | bots | brushing``) of every valid event, in time order."""
        return pa.table(
            {
                "event_id": [event_id(i) for i in range(self.events)],
                "event_type": _named(self.columns.etype, EVENT_TYPES),
                "kind": _named(self.columns.kind, KINDS),
            }
        )

    def counts_by_kind(self) -> dict[str, int]:
        """Number of valid events of every kind."""
        return {kind: int((self.columns.kind == code).sum()) for code, kind in enumerate(KINDS)}

    def table(self) -> pa.Table:
        """The valid events, without duplicates, in the documented schema of event files (``SCHEMA``)."""
        return pa.concat_tables(self.tables(CHUNK))

    def tables(self, rows: int) -> Iterator[pa.Table]:
        """``table`` in parts of at most ``rows``."""
        for start in range(0, self.events, rows):
            events = list(self._decoded(start, start + rows))
            yield pa.table([[getattr(event, name) for event in events] for name in SCHEMA.names], schema=SCHEMA)

    def without_duplicates(self) -> Simulation:
        """The same stream from producers that send nothing twice."""
        return replace(self, resent=self.resent[:0], resend_after=self.resend_after[:0])

    def chunks(self) -> Iterator[Chunk]:
        """``records``, as replay and evaluation take them."""
        held: list[WireRecord] = []
        for done, record in enumerate(self.records(), 1):
            held.append(record)
            if len(held) == CHUNK or done == len(self):
                yield Chunk(held, done / len(self))
                held = []

    def records(self) -> Iterator[WireRecord]:
        """Every record in the order it is sent: by event time, duplicates some records after their original."""
        return self._sent(malformed)

    def lines(self) -> Iterator[bytes]:
        """The records as lines of a JSON-lines file, which has no keys: other kinds of malformed ones take turns."""
        return (record.value or b"" for record in self._sent(malformed_line))

    def _sent(self, broken_by: Callable[[int, Fields], WireRecord]) -> Iterator[WireRecord]:
        again = _by_predecessor(self.resend_after, self.resent)
        broken = _by_predecessor(self.broken_after, np.arange(self.malformed))
        encode = msgspec.json.Encoder().encode
        for start in range(0, self.events, CHUNK):
            for i, event in enumerate(self._decoded(start, start + CHUNK), start):
                yield WireRecord(event.user_id.encode(), encode(event))
                for copy in again.get(i, ()):
                    original = next(self._decoded(copy, copy + 1))
                    yield WireRecord(original.user_id.encode(), encode(original))
                for nth in broken.get(i, ()):
                    yield broken_by(nth, _as_fields(event, nth))

    def _decoded(self, start: int, stop: int) -> Iterator[_Event]:
        part = self.columns.take(np.arange(start, min(stop, self.events)))
        price, category = self.world.price[part.item].tolist(), self.world.category[part.item].tolist()
        rows = zip(
            self.user_ids[part.user].tolist(), part.item.tolist(), category, part.etype.tolist(),
            part.time_ms.tolist(), self.session_ids[start : start + len(part)].tolist(), price, part.position.tolist(),
            part.dwell_ms.tolist(), part.rating.tolist(), strict=True,
        )  # fmt: skip
        for i, (user, item, shelf, etype, at, session, cost, position, dwell, rating) in enumerate(rows, start):
            yield _Event(
                event_id=event_id(i),
                user_id=f"u{user}",
                item_id=f"i{item}",
                category_id=f"c{shelf}",
                event_type=EVENT_TYPES[etype],
                timestamp_ms=at,
                session_id=f"s{session}",
                price=cost,
                position=None if position < 0 else position,
                dwell_ms=None if dwell != dwell else dwell,
                rating=None if rating != rating else rating,
            )


def event_id(i: int) -> str:
    """Id of the ``i``-th valid event: tells nothing but its place in time."""
    return f"e{i:07d}"


def simulate(scenario: Scenario) -> Simulation:
    """Generate the stream of ``scenario``; the same scenario gives the same bytes."""
    rng = np.random.default_rng(scenario.seed)
    world = build(scenario, rng)
    clean = genuine(scenario, world, rng)
    robots = noise.bots(scenario, world, world.users, rng)
    brushers = noise.brushing(scenario, world, int(robots.user.max(initial=world.users)) + 1, rng)
    everything = EventColumns.concat([clean, noise.misclicks(scenario, world, clean, rng), robots, brushers])
    columns = everything.take(everything.time_ms < scenario.end_ms)
    columns = columns.take(np.argsort(columns.time_ms, kind="stable"))
    n = len(columns)
    _, session = np.unique(columns.session, return_inverse=True)
    resent = rng.choice(n, int(n * scenario.duplicate_share), replace=False)
    return Simulation(
        scenario=scenario,
        world=world,
        columns=columns,
        user_ids=10_000 + rng.permutation(int(columns.user.max()) + 1),  # invented accounts look like all others
        session_ids=10_000 + rng.permutation(int(session.max()) + 1)[session],
        resent=resent,
        resend_after=np.minimum(resent + rng.exponential(RESEND_MEAN, len(resent)).astype(np.int64), n - 1),
        broken_after=np.sort(rng.choice(np.flatnonzero(columns.etype == VIEW_CODE), scenario.malformed)),
    )


def _named(codes: NDArray[np.uint8], names: tuple[str, ...]) -> list[str]:
    return [names[code] for code in codes.tolist()]


def _by_predecessor(after: NDArray[np.int64], what: NDArray[np.int64]) -> dict[int, list[int]]:
    groups: dict[int, list[int]] = {}
    for place, thing in zip(after.tolist(), what.tolist(), strict=True):
        groups.setdefault(place, []).append(thing)
    return groups


def _as_fields(event: _Event, nth: int) -> Fields:
    """A fresh event to break: were it readable by mistake, it must not pass for a duplicate."""
    fields = {name: value for name, value in msgspec.structs.asdict(event).items() if value is not None}
    return fields | {"event_id": f"m{nth:04d}"}
